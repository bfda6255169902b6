package sandbox

import "testing"

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"": "''", "plain/path-1.pem": "plain/path-1.pem", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'",
		"http://[::1]:8080/x": "'http://[::1]:8080/x'", "~": "'~'",
	} {
		if got := Quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
