package server_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/bearer"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

// showing is the SDK's way to a certificate that stays.
func showing(pair tls.Certificate) tokensource.CertificateFunc {
	return func(context.Context) (*tls.Certificate, error) { return &pair, nil }
}

// demand has the first issuer demand a certificate by that method beside each set of its
// profile, and registers pair for the client of an sdk line: itself, or by its name.
func (s *setup) demand(t *testing.T, sdk *fields, method oauth.ClientAuth, ca *certtest.CA, pair tls.Certificate) {
	t.Helper()
	issuer := s.issuers[0]
	s.certificates = &server.Certificates{}
	p := *issuer.Profile
	p.Policy = p.Policy.WithCertificate([]oauth.ClientAuth{method})
	issuer.Profile, issuer.CertificateRoots = &p, ca.Roots
	issuer.MTLSURL = strings.Replace(issuer.URL, "https://", "https://mtls-", 1)
	match, text := registry.MatchSANDNS, "client.example"
	if method == oauth.AuthSelfSignedTLS {
		match, text = registry.MatchCertificate, string(certtest.PEM(leafOf(t, pair)))
	}
	for _, c := range issuer.clients {
		if c.ID == sdk.named["client"] {
			_, err := c.AddCertificate(&issuer.Issuer, nil, registry.Certificate{Match: match, Value: text}, noon)
			must(t, err)
			return
		}
	}
	t.Fatal("no client of the sdk line")
}

func leafOf(t *testing.T, pair tls.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	must(t, err)
	return leaf
}

func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = []string{name} }
}

// wantRefused checks that the platform refused, and not for now.
func wantRefused(t *testing.T, what string, err error) {
	t.Helper()
	if refused := new(oauth.Error); !errors.As(err, &refused) || refused.Code.Retryable() || refused.Code == oauth.ServerError {
		t.Errorf("%s: %v, want a refusal", what, err)
	}
}

// TestSDKWithCertificate: every platform can demand a certificate beside what it takes (RFC
// 8705 §2), and package tokensource shows it at the endpoint that the metadata name for it
// (§5); without it, or with another one, there is no token.
func TestSDKWithCertificate(t *testing.T) {
	ca := certtest.NewCA(t, noon)
	other := ca.Client(t, "other", named("other.example"))
	pairs := map[oauth.ClientAuth]tls.Certificate{
		oauth.AuthTLS: ca.Client(t, "client", named("client.example")), oauth.AuthSelfSignedTLS: certtest.SelfSigned(t, noon, "client", nil),
	}
	for _, dir := range transcriptDirs(t) {
		for line := range readSetup(t, dir, "").sdk {
			for method, pair := range pairs {
				t.Run(fmt.Sprintf("%s/%d/%s", filepath.Base(dir), line, method), func(t *testing.T) {
					s := readSetup(t, dir, "")
					sdk := s.sdk[line]
					s.demand(t, sdk, method, ca, pair)
					h := s.open(t)
					issuer, source := s.source(t, h, sdk)
					testSDKWithCertificate(t, h.verifiers[issuer.URL], source, pair, other)
				})
			}
		}
	}
}

// testSDKWithCertificate lets a source without a certificate, with another one, and with
// that of its client ask for a token.
func testSDKWithCertificate(t *testing.T, verifier *bearer.Verifier, source *tokensource.Source, pair, other tls.Certificate) {
	t.Helper()
	_, err := source.Fetch(t.Context())
	wantRefused(t, "without a certificate", err)
	shows := func(pair tls.Certificate) *tokensource.Source {
		again := &tokensource.Source{Profile: source.Profile, Issuer: source.Issuer, Credential: source.Credential, Scope: source.Scope,
			Params: source.Params, HTTPClient: source.HTTPClient, Now: source.Now, Discover: true}
		again.Credential.Certificate = showing(pair)
		return again
	}
	_, err = shows(other).Fetch(t.Context())
	wantRefused(t, "with another certificate", err)
	if !strings.Contains(fmt.Sprint(err), "tokensource: mtls-") {
		t.Errorf("the endpoint for mutual TLS was not asked: %v", err)
	}
	token, err := shows(pair).Token(t.Context())
	must(t, err)
	_, err = verifier.Verify(t.Context(), token.AccessToken)
	must(t, err)
}

// everySet is a setup of plain OAuth 2.0 whose profile has sets of every kind.
const everySet = `profile every.toml
issuer plain https://auth.example.com resource=https://api.example.com
client app-1 scope=read grants=client_credentials,urn:ietf:params:oauth:grant-type:jwt-bearer
key k1
secret s1 secret-of-app-1
apikey a1 key-of-app-1
sdk client=app-1 key=k1 secret=secret-of-app-1 apikey=key-of-app-1
`

// newEverySet writes it down.
func newEverySet(t *testing.T) *setup {
	t.Helper()
	dir := t.TempDir()
	plain, err := profile.Builtin("oauth2")
	must(t, err)
	text := string(plain.Source())
	for _, change := range [][2]string{
		{`client_auth = ["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"]`,
			`client_auth = ["client_secret_basic", "client_secret_post", "private_key_jwt", "api_key", "tls_client_auth", "self_signed_tls_client_auth", ` +
				`"client_secret_basic + api_key", "private_key_jwt + api_key", "client_secret_basic + private_key_jwt", "client_secret_post + tls_client_auth", ` +
				`"api_key + self_signed_tls_client_auth", "private_key_jwt + tls_client_auth", "client_secret_basic + private_key_jwt + api_key + self_signed_tls_client_auth"]`},
		{`client_auth = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]`,
			`client_auth = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt", "api_key", "tls_client_auth", "private_key_jwt + self_signed_tls_client_auth"]`},
		{"[wire.correlation]", "[wire.api_key]\nheader = \"x-api-key\"\n\n[wire.correlation]"},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the profile oauth2 has no %q", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	must(t, os.WriteFile(filepath.Join(dir, "every.toml"), []byte(text), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "setup"), []byte(everySet), 0o600))
	s := readSetup(t, dir, "")
	s.certificates = &server.Certificates{}
	return s
}

// TestSDKSets: each set of each grant that the server checks, package tokensource
// produces, and Auth selects it by its text. With a wrong certificate a set that has one
// is refused.
func TestSDKSets(t *testing.T) {
	ca := certtest.NewCA(t, noon)
	issued, own := ca.Client(t, "client", named("client.example")), certtest.SelfSigned(t, noon, "client", nil)
	s := newEverySet(t)
	s.issuers[0].CertificateRoots = ca.Roots
	client := s.issuers[0].clients[0]
	for match, text := range map[registry.CertificateMatch]string{registry.MatchSANDNS: "client.example", registry.MatchCertificate: string(certtest.PEM(leafOf(t, own)))} {
		_, err := client.AddCertificate(&s.issuers[0].Issuer, nil, registry.Certificate{Match: match, Value: text}, noon)
		must(t, err)
	}
	h := s.open(t)
	issuer, whole := s.source(t, h, s.sdk[0])
	fetch := func(grant oauth.GrantType, set platform.AuthSet, pair tls.Certificate) error {
		c := whole.Credential
		c.Grant, c.Auth = grant, oauth.ClientAuth(set.String())
		if set.TLSMethod() != "" {
			c.Certificate = showing(pair)
		}
		token, err := (&tokensource.Source{Profile: whole.Profile, Issuer: issuer.URL, Credential: c, HTTPClient: h.client, Now: h.Now}).Fetch(t.Context())
		if err == nil {
			_, err = h.verifiers[issuer.URL].Verify(t.Context(), token.AccessToken)
		}
		return err
	}
	tokens := 0
	for _, grant := range issuer.Profile.Policy.Grants {
		for _, set := range grant.ClientAuth {
			tokens++
			good, wrong := issued, own
			if set.TLSMethod() == oauth.AuthSelfSignedTLS {
				good, wrong = own, issued
			}
			if err := fetch(grant.Type, set, good); err != nil {
				t.Errorf("%s with %s: %v", grant.Type, set, err)
			}
			others := slices.DeleteFunc(slices.Clone(set), func(auth oauth.ClientAuth) bool { return auth == set.TLSMethod() })
			same := func(listed platform.AuthSet) bool { return listed.String() == others.String() }
			if set.TLSMethod() != "" && len(others) > 0 && !slices.ContainsFunc(grant.ClientAuth, same) { // nothing else that is listed is shown
				wantRefused(t, fmt.Sprintf("%s with %s, by a certificate of the other method", grant.Type, set), fetch(grant.Type, set, wrong))
			}
		}
	}
	minted := 0
	for _, record := range h.entries(t) {
		if entry, err := record.Entry(); err == nil && entry.Kind == ledger.KindToken {
			minted++
		}
	}
	if minted != tokens {
		t.Errorf("%d tokens in the ledger, want %d", minted, tokens)
	}
}

// TestSDKBoundTokens: RFC 8705 §3. The token of a client with bound_tokens is good for an
// API only over a connection with the certificate with which it was obtained.
func TestSDKBoundTokens(t *testing.T) {
	first, second := certtest.SelfSigned(t, noon, "first", nil), certtest.SelfSigned(t, noon, "second", nil)
	s := newEverySet(t)
	client := s.issuers[0].clients[0]
	client.BoundTokens = registry.BoundToTLS
	for _, pair := range []tls.Certificate{first, second} {
		_, err := client.AddCertificate(&s.issuers[0].Issuer, nil, registry.Certificate{Match: registry.MatchCertificate, Value: string(certtest.PEM(leafOf(t, pair)))}, noon)
		must(t, err)
	}
	h := s.open(t)
	issuer, source := s.source(t, h, s.sdk[0])
	verifier := h.verifiers[issuer.URL]
	verifier.CacheSize = 10
	api := httptest.NewUnstartedServer(verifier.Require("read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, bearer.ClaimsFrom(r.Context()).Confirmation.Thumbprint())
	})))
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	api.StartTLS()
	t.Cleanup(api.Close)

	source.Credential.Auth = oauth.AuthSelfSignedTLS
	_, err := (&tokensource.Source{Profile: source.Profile, Issuer: source.Issuer, Credential: source.Credential, HTTPClient: h.client, Now: h.Now}).Fetch(t.Context())
	wantRefused(t, "without a certificate", err)
	current := first
	source.Credential.Certificate = func(context.Context) (*tls.Certificate, error) { pair := current; return &pair, nil }
	trusting := h.client.Transport.(*http.Transport).Clone()
	trusting.TLSClientConfig.RootCAs.AddCert(api.Certificate())
	call := func(base http.RoundTripper) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, http.NoBody)
		must(t, err)
		resp, err := (&tokensource.Transport{Source: source, Base: base}).RoundTrip(req)
		must(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, current = range []tls.Certificate{first, second} {
		if status := call(tokensource.WithCertificate(trusting, showing(current))); status != 200 {
			t.Errorf("with its certificate: %d", status)
		}
		if status := call(trusting); status != 401 {
			t.Errorf("without one: %d", status)
		}
	}
	if status := call(tokensource.WithCertificate(trusting, showing(first))); status != 401 {
		t.Errorf("with another of the client's: %d", status)
	}
	token, err := source.Token(t.Context())
	must(t, err)
	if _, err := verifier.Verify(t.Context(), token.AccessToken); err == nil {
		t.Error("a bound token is accepted without a request")
	}
}

// providerKeys are the keys of the trusted issuers of a test.
type providerKeys map[string]*jose.PublicKey

func (k providerKeys) Newer(context.Context, *registry.TrustedIssuer, string, string, *jose.PublicKey) *jose.PublicKey {
	return nil
}

func (k providerKeys) Key(_ context.Context, t *registry.TrustedIssuer, _, _ string) (*jose.PublicKey, error) {
	return k[t.Name], nil
}

// TestSDKAssertionOfAnother: what an identity provider made is the grant or the client's
// authentication, as it is and as a JWT-SVID, also beside a certificate and by the profile
// of D1.
func TestSDKAssertionOfAnother(t *testing.T) {
	key := keyOf(t, "provider", "ES256")
	public, err := jose.NewPublicKey(key.Public(), jose.ES256)
	must(t, err)
	pair := certtest.SelfSigned(t, noon, "client", nil)
	for name, row := range map[string]struct {
		setup      *setup
		credential tokensource.Credential
		kind       registry.TrustedKind
	}{
		"authentication":  {newEverySet(t), tokensource.Credential{}, registry.TrustedJWT},
		"the grant":       {newEverySet(t), tokensource.Credential{Grant: oauth.JWTBearer}, registry.TrustedJWT},
		"beside a secret": {newEverySet(t), tokensource.Credential{ClientID: "app-1", Secret: "secret-of-app-1", Grant: oauth.JWTBearer, Auth: oauth.AuthBasic}, registry.TrustedJWT},
		"beside a certificate": {newEverySet(t), tokensource.Credential{Grant: oauth.JWTBearer, Auth: "self_signed_tls_client_auth + private_key_jwt", ClientID: "app-1",
			Key: keyOf(t, "", "ES256"), Kid: "k1", Certificate: showing(pair)}, registry.TrustedJWT},
		"a JWT-SVID":    {newEverySet(t), tokensource.Credential{AssertionType: oauth.AssertionTypeSPIFFE}, registry.TrustedSPIFFE},
		"D1's merchant": {readSetup(t, filepath.Join("testdata", "transcripts", "thales-d1"), ""), tokensource.Credential{}, registry.TrustedJWT},
	} {
		t.Run(name, func(t *testing.T) {
			s := row.setup
			issuer := s.issuers[0]
			trusted := &registry.TrustedIssuer{Name: "idp", Issuer: "https://idp.example", Kind: row.kind, Algs: []string{"ES256"}, Claims: []string{"sub"},
				MaxLifetime: 15 * time.Minute, Replay: platform.ReplayOnce}
			subject := "workload-7"
			if row.kind == registry.TrustedSPIFFE {
				trusted.Issuer, trusted.TrustDomain, trusted.Replay, subject = "", "prod.example", platform.ReplayUntilExp, "spiffe://prod.example/shop"
			}
			issuer.Trusted = append(issuer.Trusted, trusted)
			id := s.sdk[0].named["client"]
			h := s.openTrusting(t, trusted, public, subject, pair)
			if row.credential.Key != nil {
				row.credential.Key = s.keys["k1"].private
			}
			row.credential.Assertion = provider(t, key, trusted, subject, issuer.URL, h.Now)
			source := &tokensource.Source{Profile: s.profile, Issuer: issuer.URL, Credential: row.credential, HTTPClient: h.client, Now: h.Now}
			token, err := source.Fetch(t.Context())
			must(t, err)
			claims, err := h.verifiers[issuer.URL].Verify(t.Context(), token.AccessToken)
			must(t, err)
			if claims.ClientID != id {
				t.Errorf("the token is of %q", claims.ClientID)
			}
		})
	}
}

// openTrusting opens the setup with an identity and a certificate of the sdk line's client.
func (s *setup) openTrusting(t *testing.T, trusted *registry.TrustedIssuer, key *jose.PublicKey, subject string, pair tls.Certificate) *testServer {
	t.Helper()
	h := s.open(t)
	h.authority.TrustedKeys = providerKeys{trusted.Name: key}
	issuer := s.issuers[0]
	client, _, err := h.store.FindClient(t.Context(), issuer.Name, s.sdk[0].named["client"])
	must(t, err)
	changed := *client
	_, err = changed.AddIdentity(&issuer.Issuer, h.pepper, trusted.Name, map[string]string{"sub": subject}, time.Time{}, noon)
	must(t, err)
	if issuer.Profile.Policy.Uses(oauth.AuthSelfSignedTLS) {
		_, err = changed.AddCertificate(&issuer.Issuer, nil, registry.Certificate{Match: registry.MatchCertificate, Value: string(certtest.PEM(leafOf(t, pair)))}, noon)
		must(t, err)
	}
	must(t, h.store.PutClient(t.Context(), &changed, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}))
	return h
}

// provider makes an identity provider's assertions.
func provider(t *testing.T, key crypto.Signer, trusted *registry.TrustedIssuer, subject, audience string, now func() time.Time) func(context.Context) (string, error) {
	t.Helper()
	signer, err := assertion.NewSigner(key, "ES256", "provider-1", "JWT")
	must(t, err)
	return func(context.Context) (string, error) {
		return signer.Sign(assertion.Assertion{Issuer: trusted.Issuer, Subject: subject, Audience: []string{audience}, ID: assertion.NewID(), IssuedAt: now(), Expiry: now().Add(5 * time.Minute)})
	}
}

// TestSDKRevocationListByCertificate: the list of revocations that is for clients alone
// is shown to one that authenticates by its certificate.
func TestSDKRevocationListByCertificate(t *testing.T) {
	pair, other := certtest.SelfSigned(t, noon, "api", nil), certtest.SelfSigned(t, noon, "other", nil)
	s := newEverySet(t)
	issuer := s.issuers[0]
	issuer.PrivateRevocations, issuer.clients[0].Introspects = true, true
	_, err := issuer.clients[0].AddCertificate(&issuer.Issuer, nil, registry.Certificate{Match: registry.MatchCertificate, Value: string(certtest.PEM(leafOf(t, pair)))}, noon)
	must(t, err)
	h := s.open(t)
	base := h.client.Transport.(*http.Transport)
	for name, row := range map[string]struct {
		credential bearer.Credential
		shown      tls.Certificate
		good       bool
	}{
		"its certificate":          {bearer.Credential{ClientID: "app-1", Certificate: true}, pair, true},
		"another":                  {bearer.Credential{ClientID: "app-1", Certificate: true}, other, false},
		"without its id":           {bearer.Credential{}, pair, false},
		"a secret beside one":      {bearer.Credential{ClientID: "app-1", Secret: "secret-of-app-1"}, pair, true},
		"a wrong secret beside it": {bearer.Credential{ClientID: "app-1", Secret: "wrong", Certificate: true}, pair, false},
	} {
		list := &bearer.RevocationList{Issuer: issuer.URL, Keys: h.verifiers[issuer.URL].Keys, Credential: row.credential, Now: h.Now,
			HTTPClient: &http.Client{Transport: tokensource.WithCertificate(base, showing(row.shown))}}
		if _, err := list.Revoked(t.Context(), &bearer.Claims{Payload: []byte("{}")}); (err == nil) != row.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
