package authority

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// checkCertificate authenticates the client by its certificate where the set that was
// chosen has a method of mutual TLS (RFC 8705 §2): beside other credentials, or beside the
// assertion that is the grant, it must be one of the client that they name, alone of the
// one that client_id names.
func (a *Authority) checkCertificate(ctx context.Context, from Registry, t *attempt) error {
	if t.byCertificate == nil {
		return nil
	}
	if t.client == nil && t.req.ClientID == "" {
		return evidence.BadClient(&evidence.Refusal{Rule: "client_id", Expected: "the client_id of the certificate's client (RFC 8705 section 2)", Found: "none"})
	}
	s := a.judgeCertificate(t.issuer, t.byCertificate, t.req.Certificate, t.now)
	if s.ClientID, s.Client = t.req.ClientID, t.client; s.Client == nil {
		client, err := t.found(from.FindClient(ctx, t.issuer.Name, t.req.ClientID))
		if err == nil && client != nil {
			err = t.names(client)
		}
		if s.Client = client; err != nil {
			return err
		}
	}
	if err := a.matchCertificate(ctx, s); err != nil {
		return unavailable(err)
	}
	if s.PublishedErr != nil && !errors.Is(s.PublishedErr, registry.ErrNotFound) {
		return unavailable(s.PublishedErr) // nobody can tell whether the client publishes it
	}
	if err := s.Check(); err != nil {
		return err
	}
	t.shows(s.Credential())
	if s.Published == nil {
		return nil
	}
	return a.claim(ctx, s.Issuer, s.Client, s.Published, s.RefuseElsewhere)
}

// judgeCertificate finds out what does not depend on the client.
func (a *Authority) judgeCertificate(issuer *registry.Issuer, methods platform.AuthSet, shown *clientcert.Shown, now time.Time) *evidence.Certificate {
	s := &evidence.Certificate{Shown: shown, Issuer: issuer, Methods: methods, Now: now}
	if methods.Has(oauth.AuthTLS) && issuer.CertificateRoots != nil {
		s.ChainErr = shown.Verify(issuer.CertificateRoots(), now)
	} else {
		s.ChainErr = errors.New("the issuer has no tls_client_auth_ca")
	}
	if s.Leaf != nil {
		s.Names = clientcert.NamesOf(s.Leaf)
		s.BlockedErr = registry.CheckCertificateKey(s.Leaf, a.BlockedKeys)
	}
	return s
}

// matchCertificate looks for the certificate among those of the client: the registered ones, then
// those at its jwks_uri. The error is that of ctx.
func (a *Authority) matchCertificate(ctx context.Context, s *evidence.Certificate) error {
	if s.Client == nil {
		return nil
	}
	s.Match()
	selfSigned := s.Methods.Has(oauth.AuthSelfSignedTLS) && s.Leaf != nil
	if len(s.Matched) > 0 || !selfSigned || s.Client.Disabled || s.Client.JWKSURI == "" || a.KeySource == nil {
		return nil
	}
	key, err := a.KeySource.Certificate(ctx, s.Client.JWKSURI, s.Digest)
	if err == nil {
		s.Published = key
	}
	s.PublishedErr = err
	return ctx.Err()
}

// ExplainCertificate tests a certificate against every rule that can be tested, as a client would show
// it. The error is that the registry is unavailable.
func (a *Authority) ExplainCertificate(ctx context.Context, issuer *registry.Issuer, clientID string, shown *clientcert.Shown, now time.Time) ([]evidence.Finding, error) {
	var methods platform.AuthSet
	for _, method := range issuer.Profile.Policy.AuthMethods() {
		if method == oauth.AuthTLS || method == oauth.AuthSelfSignedTLS {
			methods = append(methods, method)
		}
	}
	client, _, err := known(a.Registry.FindClient(ctx, issuer.Name, clientID))
	if err != nil {
		return nil, err
	}
	s := a.judgeCertificate(issuer, methods, shown, now)
	s.ClientID, s.Client = clientID, client
	if err := a.matchCertificate(ctx, s); err != nil {
		return nil, err
	}
	return s.Findings(), nil
}

// confirmation is what the token is to be bound to (RFC 8705 §3): the certificate of the
// request, for a client whose tokens are bound.
func (t *attempt) confirmation() (string, error) {
	if t.client.BoundTokens != registry.BoundToTLS {
		return "", nil
	}
	if t.issuer.Profile.Policy.Token.Claim("cnf") == nil {
		return "", oauth.Errorf(oauth.InvalidRequest, "this client's tokens are bound to its certificate, and tokens here cannot say so").
			Because(&evidence.Refusal{Rule: "bound tokens", Expected: "a profile whose tokens have the claim cnf", Found: t.issuer.Profile.Name,
				Hint: "the profile of the issuer was changed: moneyer client set " + t.client.ID + ` --bound-tokens "" gives tokens that are bound to nothing`})
	}
	if t.req.Certificate == nil {
		return "", oauth.Errorf(oauth.InvalidRequest, "this client's tokens are bound to its certificate, and the request shows none").
			Because(&evidence.Refusal{Rule: "bound tokens", Expected: "a client certificate", Found: "none"})
	}
	return t.req.Certificate.Thumbprint(), nil
}

// Confirm refuses a token that is bound (RFC 7800) unless the certificate to which it is bound came with
// it. What else it may be bound to cannot be checked, and is refused.
func (t *ActiveToken) Confirm(shown *clientcert.Shown) error {
	if !t.IsBound() {
		return nil
	}
	bound, err := jose.ParseConfirmation(t.Claims.Confirmation)
	if err == nil && shown != nil && shown.Digest == bound {
		return nil
	}
	refusal := &evidence.Refusal{Rule: "confirmation", Expected: "the certificate that the token is bound to", Found: "another"}
	if err != nil {
		refusal.Found = err.Error()
	} else if shown == nil {
		refusal.Found, refusal.Hint = "none", "the proxy must forward its client's certificate: listen.client_cert_header and client_cert_proxies"
	}
	return inactive(refusal)
}

// IsBound reports whether the token is of use only with what it is bound to.
func (t *ActiveToken) IsBound() bool { return t.Claims.Has(jose.ClaimConfirmation) }
