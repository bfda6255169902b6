package main

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"moneyer/internal/adminapi"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// platforms is a fake of the token endpoints of every built-in profile, each below a
// path of its name, the way that their pages show it. It knows one client; a key
// is the pub.pem of the script's directory.
type platforms struct {
	dir    string
	mutual string // the URL of the server with mutual TLS
}

// fakeToken is what every platform hands out.
const fakeToken = "fake.access-token.of-the-platform"

// samplePassword has characters that need an encoding.
const samplePassword = "p%40ss+w&rd@"

// providedAssertion is by an identity provider that the platform of the profile oauth2 trusts.
const providedAssertion = "eyJhbGciOiJFUzI1NiJ9.e30.of-the-provider"

// startPlatforms serves the platforms until the script ends.
func startPlatforms(env *testscript.Env) error {
	p := &platforms{dir: env.WorkDir}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thales-d1/oauth2/token", p.d1("thales-d1"))
	mux.HandleFunc("POST /thales-d1-banking/oauth2/token", p.d1("thales-d1-banking"))
	mux.HandleFunc("POST /boltpay/auth/token", p.boltpay)
	mux.HandleFunc("POST /thales-etp/auth/accessToken", p.etp)
	mux.HandleFunc("POST /oauth2/oauth2/token", p.oauth2)
	mux.HandleFunc("POST /busy/auth/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		refuse(w, http.StatusServiceUnavailable, oauth.TemporarilyUnavailable)
	})
	mux.HandleFunc("POST /page/auth/token", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<html>welcome</html>")
	})
	mux.HandleFunc("GET /.well-known/oauth-authorization-server/oauth2", p.metadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server/other", p.metadata) // of another issuer
	mux.HandleFunc("GET /oauth2/jwks", p.jwks)
	mux.HandleFunc("POST "+adminapi.Prefix+"/issuers/d1/explain", adminExplains)
	server := httptest.NewServer(mux)
	env.Defer(server.Close)
	env.Setenv("PLATFORMS", server.URL)
	mutual := httptest.NewUnstartedServer(mux)
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	mutual.Config.ErrorLog = log.New(io.Discard, "", 0)
	mutual.StartTLS()
	env.Defer(mutual.Close)
	p.mutual = mutual.URL
	env.Setenv("TLS_PLATFORMS", mutual.URL)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: mutual.Certificate().Raw})
	return os.WriteFile(filepath.Join(env.WorkDir, "server.crt"), certificate, 0o600)
}

// issuer is the issuer URL of the platform with that name.
func issuer(r *http.Request, name string) string { return "http://" + r.Host + "/" + name }

func answer(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, body)
}

func refuse(w http.ResponseWriter, status int, code oauth.Code) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":%q,"error_description":"as you asked"}`, code)
}

// d1 takes an assertion by the key of the script's directory.
func (p *platforms) d1(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		want := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {r.PostFormValue("assertion")}}
		if r.PostForm.Encode() != want.Encode() {
			refuse(w, http.StatusBadRequest, oauth.InvalidRequest)
			return
		}
		claims := p.verify(r.PostFormValue("assertion"))
		if claims == nil || claims.Issuer != "merchant01" || claims.Subject != "merchant01" || (claims.Audience[0] != "stg" && claims.Audience[0] != issuer(r, name)) {
			refuse(w, http.StatusBadRequest, oauth.InvalidGrant)
			return
		}
		answer(w, `{"access_token":"`+fakeToken+`","token_type":"Bearer","expires_in":900,"scope":"d1-s2s:api:merchant-gtw"}`)
	}
}

// verify returns the claims of an assertion, or nil.
func (p *platforms) verify(assertion string) *jose.Claims {
	key := p.key()
	jws, err := jose.Parse(assertion)
	if err != nil || key == nil || jws.Verify(key) != nil || jws.Header.Kid == "" {
		return nil
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil || len(claims.Audience) != 1 {
		return nil
	}
	return claims
}

func (p *platforms) key() *jose.PublicKey {
	pem, err := os.ReadFile(filepath.Join(p.dir, "pub.pem"))
	if err != nil {
		return nil
	}
	key, _, _ := jose.ParsePublic(pem, "")
	return key
}

func (p *platforms) boltpay(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.PostFormValue("grant_type") != string(oauth.ClientCredentials):
		refuse(w, http.StatusBadRequest, oauth.UnsupportedGrantType)
	case r.PostForm.Get("client_id") != "shop" || r.PostForm.Get("client_secret") != samplePassword:
		refuse(w, http.StatusUnauthorized, oauth.InvalidClient)
	case r.PostForm.Get("scope") == "":
		answer(w, `{"access_token":"`+fakeToken+`","expires_in":600,"token_type":"Bearer"}`)
	default:
		answer(w, `{"access_token":"`+fakeToken+`","expires_in":600,"token_type":"Bearer","scope":"openid roles"}`)
	}
}

func (p *platforms) etp(w http.ResponseWriter, r *http.Request) {
	var body struct {
		MerchantID string   `json:"merchantId"`
		Tokens     []string `json:"tokens"`
		Scope      string   `json:"scope"`
	}
	switch {
	case r.Header.Get("x-correlation-id") == "" || json.NewDecoder(r.Body).Decode(&body) != nil || body.Scope != "PAYMENT_PASSKEY" || strings.Join(body.Tokens, " ") != "tok1 tok2 tok3":
		w.WriteHeader(http.StatusBadRequest)
	case r.Header.Get("authorization") != "APIKEY "+samplePassword:
		w.WriteHeader(http.StatusUnauthorized)
	case body.MerchantID != "m-1":
		w.WriteHeader(http.StatusNotFound)
	default:
		answer(w, `{"accessToken":"`+fakeToken+`"}`)
	}
}

func (p *platforms) oauth2(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	claims := p.verify(cmp.Or(r.PostFormValue("client_assertion"), r.PostForm.Get("assertion")))
	switch {
	case basic && id == "shop" && secret == samplePassword, claims != nil && claims.Audience[0] == issuer(r, "oauth2"),
		r.TLS != nil && r.PostForm.Get("client_id") == "shop", r.PostForm.Get("assertion") == providedAssertion,
		r.PostForm.Get("client_assertion") == providedAssertion && strings.HasSuffix(r.PostForm.Get("client_assertion_type"), ":jwt-spiffe"):
		answer(w, `{"access_token":"`+fakeToken+`","token_type":"bearer","expires_in":"600","expires_at":"2036-11-23T12:00:00.000Z"}`)
	default:
		refuse(w, http.StatusUnauthorized, oauth.InvalidClient)
	}
}

func (p *platforms) metadata(w http.ResponseWriter, r *http.Request) {
	answer(w, fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"token_endpoint":%q,"mtls_endpoint_aliases":{"token_endpoint":%q}}`,
		issuer(r, "oauth2"), issuer(r, "oauth2/jwks"), issuer(r, "oauth2/oauth2/token"), p.mutual+"/oauth2/oauth2/token"))
}

// adminExplains is a fake admin API.
func adminExplains(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+fakeToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer(w, `{"use":"grant","findings":[{"rule":"form","holds":true,"expected":"form","found":"that"},`+
		`{"rule":"key active","holds":false,"expected":"a key","found":"a disabled key","hint":"enable it"}]}`)
}

func (p *platforms) jwks(w http.ResponseWriter, _ *http.Request) {
	key := p.key()
	answer(w, `{"keys":[`+string(key.AppendJWK(nil, key.Thumbprint()))+`]}`)
}
