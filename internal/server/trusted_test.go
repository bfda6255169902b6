package server_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// oneProvider has the key of each trusted issuer, or cannot tell.
type oneProvider struct {
	key *jose.PublicKey
	err error
}

func (p *oneProvider) Newer(context.Context, *registry.TrustedIssuer, string, string, *jose.PublicKey) *jose.PublicKey {
	return nil
}

func (p *oneProvider) Key(context.Context, *registry.TrustedIssuer, string, string) (*jose.PublicKey, error) {
	return p.key, p.err
}

// openTrusting opens a setup whose first issuer trusts a SPIFFE trust domain and a Kubernetes cluster; its
// first client has an identity with both.
func openTrusting(t *testing.T, dir string) (*testServer, *oneProvider, crypto.Signer) {
	t.Helper()
	h := readSetup(t, "testdata/transcripts/"+dir, "").open(t)
	issuer := h.setup.issuers[0]
	issuer.Trusted = []*registry.TrustedIssuer{
		{Name: "spire", Kind: registry.TrustedSPIFFE, TrustDomain: "prod.example", Algs: []string{"ES256"}, Claims: []string{"sub"}, MaxLifetime: time.Hour, Replay: "until-exp"},
		{Name: "cluster", Kind: registry.TrustedKubernetes, Issuer: "https://kubernetes.default.svc", Algs: []string{"ES256", "RS256"}, Claims: []string{"sub"}, MaxLifetime: time.Hour, Replay: "until-exp"},
	}
	client := *issuer.clients[0]
	client.Revision = 1
	for name, sub := range map[string]string{"spire": "spiffe://prod.example/gateway", "cluster": "system:serviceaccount:payments:gateway"} {
		_, err := client.AddIdentity(&issuer.Issuer, h.pepper, name, map[string]string{"sub": sub}, time.Time{}, noon)
		must(t, err)
	}
	must(t, h.store.PutClient(t.Context(), &client, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}))
	private, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	must(t, err)
	p := &oneProvider{key: public}
	h.serve(t)
	h.authority.TrustedKeys = p
	return h, p, private
}

// workloadToken is a token of one of the two.
func workloadToken(t *testing.T, h *testServer, key crypto.Signer, iss, sub string) string {
	t.Helper()
	signer, err := jose.NewSigner(key, jose.ES256, "k1", "JWT")
	must(t, err)
	claims := map[string]any{"sub": sub, "aud": []string{h.setup.issuers[0].URL}, "exp": noon.Add(5 * time.Minute).Unix()}
	if iss != "" {
		claims["iss"] = iss
	}
	payload, err := json.Marshal(claims)
	must(t, err)
	compact, err := signer.Sign(nil, payload)
	must(t, err)
	return string(compact)
}

// TestTrustedOnTheWire: tokens of trusted issuers come in the places of clients' own assertions; JWT-SVIDs
// also by a type of their own, which is malformed where no trust domain is trusted.
func TestTrustedOnTheWire(t *testing.T) {
	h, _, key := openTrusting(t, "oauth2")
	svid := workloadToken(t, h, key, "", "spiffe://prod.example/gateway")
	kubernetes := workloadToken(t, h, key, "https://kubernetes.default.svc", "system:serviceaccount:payments:gateway")
	byClient := func(kind, token string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {kind}, "client_assertion": {token}}
	}
	introspecting := byClient(oauth.AssertionTypeSPIFFE, svid)
	introspecting.Set("token", "x")
	asGrant := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {svid}}
	for name, test := range map[string]struct {
		host, path string
		form       url.Values
		status     int
	}{
		"SVID as any JWT":         {"auth", "/oauth2/token", byClient(oauth.AssertionTypeJWT, svid), 200},
		"SVID by its own type":    {"auth", "/oauth2/token", byClient(oauth.AssertionTypeSPIFFE, svid), 200},
		"SVID as the grant":       {"auth", "/oauth2/token", asGrant, 200},
		"to introspect":           {"auth", "/introspect", introspecting, 200},
		"service account":         {"auth", "/oauth2/token", byClient(oauth.AssertionTypeJWT, kubernetes), 200},
		"service account as SVID": {"auth", "/oauth2/token", byClient(oauth.AssertionTypeSPIFFE, kubernetes), 401},
		"unknown type":            {"auth", "/oauth2/token", byClient("x", svid), 400},
		"SVID where none is":      {"auth2", "/oauth2/token", byClient(oauth.AssertionTypeSPIFFE, svid), 400},
		"not trusted there":       {"auth2", "/oauth2/token", byClient(oauth.AssertionTypeJWT, svid), 401},
	} {
		if answer := h.form(t, "192.0.2.1:1", "https://"+test.host+".example.com"+test.path, test.form); answer.Code != test.status {
			t.Errorf("%s: %d %s, want %d", name, answer.Code, answer.Body, test.status)
		}
	}
}

// TestTrustedKeysUnavailable: while nobody has the keys, every platform answers 503 with Retry-After, and
// the log says whose keys are missing.
func TestTrustedKeysUnavailable(t *testing.T) {
	for dir, status := range map[string]int{"oauth2": http.StatusServiceUnavailable, "thales-d1": http.StatusServiceUnavailable} {
		h, p, key := openTrusting(t, dir)
		p.err = errors.New("no keys of the issuer: connection refused")
		issuer := h.setup.issuers[0]
		form := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {workloadToken(t, h, key, "", "spiffe://prod.example/gateway")}}
		answer := h.form(t, "192.0.2.1:1", issuer.Endpoints()[0], form)
		if answer.Code != status || answer.Header().Get("Retry-After") == "" || !isError(answer, oauth.TemporarilyUnavailable) {
			t.Errorf("%s: %d %v %s", dir, answer.Code, answer.Header(), answer.Body)
		}
		p.err = nil
		if answer := h.form(t, "192.0.2.1:1", issuer.Endpoints()[0], form); answer.Code != http.StatusOK {
			t.Errorf("%s: %d %s with the keys", dir, answer.Code, answer.Body)
		}
	}
}

func isError(answer *httptest.ResponseRecorder, code oauth.Code) bool {
	var body struct {
		Error oauth.Code `json:"error"`
	}
	return json.Unmarshal(answer.Body.Bytes(), &body) == nil && body.Error == code
}

// TestMetadataOfTrust: metadata name the method of JWT-SVIDs where a trust domain is trusted and clients may
// authenticate by a JWT, and the algorithms of all assertions.
func TestMetadataOfTrust(t *testing.T) {
	for dir, methods := range map[string][]string{
		"oauth2":    {"token_endpoint", "revocation_endpoint", "introspection_endpoint"},
		"thales-d1": {"revocation_endpoint", "introspection_endpoint"}, // at the token endpoint the grant says who asks
	} {
		h, _, _ := openTrusting(t, dir)
		_, body := h.ask(t, "GET", h.setup.issuers[0].URL+"/.well-known/oauth-authorization-server")
		var m map[string]any
		must(t, json.Unmarshal([]byte(body), &m))
		for _, endpoint := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint"} {
			got := fmt.Sprint(m[endpoint+"_auth_methods_supported"])
			if has := slices.Contains(methods, endpoint); has != containsWord(got, "spiffe_jwt") {
				t.Errorf("%s: %s takes %s", dir, endpoint, got)
			}
			if algs := fmt.Sprint(m[endpoint+"_auth_signing_alg_values_supported"]); slices.Contains(methods, endpoint) && !containsWord(algs, "RS256") {
				t.Errorf("%s: %s takes %s", dir, endpoint, algs)
			}
		}
	}
}

func containsWord(list, word string) bool {
	return slices.Contains(splitFields(list[1:len(list)-1]).words, word)
}
