package daemon

import (
	"crypto"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// identityProvider publishes the keys of a trusted issuer, and signs as one.
type identityProvider struct {
	*httptest.Server
	private crypto.Signer
	down    atomic.Bool
	asked   atomic.Int64
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{private: private}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, public.AppendJWK(nil, "k1"))
	}))
	t.Cleanup(p.Close)
	return p
}

// token is one of Keycloak's shape.
func (p *identityProvider) token(t *testing.T, kid, audience string) string {
	t.Helper()
	signer, err := jose.NewSigner(p.private, jose.ES256, kid, "JWT")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	compact, err := signer.Sign(nil, fmt.Appendf(nil, `{"exp":%d,"iat":%d,"jti":%q,"iss":%q,"aud":%q,"typ":"Bearer","azp":"acme"}`,
		now+300, now, fmt.Sprint(time.Now().UnixNano()), p.URL+"/realms/r", audience))
	if err != nil {
		t.Fatal(err)
	}
	return string(compact)
}

// ask sends an assertion as the grant.
func ask(t *testing.T, s *Server, assertion string) *http.Response {
	t.Helper()
	resp, err := http.PostForm("http://"+s.Addr()+"/plain/oauth2/token", url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {assertion}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// TestTrustedIssuer: a running server takes a trusted issuer's tokens, reads its keys in the background,
// keeps them through an outage and a reload, and answers 503 while it has none.
func TestTrustedIssuer(t *testing.T) {
	p, file := newIdentityProvider(t), newFolder(t)
	settings := fmt.Sprintf("[issuers.plain.trusted.kc]\nissuer = %q\njwks_uri = %q\nclaims = [\"azp\"]\n", p.URL+"/realms/r", p.URL+"/certs")
	configure := func(edit ...string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(string(text), "[issuers.plain.trusted")
		if err := os.WriteFile(file, []byte(before+strings.NewReplacer(edit...).Replace(settings)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure()
	s := newTestServer(t, file, io.Discard)
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	issuer := s.snapshot.Issuers[0]
	client := &registry.Client{Issuer: issuer.Name, ID: "acme", Created: time.Now().UTC()}
	if _, err := client.AddIdentity(issuer, s.Pepper(), "kc", map[string]string{"azp": "acme"}, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.Store().PutClient(t.Context(), client, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now().UTC(), Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	reload := func() {
		t.Helper()
		if err := s.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := func(kid string, status int) {
		t.Helper()
		resp := ask(t, s, p.token(t, kid, issuer.URL))
		if resp.StatusCode != status || (status == http.StatusServiceUnavailable) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("kid %s: %d, want %d; Retry-After %q", kid, resp.StatusCode, status, resp.Header.Get("Retry-After"))
		}
	}
	want("k1", http.StatusOK)
	want("k2", http.StatusBadRequest)
	s.refreshTrusted(t.Context())
	if n := p.asked.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	p.down.Store(true)
	want("k1", http.StatusOK)
	configure("claims", "max_lifetime = \"10m\"\nclaims")
	reload()
	want("k1", http.StatusOK)
	if n := p.asked.Load(); n != 1 {
		t.Errorf("%d fetches after a reload", n)
	}
	configure("/certs", "/others")
	reload()
	want("k1", http.StatusServiceUnavailable)
	configure("claims", "disabled = true\nclaims")
	reload()
	want("k1", http.StatusBadRequest)
}
