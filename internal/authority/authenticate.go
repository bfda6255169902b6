package authority

import (
	"context"
	"errors"
	"slices"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// authenticate checks the credentials of a token request, which must be a whole set of
// the profile. Where that set is empty, the grant authenticates the client.
func (a *Authority) authenticate(ctx context.Context, t *attempt) error {
	if t.issuer.Disabled {
		return oauth.Errorf(oauth.UnauthorizedClient, "this issuer is disabled").
			Because(&Refusal{Rule: "issuer enabled", Expected: "an enabled issuer", Found: "a disabled one"})
	}
	grant := t.issuer.Profile.Policy.Grant(t.req.GrantType)
	if grant == nil {
		return oauth.Errorf(oauth.UnsupportedGrantType, "this grant_type is not served here").
			Because(&Refusal{Rule: "grant type", Expected: "one that the profile serves", Found: registry.Excerpt(string(t.req.GrantType))})
	}
	if err := wholeSet(grant.ClientAuth, t.req, "one of the ways that the profile lists for this grant_type"); err != nil {
		return err
	}
	for i := range t.req.Credentials {
		if err := a.checkCredential(ctx, a.Registry, t, &t.req.Credentials[i]); err != nil {
			return err
		}
	}
	return nil
}

// wholeSet refuses credentials that are not all members of one of the sets, and no
// others.
func wholeSet(sets []platform.AuthSet, req *Request, expected string) error {
	for _, set := range sets {
		if len(set) == len(req.Credentials) && !slices.ContainsFunc(set, func(auth oauth.ClientAuth) bool { return !req.shows(auth) }) {
			return nil
		}
	}
	var shown platform.AuthSet
	for i := range req.Credentials {
		shown = append(shown, req.Credentials[i].Method)
	}
	return badClient(&Refusal{Rule: "client authentication", Expected: expected, Found: shown.String()})
}

// checkCredential checks one credential and notes the client that it belongs to.
func (a *Authority) checkCredential(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	switch c.Method {
	case oauth.AuthBasic, oauth.AuthPost:
		return a.checkSecret(ctx, from, t, c)
	case oauth.AuthAPIKey:
		return a.checkAPIKey(ctx, from, t, c)
	case oauth.AuthPrivateKeyJWT:
		return a.checkAssertion(ctx, t, c.Assertion, false)
	default:
		return badClient(&Refusal{Rule: "client authentication", Expected: "a method that the server knows", Found: string(c.Method)})
	}
}

// checkSecret checks a client secret (RFC 6749 §2.3.1). An unknown client costs the
// same and gets the same answer as a wrong secret.
func (a *Authority) checkSecret(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	digest := a.Pepper.Digest(c.Secret)
	client, asked, err := from.FindClient(ctx, t.issuer.Name, c.ID)
	t.asked = t.asked || asked
	if errors.Is(err, registry.ErrNotFound) {
		return badClient(&Refusal{Rule: "client", Expected: "a registered client_id", Found: registry.Excerpt(c.ID)})
	}
	if err != nil {
		return unavailable(err)
	}
	return t.showed(client, registry.ClientSecret, digest)
}

// checkAPIKey checks an API key, which identifies its client.
func (a *Authority) checkAPIKey(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	digest := a.Pepper.Digest(c.APIKey)
	client, asked, err := from.FindClientByAPIKey(ctx, t.issuer.Name, digest)
	t.asked = t.asked || asked
	if errors.Is(err, registry.ErrNotFound) {
		return badClient(&Refusal{Rule: "API key", Expected: "a registered key", Found: "another"})
	}
	if err != nil {
		return unavailable(err)
	}
	return t.showed(client, registry.APIKey, digest)
}

// showed notes the client's live secret of that kind with that digest. It compares
// with all secrets whatever it finds.
func (t *attempt) showed(client *registry.Client, kind registry.SecretKind, digest registry.Digest) error {
	if err := t.names(client); err != nil {
		return err
	}
	var match *registry.Secret
	for i := range client.Secrets {
		if s := &client.Secrets[i]; s.Kind == kind && s.Digest.Equal(digest) {
			match = s
		}
	}
	switch {
	case t.req.ClientID != "" && t.req.ClientID != client.ID:
		return badClient(&Refusal{Rule: "client_id", Expected: "the client whose credential is shown", Found: registry.Excerpt(t.req.ClientID)})
	case match == nil:
		return badClient(&Refusal{Rule: "secret", Expected: "one of the client's secrets", Found: "another"})
	case !match.LiveAt(t.now):
		return badClient(&Refusal{Rule: "secret active", Expected: "an enabled secret before its end", Found: match.State(t.now)})
	case client.Disabled:
		return badClient(&Refusal{Rule: "client enabled", Expected: "an enabled client", Found: "a disabled one"})
	}
	t.shows(match.ID)
	return nil
}

// badClient is the one answer to every failed client authentication.
func badClient(refusal *Refusal) error {
	return oauth.Errorf(oauth.InvalidClient, "client authentication failed").Because(refusal)
}
