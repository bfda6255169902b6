package authority

import (
	"context"
	"errors"
	"slices"
	"time"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// authenticate finds out who asks. The caller that it returns beside an error is
// only named, not proven.
func (a *Authority) authenticate(ctx context.Context, issuer *registry.Issuer, req *Request, now time.Time) (*caller, error) {
	if issuer.Disabled {
		return nil, disabledIssuer()
	}
	grant := issuer.Profile.Policy.Grant(req.GrantType)
	if grant == nil {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "this grant_type is not served here").
			Because(&Refusal{Rule: "grant type", Expected: "one that the profile serves", Found: registry.Excerpt(string(req.GrantType))})
	}
	if !slices.Contains(grant.ClientAuth, req.Auth) {
		return nil, badClient(&Refusal{Rule: "client authentication", Expected: "one of the ways that the profile lists for this grant_type", Found: string(req.Auth)})
	}
	if req.Auth == oauth.AuthNone {
		return a.byGrantAssertion(ctx, issuer, req, now)
	}
	return a.byCredential(ctx, &view{registry: a.Registry, now: now}, issuer, req)
}

func disabledIssuer() error {
	return oauth.Errorf(oauth.UnauthorizedClient, "this issuer is disabled").
		Because(&Refusal{Rule: "issuer enabled", Expected: "an enabled issuer", Found: "a disabled one"})
}

// byCredential checks what the client shows beside its request.
func (a *Authority) byCredential(ctx context.Context, v *view, issuer *registry.Issuer, req *Request) (*caller, error) {
	switch req.Auth {
	case oauth.AuthAPIKey:
		return a.byAPIKey(ctx, v, issuer, req.Secret)
	case oauth.AuthPrivateKeyJWT:
		return a.byClientAssertion(ctx, issuer, req, v.now)
	default: // AuthBasic, AuthPost
		return a.bySecret(ctx, v, issuer, req.ClientID, req.Secret)
	}
}

// bySecret checks a client secret (RFC 6749 §2.3.1). An unknown client costs the
// same and gets the same answer as a wrong secret.
func (a *Authority) bySecret(ctx context.Context, v *view, issuer *registry.Issuer, id, secret string) (*caller, error) {
	digest := a.Pepper.Digest(secret)
	client, err := v.client(ctx, issuer.Name, id)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, badClient(&Refusal{Rule: "client", Expected: "a registered client_id", Found: registry.Excerpt(id)})
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return bySecret(client, registry.ClientSecret, digest, v.now)
}

// byAPIKey checks an API key, which names its client by itself.
func (a *Authority) byAPIKey(ctx context.Context, v *view, issuer *registry.Issuer, key string) (*caller, error) {
	digest := a.Pepper.Digest(key)
	client, err := v.clientByAPIKey(ctx, issuer.Name, digest)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, badClient(&Refusal{Rule: "API key", Expected: "a registered key", Found: "another"})
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return bySecret(client, registry.APIKey, digest, v.now)
}

// bySecret finds the live secret of that kind with that digest. It looks at all
// of them whatever it finds.
func bySecret(c *registry.Client, kind registry.SecretKind, digest registry.Digest, now time.Time) (*caller, error) {
	named := &caller{client: c}
	var match *registry.Secret
	for i := range c.Secrets {
		if s := &c.Secrets[i]; s.Kind == kind && s.Digest.Equal(digest) {
			match = s
		}
	}
	switch {
	case match == nil:
		return named, badClient(&Refusal{Rule: "secret", Expected: "one of the client's secrets", Found: "another"})
	case !match.LiveAt(now):
		return named, badClient(&Refusal{Rule: "secret in force", Expected: "an enabled secret before its end", Found: match.State(now)})
	case c.Disabled:
		return named, badClient(&Refusal{Rule: "client enabled", Expected: "an enabled client", Found: "a disabled one"})
	}
	named.credential = match.ID
	return named, nil
}

// badClient is the one answer to every failed client authentication.
func badClient(refusal *Refusal) error {
	return oauth.Errorf(oauth.InvalidClient, "client authentication failed").Because(refusal)
}
