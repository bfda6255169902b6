package nearest

import "testing"

func TestWord(t *testing.T) {
	known := []string{"audience", "issuer", "url"}
	for word, want := range map[string]string{
		"audiance": "audience", "isuer": "issuer", "issuers": "issuer", "uri": "url", "ur": "url", "host": "", "": "", "audit": "",
	} {
		if got := Word(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}
