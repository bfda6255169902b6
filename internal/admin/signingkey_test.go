package admin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// An operator who is not on the server does not learn from a refused signing key whether
// a file exists, what is in it or who may read it. The log says it.
func TestRefusedKeyFileSaysNothing(t *testing.T) {
	w := newTestAPI(t)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), mode))
		return "file:" + path
	}
	private := func(alg jose.Alg) string {
		key, err := jose.GenerateKey(alg)
		must(t, err)
		text, err := jose.MarshalPrivatePEM(key)
		must(t, err)
		return string(text)
	}
	answers := map[string]bool{}
	for uri, logged := range map[string]string{
		"file:/nonexistent/key.pem":                                         "no such file",
		"file:" + t.TempDir():                                               "not a regular file",
		"file:/dev/zero":                                                    "not a regular file",
		"file:\x00":                                                         "invalid argument",
		file("text", "root:x:0:0", 0o600):                                   "neither a PEM block nor a JWK",
		file("open", private(jose.ES256), 0o644):                            "chmod 600",
		file("other algorithm", private(jose.EdDSA), 0o600):                 "key",
		file("long", strings.Repeat("x", 64<<10+1), 0o600):                  "longer than",
		file("public", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END", 0o600): "key",
	} {
		answers[w.do("POST", "/issuers/plain/signing-keys", `{"uri":`+quoted(uri)+`}`, 422)] = true
		lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, "private key of a new signing key refused") || !strings.Contains(last, logged) {
			t.Errorf("%q: the log says %s, want %q", uri, last, logged)
		}
	}
	if len(answers) != 1 {
		t.Errorf("the answers differ: %v", answers)
	}
	w.refused("POST", "/issuers/plain/signing-keys", `{"uri":"pkcs11:pin-value=1234"}`, 422, "known are: file")
	w.do("POST", "/issuers/plain/signing-keys", `{"uri":`+quoted(file("good", private(jose.ES256), 0o600))+`}`, 201)
}
