package authority

import (
	"context"
	"slices"

	"moneyer/internal/evidence"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// authenticate checks the credentials of a token request, which must be a whole set of
// the profile. Where that set is empty, the grant authenticates the client. A certificate
// is checked later, by checkCertificate: the grant may be what names its client.
func (a *Authority) authenticate(ctx context.Context, t *attempt) error {
	if t.issuer.Disabled {
		return oauth.Errorf(oauth.UnauthorizedClient, "this issuer is disabled").
			Because(&evidence.Refusal{Rule: "issuer enabled", Expected: "an enabled issuer", Found: "a disabled one"})
	}
	grant := t.issuer.Profile.Policy.Grant(t.req.GrantType)
	if grant == nil {
		return oauth.Errorf(oauth.UnsupportedGrantType, "this grant_type is not served here").
			Because(&evidence.Refusal{Rule: "grant type", Expected: "one that the profile serves", Found: registry.Excerpt(string(t.req.GrantType))})
	}
	if err := t.chooseSet(grant.ClientAuth, "one of the ways that the profile lists for this grant_type"); err != nil {
		return err
	}
	for i := range t.req.Credentials {
		if err := a.checkCredential(ctx, a.Registry, t, &t.req.Credentials[i]); err != nil {
			return err
		}
	}
	return nil
}

// chooseSet refuses credentials that are not all members of one of the sets, and no
// others. A certificate is no credential by itself, since the connection may show one to
// any request: it counts where a set without one is not shown, and then it must.
func (t *attempt) chooseSet(sets []platform.AuthSet, expected string) error {
	for _, set := range sets {
		method := set.TLSMethod()
		others := len(set)
		if method != "" {
			others--
		}
		if others != len(t.req.Credentials) || slices.ContainsFunc(set, func(auth oauth.ClientAuth) bool { return auth != method && !t.req.shows(auth) }) {
			continue
		}
		if method == "" {
			t.byCertificate = nil
			return nil
		}
		t.byCertificate = append(t.byCertificate, method)
	}
	if t.byCertificate != nil && t.req.Certificate != nil {
		return nil
	}
	var shown platform.AuthSet
	for i := range t.req.Credentials {
		shown = append(shown, t.req.Credentials[i].Method)
	}
	refusal := &evidence.Refusal{Rule: "client authentication", Expected: expected, Found: shown.String()}
	if t.byCertificate != nil {
		refusal.Hint = "no client certificate came with the request"
		if t.req.CertificateIgnored {
			refusal.Hint = "a header with a client certificate came from a peer that is not in client_cert_proxies, or shows no certificate of client_cert_proxy_ca"
		}
	}
	return evidence.BadClient(refusal)
}

// checkCredential checks one credential and notes the client that it belongs to.
func (a *Authority) checkCredential(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	switch c.Method {
	case oauth.AuthBasic, oauth.AuthPost:
		return a.checkSecret(ctx, from, t, c)
	case oauth.AuthAPIKey:
		return a.checkAPIKey(ctx, from, t, c)
	case oauth.AuthPrivateKeyJWT:
		return a.checkAssertion(ctx, t, c, false)
	default:
		return evidence.BadClient(&evidence.Refusal{Rule: "client authentication", Expected: "a method that the server knows", Found: string(c.Method)})
	}
}

// checkSecret checks a client secret (RFC 6749 §2.3.1). An unknown client costs the
// same and gets the same answer as a wrong secret.
func (a *Authority) checkSecret(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	digest := a.Pepper.Digest(c.Secret)
	client, err := t.found(from.FindClient(ctx, t.issuer.Name, c.ID))
	if err != nil {
		return err
	}
	if client == nil {
		return evidence.BadClient(&evidence.Refusal{Rule: "client", Expected: "a registered client_id", Found: registry.Excerpt(c.ID)})
	}
	return t.showed(client, registry.ClientSecret, digest)
}

// checkAPIKey checks an API key, which identifies its client.
func (a *Authority) checkAPIKey(ctx context.Context, from Registry, t *attempt, c *Credential) error {
	digest := a.Pepper.Digest(c.APIKey)
	client, err := t.found(from.FindClientByDigest(ctx, t.issuer.Name, digest))
	if err != nil {
		return err
	}
	if client == nil {
		return evidence.BadClient(&evidence.Refusal{Rule: "API key", Expected: "a registered key", Found: "another"})
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
		return evidence.BadClient(&evidence.Refusal{Rule: "client_id", Expected: "the client whose credential is shown", Found: registry.Excerpt(t.req.ClientID)})
	case match == nil:
		return evidence.BadClient(&evidence.Refusal{Rule: "secret", Expected: "one of the client's secrets", Found: "another"})
	case !match.LiveAt(t.now):
		return evidence.BadClient(&evidence.Refusal{Rule: "secret active", Expected: "an enabled secret before its end", Found: match.State(t.now)})
	case client.Disabled:
		return evidence.BadClient(&evidence.Refusal{Rule: "client enabled", Expected: "an enabled client", Found: "a disabled one"})
	}
	t.shows(match.ID)
	return nil
}
