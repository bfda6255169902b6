package tokensource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/tokensource"
)

// secretFiles are files as users make them, and why each cannot hold a secret; "" where it can.
var secretFiles = map[string]string{
	"sec.lf": "", "sec.crlf": "", "sec.lflf": "",
	"sec.bom":   "byte order mark",
	"sec.empty": "empty",
	"sec.nul":   "NUL",
	"sec.space": "blank",
	"sec.utf16": "UTF-16",
}

func TestParseSecretFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/secret-endings/*")
	if err != nil || len(files) != len(secretFiles) {
		t.Fatalf("%d files for %d rows (%v)", len(files), len(secretFiles), err)
	}
	for _, file := range files {
		want, known := secretFiles[filepath.Base(file)]
		if !known {
			t.Errorf("%s has no row", file)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := tokensource.ParseSecret(data)
		if want == "" && (err != nil || secret != "secret-0123456789") {
			t.Errorf("%s: %q, %v", file, secret, err)
		}
		if want != "" && (err == nil || secret != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-")) {
			t.Errorf("%s: %q, %v; want %q", file, secret, err, want)
		}
	}
}

// A Credential is not trimmed: what cannot be a secret is refused before anything is sent.
func TestCredentialThatCannotBeASecret(t *testing.T) {
	for _, name := range []string{"boltpay", "thales-etp"} { // by a client secret, by an API key
		for text, want := range map[string]string{
			"secret-0123\n": "line end", "\ufeffsecret-0123": "byte order mark", "secret-0123 ": "blank", "secret\x00": "NUL",
		} {
			s := sourceFor(t, name)
			if s.Credential.Secret != "" {
				s.Credential.Secret = text
			} else {
				s.Credential.APIKey = text
			}
			e := &endpoint{}
			s.HTTPClient = e.client()
			_, err := s.Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123") || len(e.bodies) > 0 {
				t.Errorf("%s, %q: %v, %d requests; want %q", name, text, err, len(e.bodies), want)
			}
		}
	}
}
