package admin_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

const keysPath = "/issuers/plain/clients/c/keys"

// withClient starts an API with client c of the plain issuer.
func withClient(t *testing.T) *testAPI {
	t.Helper()
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c","scope":"a b"}`, 201)
	return w
}

// certificate wraps a new key pair in a certificate.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c"}, NotAfter: start.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestKeyForms(t *testing.T) {
	w := withClient(t)
	signer, text := keyPair(t, jose.ES256)
	jwk := string(signer.Public().AppendJWK(nil, "from-jwk"))
	other, _ := keyPair(t, jose.EdDSA)
	object := string(other.Public().AppendJWK(nil, ""))
	for _, c := range []struct{ body, kid string }{
		{`{"key":` + quoted(publicPEM(t, jose.ES256)) + `,"kid":"named"}`, "named"},
		{`{"key":` + quoted(strings.ReplaceAll(publicPEM(t, jose.RS256), "\n", " \r\n")) + `,"kid":"rsa","alg":"PS256"}`, "rsa"},
		{`{"key":` + quoted(certificate(t)) + `,"kid":"cert","not_before":"2026-11-23T13:00:00+01:00","not_after":"2027-01-01T00:00:00Z"}`, "cert"},
		{`{"key":` + quoted(jwk) + `}`, "from-jwk"},
		{`{"key":` + object + `,"kid":null}`, other.Public().Thumbprint()},
	} {
		var k adminapi.Key
		decode(t, w.do("POST", keysPath, c.body, 201), &k)
		if k.Kid != c.kid || k.Environment != "test" || !k.Created.Equal(start) || k.Thumbprint == "" {
			t.Errorf("the new key is %+v, want kid %s", k, c.kid)
		}
	}
	keys := get[adminapi.Page[adminapi.Key]](w, keysPath).Items
	if len(keys) != 5 || keys[1].Alg != "PS256" || !keys[2].NotBefore.Equal(start) || keys[2].NotAfter.Year() != 2027 {
		t.Errorf("the keys are %+v", keys)
	}
	if keys[3].Thumbprint != signer.Public().Thumbprint() || !strings.Contains(text, "PUBLIC KEY") {
		t.Errorf("the key out of the JWK is %+v", keys[3])
	}
}

func TestKeyRefusals(t *testing.T) {
	w := withClient(t)
	signer, text := keyPair(t, jose.ES256)
	w.do("POST", keysPath, `{"kid":"k","key":`+quoted(text)+`}`, 201)
	private, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	secret, err := jose.MarshalPrivatePEM(private)
	must(t, err)
	barred, barredText := keyPair(t, jose.ES256)
	w.api.BlockedKeys = []string{barred.Public().Thumbprint()}
	const rfc7515 = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{`{"kid":"x"}`, 400, "key is missing"},
		{`{"kid":"x","key":7}`, 400, "key:"},
		{`{"kid":"x","key":"nothing"}`, 422, "neither a PEM block nor a JWK"},
		{`{"kid":"x","key":` + quoted(string(secret)) + `}`, 422, "register the public half"},
		{`{"kid":"x","key":` + quoted(barredText) + `}`, 422, "refused by configuration"},
		{`{"kid":"x","key":` + rfc7515 + `}`, 422, "published"},
		{`{"kid":"k","key":` + quoted(publicPEM(t, jose.ES256)) + `}`, 422, "already"},
		{`{"kid":"x","key":` + quoted(string(signer.Public().PEM())) + `}`, 422, "this very key already"},
		{`{"kid":"a b","key":` + quoted(publicPEM(t, jose.ES256)) + `}`, 422, "a kid is"},
		{`{"kid":"x","key":` + quoted(publicPEM(t, jose.ES256)) + `,"not_before":"2027-01-01T00:00:00Z","not_after":"2026-01-01T00:00:00Z"}`, 422, "later than"},
		{`{"kid":"x","key":` + quoted(publicPEM(t, jose.ES256)) + `,"not_after":"tomorrow"}`, 400, "not_after: want a time"},
		{`{"kid":"x","key":` + quoted(publicPEM(t, jose.ES256)) + `,"not_after":"1969-01-01T00:00:00Z"}`, 400, "not_after:"},
		{`{"kid":"x","key":` + quoted(publicPEM(t, jose.ES256)) + `,"alg":"HS256"}`, 422, "unknown algorithm"},
	} {
		w.refused("POST", keysPath, c.body, c.status, c.text)
	}
	w.refused("POST", "/issuers/plain/clients/nobody/keys", `{"key":`+quoted(publicPEM(t, jose.ES256))+`}`, 404)
	w.do("POST", "/issuers/plain/clients", `{"id":"d"}`, 201)
	w.refused("POST", "/issuers/plain/clients/d/keys", `{"kid":"x","key":`+quoted(text)+`}`, 409, "'c'")
	w.do("POST", "/issuers/bolt/clients", `{"id":"b"}`, 201)
	w.refused("POST", "/issuers/bolt/clients/b/keys", `{"kid":"x","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 422, "uses no client keys")
	if strings.Contains(w.log.String(), "PRIVATE") {
		t.Error("a private key that was refused is in the log")
	}
}

// assert signs a jwt-bearer grant of client c.
func (w *testAPI) assert(signer *jose.Signer, jti string) string {
	w.t.Helper()
	claims := fmt.Sprintf(`{"iss":"c","sub":"c","aud":"https://plain.example","exp":%d,"jti":%q}`, w.now().Add(time.Minute).Unix(), jti)
	compact, err := signer.Sign(nil, []byte(claims))
	must(w.t, err)
	return string(compact)
}

// exchange asks the plain issuer for a token.
func (w *testAPI) exchange(issuer string, req *authority.Request) error {
	w.t.Helper()
	for _, i := range w.issuers {
		if i.Name == issuer {
			_, err := w.api.Authority.Exchange(w.t.Context(), i, req)
			return err
		}
	}
	w.t.Fatalf("no issuer %s", issuer)
	return nil
}

func TestKeyChangesHoldAtOnce(t *testing.T) {
	w := withClient(t)
	signer, text := keyPair(t, jose.ES256)
	n := 0
	works := func(want bool, after string) {
		t.Helper()
		n++
		err := w.exchange("plain", &authority.Request{GrantType: oauth.JWTBearer, Assertion: w.assert(signer, fmt.Sprint(n))})
		if (err == nil) != want {
			t.Errorf("after %s: %v", after, err)
		}
	}
	works(false, "nothing")
	w.do("POST", keysPath, `{"kid":"k1","key":`+quoted(text)+`}`, 201)
	works(true, "add")
	if k := get[adminapi.Page[adminapi.Key]](w, keysPath).Items[0]; !k.LastUsed.Equal(start) {
		t.Errorf("last used %s", k.LastUsed)
	}
	w.do("PATCH", keysPath+"/k1", `{"disabled":true}`, 200)
	works(false, "disable")
	w.do("PATCH", keysPath+"/k1", `{"disabled":false}`, 200)
	works(true, "enable")
	w.do("PATCH", keysPath+"/k1", `{"not_before":"2026-11-23T13:00:00Z"}`, 200)
	works(false, "a later not-before")
	w.do("PATCH", keysPath+"/k1", `{"not_before":null,"not_after":"2026-11-23T11:00:00Z"}`, 200)
	works(false, "an earlier not-after")
	var k adminapi.Key
	decode(t, w.do("PATCH", keysPath+"/k1", `{"not_after":null}`, 200), &k)
	works(true, "no not-after")
	if !k.NotAfter.IsZero() || !k.LastUsed.Equal(start) {
		t.Errorf("the changed key is %+v", k)
	}
	w.do("PATCH", "/issuers/plain/clients/c", `{"disabled":true}`, 200)
	works(false, "the client's disable")
	w.do("PATCH", "/issuers/plain/clients/c", `{"disabled":false}`, 200)
	w.do("DELETE", keysPath+"/k1", "", 204)
	works(false, "remove")
	w.refused("DELETE", keysPath+"/k1", "", 404, "key 'k1'")
	w.refused("PATCH", keysPath+"/k1", `{}`, 404)
	checkEntries(t, w, "client.add", "key.add", "key.disable", "key.enable", "key.set", "key.set", "key.set",
		"client.disable", "client.enable", "key.remove")
	if e := w.entries()[1]; e.Object != "clients/c/keys/k1" || e.Client != "c" {
		t.Errorf("the entry is %+v", e)
	}
}

func TestKeyPatchRefusals(t *testing.T) {
	w := withClient(t)
	w.do("POST", keysPath, `{"kid":"k","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
	w.refused("PATCH", keysPath+"/k", `{"not_before":"2027-01-01T00:00:00Z","not_after":"2026-01-01T00:00:00Z"}`, 422, "later than")
	w.refused("PATCH", keysPath+"/k", `{"kid":"other"}`, 400, "unknown member 'kid'")
	if n := len(w.entries()); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}
