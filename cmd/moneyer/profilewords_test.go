package main

import (
	"os"
	"strings"
	"testing"

	"moneyer/internal/platform"
)

// TestProfileWords: each word of a profile that changes what the server does changes the summary.
func TestProfileWords(t *testing.T) {
	for _, row := range []struct{ base, old, new, topic, want string }{
		{"oauth2", `path = "/oauth2/token"`, `path = "/t/"`, "endpoint", "POST {issuer}/t/, form body"},
		{"oauth2", `errors = "rfc6749"`, "errors = \"rfc6749\"\ntoken_type = \"MAC\"", "answer", "; the token type is MAC"},
		{"oauth2", `errors = "rfc6749"`, "errors = \"rfc6749\"\nbasic = \"plain\"", "callers", "by HTTP Basic, as they are"},
		{"oauth2", `max_length = 2048`, `max_length = 99`, "parameters", "scope (optional, up to 99 characters)"},
		{"oauth2", "[wire.correlation]\nheader = \"x-correlation-id\"\nmax_length = 64\nchars = \"url-safe\"", "", "correlation", "no header"},
		{"oauth2", `name = "oauth2"`, `name = "oauth2"`, "assertion", "as client authentication: claims iss sub aud exp, sub is the client, aud is the issuer URL"},
		{"oauth2", `require = ["iss", "sub", "aud", "exp"]`, `require = ["jti"]`, "assertion", "; claims iss exp jti; sub is the client; "},
		{"thales-d1", `require = ["iss", "sub", "aud", "exp"]`, `forbid = ["sub", "aud"]`, "assertion", "; claims iss exp; must not have sub aud; exp at most"},
		{"oauth2", `require = ["iss", "sub", "aud", "exp"]`, `require = ["jti", "iat"]`, "assertion", "; as client authentication: claims iss sub aud exp iat jti, sub is"},
		{"oauth2", `name = "oauth2"`, `name = "oauth2"`, "parameters", "; others are ignored"},
		{"thales-d1", `name = "thales-d1"`, `name = "thales-d1"`, "parameters", "; other members of a JSON body are refused"},
		{"thales-etp", `name = "thales-etp"`, `name = "thales-etp"`, "parameters", "; others are ignored"},
		{"thales-etp", `name = "thales-etp"`, `name = "thales-etp"`, "callers", "in the header authorization after APIKEY"},
		{"thales-d1", `errors = "rfc6749"`, "errors = \"rfc6749\"\nstatus = { invalid_grant = 401, invalid_client = 403 }", "errors", "error_description; 403 for invalid_client; 401 for invalid_grant"},
		{"oauth2", `replay = "once"`, `replay = "same-token"`, "assertion", "gives the same token again"},
		{"oauth2", `default = "registered"`, `default = "nothing"`, "scope", "others are refused; none asked for: none"},
		{"boltpay", `name = "boltpay"`, `name = "boltpay"`, "scope", "words that the client is not registered for are refused, unknown ones ignored; none asked for: none"},
		{"thales-d1", `default = "registered"`, `default = "nothing"`, "scope", "not asked for; none"},
	} {
		source, err := os.ReadFile("../../profile/builtin/" + row.base + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(source), "[demo]")
		if !strings.Contains(text, row.old) {
			t.Fatalf("%s has no %q", row.base, row.old)
		}
		p, err := platform.Parse("p.toml", []byte(strings.Replace(text, row.old, row.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, r := range summarize(p) {
			if r[0] == row.topic {
				found = r[1]
			}
		}
		if !strings.Contains(found, row.want) {
			t.Errorf("%s: %s is %q, want %q in it", row.new, row.topic, found, row.want)
		}
	}
}
