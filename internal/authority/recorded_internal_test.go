package authority

import "testing"

// TestIsRecorded: a credential is found in a record of several, also a kid that holds a space, as keys at
// a jwks_uri may have; and no other is.
func TestIsRecorded(t *testing.T) {
	for _, test := range []struct {
		credential string
		shown      []string
		want       bool
	}{
		{"k1", []string{"k1"}, true},
		{"k1", []string{"s1", "k1"}, true},
		{"key of May", []string{"key of May"}, true},
		{"key of May", []string{"key of May", "c1"}, true},
		{"key of May", []string{"s1", "key of May", "c1"}, true},
		{"k1", []string{"k12", "c1"}, false},
		{"k1", []string{"xk1"}, false},
		{"key of May", []string{"key of Mayor", "c1"}, false},
		{"k1", nil, false},
	} {
		if got := isRecorded(test.credential, recorded(test.shown)); got != test.want {
			t.Errorf("%q in %q: %v", test.credential, recorded(test.shown), got)
		}
	}
}
