package authority_test

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// shownCertificate is a certificate as a connection shows it.
func shownCertificate(t *testing.T, name string) *clientcert.Shown {
	t.Helper()
	return shownOf(certtest.SelfSigned(t, noon, name, nil))
}

// shownOf is what a request shows of a certificate, with the rest of its chain.
func shownOf(pair tls.Certificate, chain ...*x509.Certificate) *clientcert.Shown {
	return clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: append([]*x509.Certificate{pair.Leaf}, chain...)})
}

// TestAuthenticationBesideAnAssertion: client authentication beside an assertion that is
// the grant is optional, and checked where it is shown (RFC 7521 §4.1).
func TestAuthenticationBesideAnAssertion(t *testing.T) {
	h := newFixture(t, "oauth2")
	secret := h.newSecret(t, registry.ClientSecret)
	req := grantRequest(h.assertion())
	req.Credentials = secretRequest(secret).Credentials
	h.gets(t, req)

	other := *h.client()
	other.ID, other.Keys = otherID, nil
	h.registry.clients[otherID] = &other
	req = grantRequest(h.assertion())
	req.Credentials = []authority.Credential{{Method: oauth.AuthPost, ID: otherID, Secret: secret}}
	token, err := h.exchange(req)
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != "one client" {
		t.Errorf("authenticated as another client: %s by %q", e.Code, refusal.Rule)
	}
}

// TestTwoAssertions: both are consumed in one step, and neither is good once more.
func TestTwoAssertions(t *testing.T) {
	h := newFixture(t, "oauth2")
	both := func(grant, client string) *authority.Request {
		req := grantRequest(grant)
		req.Credentials = clientAuthRequest(client).Credentials
		return req
	}
	grant, client := h.assertion(), h.assertion()
	h.gets(t, both(grant, client))
	if n := len(h.ledger.used); n != 2 {
		t.Fatalf("%d values were consumed, want 2", n)
	}
	fresh := h.assertion()
	for name, want := range map[string]struct {
		req  *authority.Request
		code oauth.Code
	}{
		"the grant":  {both(grant, fresh), oauth.InvalidGrant},
		"the client": {both(fresh, client), oauth.InvalidClient},
	} {
		for range 2 { // the second time from memory
			token, err := h.exchange(want.req)
			if e, refusal := refusalOf(t, token, err); e.Code != want.code || refusal.Rule != "one use" {
				t.Errorf("%s again: %s by %q", name, e.Code, refusal.Rule)
			}
		}
	}
	h.gets(t, grantRequest(fresh)) // the refusals consumed nothing
}

// TestOneAssertionIsNotTwo: an assertion that is both the grant and the client's
// authentication is used twice, which its caller is told; nothing is consumed.
func TestOneAssertionIsNotTwo(t *testing.T) {
	h := newSQLiteFixture(t, "oauth2")
	assertion := h.assertion()
	req := grantRequest(assertion)
	req.Credentials = clientAuthRequest(assertion).Credentials
	token, err := h.exchange(req)
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != "one use" {
		t.Errorf("%s by %q", e.Code, refusal.Rule)
	}
	h.gets(t, grantRequest(assertion))
}

// TestSameTokenIsForOneAssertion: where the same assertion gives the same token, it does
// not with client authentication by an assertion beside it, which is good for one use.
func TestSameTokenIsForOneAssertion(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.issuer.Replay = "same-token"
	req := grantRequest(h.assertion())
	req.Credentials = clientAuthRequest(h.assertion()).Credentials
	h.gets(t, req)
	token, err := h.exchange(req)
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "one use" {
		t.Errorf("refused by %q", refusal.Rule)
	}
}

// TestDemandedCertificate: where the issuer demands a certificate beside what the profile
// takes, both must be shown, and name the same client.
func TestDemandedCertificate(t *testing.T) {
	for name, request := range map[string]func(*fixture) *authority.Request{
		"thales-d1":  func(h *fixture) *authority.Request { return grantRequest(h.assertion()) },
		"thales-etp": func(h *fixture) *authority.Request { return apiKeyRequest(h.newSecret(t, registry.APIKey)) },
	} {
		h := newFixture(t, name)
		if name == "thales-etp" {
			h.addAccount()
		}
		demanding := *h.issuer.Profile
		demanding.Policy = demanding.Policy.WithCertificate([]oauth.ClientAuth{oauth.AuthTLS, oauth.AuthSelfSignedTLS})
		mine := shownCertificate(t, "mine")
		h.client().Certificates = []registry.Certificate{{ID: "c1", Match: registry.MatchCertificate, Value: mine.Thumbprint()}}

		without := request(h)
		without.Certificate = shownCertificate(t, "any") // nobody looks at it
		h.gets(t, without)
		h.issuer.Profile = &demanding
		for found, want := range map[*clientcert.Shown]string{nil: "client authentication", shownCertificate(t, "other"): "client certificate"} {
			req := request(h)
			req.Certificate = found
			token, err := h.exchange(req)
			if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidClient || refusal.Rule != want {
				t.Errorf("%s: %s by %q, want invalid_client by %q", name, e.Code, refusal.Rule, want)
			}
		}
		req := request(h)
		req.Certificate = mine
		h.gets(t, req)
		h.client().Certificates[0].Disabled = true
		req = request(h)
		req.Certificate = mine
		if token, err := h.exchange(req); err == nil {
			t.Errorf("%s: a disabled certificate gives token %v", name, token)
		}
	}
}

// TestBoundTokens: a client whose tokens are bound gets none that is not (RFC 8705 §3.4).
func TestBoundTokens(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.client().BoundTokens = registry.BoundToTLS
	token, err := h.exchange(grantRequest(h.assertion()))
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidRequest || refusal.Rule != "bound tokens" {
		t.Errorf("without a certificate: %s by %q", e.Code, refusal.Rule)
	}
	req := grantRequest(h.assertion())
	req.Certificate = shownCertificate(t, "mine")
	bound := h.gets(t, req)
	want := map[string]any{"x5t#S256": req.Certificate.Thumbprint()}
	if got := claimsOf(t, bound)["cnf"]; !reflect.DeepEqual(got, want) {
		t.Errorf("cnf is %v, want %v", got, want)
	}

	h.issuer.Replay = "same-token"
	req = grantRequest(h.assertion())
	req.Certificate = shownCertificate(t, "mine")
	first := h.gets(t, req)
	if again := h.gets(t, req); again.Token != first.Token {
		t.Error("the same request got another token")
	}
	req.Certificate = shownCertificate(t, "other")
	if token, err := h.exchange(req); err == nil {
		t.Errorf("with another certificate: the token %v", token)
	}
}

// TestBoundTokensElsewhere: a client whose tokens are bound gets none where a token cannot say so, as after
// a change of the issuer's profile.
func TestBoundTokensElsewhere(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.client().BoundTokens = registry.BoundToTLS
	req := grantRequest(h.assertion())
	req.Certificate = shownCertificate(t, "mine")
	token, err := h.exchange(req)
	if e, refusal := refusalOf(t, token, err); e.Code != oauth.InvalidRequest || refusal.Rule != "bound tokens" {
		t.Errorf("%s by %q", e.Code, refusal.Rule)
	}
}
