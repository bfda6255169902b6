package peers

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TestKeys parses the keys written for the servers with another library.
func TestKeys(t *testing.T) {
	ec, err := newECKey("ec")
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := newRSAKey("rsa")
	if err != nil {
		t.Fatal(err)
	}
	for _, written := range []jwk{ec, rsa} {
		text, err := json.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err != nil {
			t.Fatal(err)
		}
		if !key.Valid() || key.IsPublic() || key.KeyID != written["kid"] || key.Algorithm != written["alg"] {
			t.Errorf("read back as %+v", key)
		}
	}
}

// TestAssertions checks the claims of an assertion and verifies it with the key that the servers
// get.
func TestAssertions(t *testing.T) {
	c, err := newClient()
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.bearerBody("issuer", "subject", "audience", url.Values{"client_id": {"more"}})(0)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatal(err)
	}
	if sent.Get("client_id") != "more" {
		t.Errorf("%v lacks what was to be sent, too", sent)
	}
	token, err := jwt.ParseSigned(sent.Get("assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	written, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		t.Fatal(err)
	}
	var public jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(keySet(written)), &public); err != nil {
		t.Fatal(err)
	}
	if _, ok := public.Keys[0].Key.(*ecdsa.PublicKey); !ok {
		t.Fatalf("the servers are told %T", public.Keys[0].Key)
	}
	var claims jwt.Claims
	if err := token.Claims(&public, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != "issuer" || claims.Subject != "subject" || !claims.Audience.Contains("audience") || claims.ID == "" ||
		claims.Expiry.Time().Sub(claims.IssuedAt.Time()) != assertionLife {
		t.Errorf("%+v", claims)
	}
}

// TestConfigurations writes the configurations that need nothing installed.
func TestConfigurations(t *testing.T) {
	folder := t.TempDir()
	path, err := writeHydraConfig(folder, "127.0.0.1:4444", "https://127.0.0.1:4444", "127.0.0.1:4445", "postgres://x")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || !bytes.Contains(text, []byte(`"port": 4444`)) || !bytes.Contains(text, []byte(`"port": 4445`)) {
		t.Errorf("Hydra is told %s", text)
	}
	if path, err = writeGlewlwydConf(folder, "127.0.0.1:4593", "http://127.0.0.1:4593"); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("port=4593\n")) || bytes.Contains(text, []byte("{{")) {
		t.Errorf("Glewlwyd is told %s", text)
	}
	if _, err := fillIn("bench.sql", map[string]string{"ID": "two\nlines"}); err == nil {
		t.Error("a line break got into SQL")
	}
	if got := quoteSQL("it's"); got != "'it''s'" {
		t.Errorf("quoted as %s", got)
	}
}

// TestLockFile checks that the lock file names no registry, so that everybody can use their own.
func TestLockFile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("oidc-provider", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"resolved"`) {
		t.Error("package-lock.json names a registry; install with the .npmrc beside it")
	}
}
