package registry

import (
	"strings"
	"testing"
)

func TestLooksLikeCredential(t *testing.T) {
	for text, want := range map[string]bool{
		"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.c2ln": true,
		"eyJhbGciOiJFUzI1NiJ9.":                     true,
		secretPrefix + randomText(32):               true,
		"x" + apiKeyPrefix + randomText(32):         true,
		secretPrefix + strings.Repeat("a", 22):      true,
		"eyJ0000000000000000000":                    false, // an identifier of 128 random bits
		"AAAA" + secretPrefix + "AAAAAAAAAAAAAA":    false,
		"gateway001":                                false,
		"01890a5d-ac96-774b-bcce-b302099a8057":      false,
		"":                                          false,
	} {
		if got := LooksLikeCredential(text); got != want {
			t.Errorf("%q looks like a credential: %v", text, got)
		}
	}
}
