package evidence

import (
	"strings"
	"testing"
)

func TestFormHints(t *testing.T) {
	for _, c := range []struct{ compact, hint string }{
		{"", "it is empty"},
		{"bearer e30.e30.e30", "leave Bearer out"},
		{"assertion=e30.e30.e30", "the parameter's name"},
		{"client_assertion=e30.e30.e30", "the parameter's name"},
		{"-----BEGIN EC PRIVATE KEY-----\nMHc", "this is a key"},
		{" {\"payload\":\"e30\"}", "this is JSON"},
		{`"e30.e30.e30"`, "leave the quotes out"},
		{"e30.e30.e30\n", "leave blanks and line breaks out"},
		{"e30%2Ee30%2Ee30", "percent-encoded"},
		{"e30=.e30.e30", "no padding"},
		{"e3+.e30.e30", "base64url"},
		{"e30.e30.e30.e30.e30", "JWE"},
		{"e30.e30.", "no signature"},
		{"opaque", "three parts"},
		{"e30.e30", "three parts"},
		{"e30.e30." + strings.Repeat("A", 9000), "a few hundred bytes"},
		{"e30.e30.e30", "let a JWT library"},
	} {
		if got := formHint(c.compact); !strings.Contains(got, c.hint) {
			t.Errorf("%.40q: %q, want %q", c.compact, got, c.hint)
		}
	}
}
