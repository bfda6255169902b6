package authority

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"moneyer/oauth"
)

// authenticate finds out who asks. The caller that it returns beside an error is
// only named, not proven.
func (a *Authority) authenticate(ctx context.Context, issuer *Issuer, req *Request, now time.Time) (*caller, error) {
	if issuer.Disabled {
		return nil, disabledIssuer()
	}
	grant := issuer.Profile.Policy.Grant(req.GrantType)
	if grant == nil {
		return nil, oauth.Errorf(oauth.UnsupportedGrantType, "this grant_type is not served here").
			Because(&Refusal{Rule: "grant type", Expected: "one that the profile serves", Found: shorten(string(req.GrantType))})
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
func (a *Authority) byCredential(ctx context.Context, v *view, issuer *Issuer, req *Request) (*caller, error) {
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
func (a *Authority) bySecret(ctx context.Context, v *view, issuer *Issuer, id, secret string) (*caller, error) {
	digest := a.Pepper.Digest(secret)
	client, err := v.client(ctx, issuer.Name, id)
	if errors.Is(err, ErrNotFound) {
		return nil, badClient(&Refusal{Rule: "client", Expected: "a registered client_id", Found: shorten(id)})
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return client.bySecret(ClientSecret, digest, v.now)
}

// byAPIKey checks an API key, which names its client by itself.
func (a *Authority) byAPIKey(ctx context.Context, v *view, issuer *Issuer, key string) (*caller, error) {
	digest := a.Pepper.Digest(key)
	client, err := v.clientByAPIKey(ctx, issuer.Name, digest)
	if errors.Is(err, ErrNotFound) {
		return nil, badClient(&Refusal{Rule: "API key", Expected: "a registered key", Found: "another"})
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return client.bySecret(APIKey, digest, v.now)
}

// bySecret finds the live secret of that kind with that digest. It looks at all
// of them whatever it finds.
func (c *Client) bySecret(kind SecretKind, digest Digest, now time.Time) (*caller, error) {
	named := &caller{client: c}
	var match *Secret
	for i := range c.Secrets {
		if s := &c.Secrets[i]; s.Kind == kind && s.Digest.Equal(digest) {
			match = s
		}
	}
	switch {
	case match == nil:
		return named, badClient(&Refusal{Rule: "secret", Expected: "one of the client's secrets", Found: "another"})
	case !match.LiveAt(now):
		return named, badClient(&Refusal{Rule: "secret in force", Expected: "an enabled secret before its end", Found: match.state(now)})
	case c.Disabled:
		return named, badClient(&Refusal{Rule: "client enabled", Expected: "an enabled client", Found: "a disabled one"})
	}
	named.credential = match.ID
	return named, nil
}

func (s *Secret) state(now time.Time) string {
	if s.Disabled {
		return "secret " + s.ID + ", disabled"
	}
	return "secret " + s.ID + ", over since " + s.NotAfter.Sub(now).Abs().Round(time.Second).String()
}

// badClient is the one answer to every failed client authentication.
func badClient(refusal *Refusal) error {
	return oauth.Errorf(oauth.InvalidClient, "client authentication failed").Because(refusal)
}

// shorten bounds what a stranger sent before it goes to a log, and hides what
// may be a credential in the wrong place, such as a secret sent as client_id.
func shorten(s string) string {
	const most = 64
	switch {
	case strings.Contains(s, secretPrefix), strings.Contains(s, apiKeyPrefix), strings.HasPrefix(s, "eyJ"):
		return "something like a credential"
	case len(s) > most:
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// LooksLikeCredential tells whether a text is a secret of ours, or a JWT, in a place
// that logs and the ledger show. How it begins is not enough to refuse it: one
// random identifier in 262,144 begins like a JWT.
func LooksLikeCredential(s string) bool {
	return strings.HasPrefix(s, "eyJ") && strings.Contains(s, ".") || hasSecret(s, secretPrefix) || hasSecret(s, apiKeyPrefix)
}

// hasSecret tells whether more than an identifier has room for follows the prefix.
func hasSecret(s, prefix string) bool {
	const half = 22 // of a secret's 43 characters
	_, rest, found := strings.Cut(s, prefix)
	return found && len(rest) >= half
}
