package evidence

import "testing"

// TestDummyKey: what checking a signature costs depends on the header's alg alone.
func TestDummyKey(t *testing.T) {
	for header, dummy := range map[string]string{"ES256": "ES256", "RS256": "RS256", "PS256": "PS256", "EdDSA": "EdDSA", "HS256": "ES256", "": "ES256"} {
		if alg := string(dummyKeyFor(header).Alg()); alg != dummy {
			t.Errorf("for header alg %q the key is for %s, want %s", header, alg, dummy)
		}
	}
}
