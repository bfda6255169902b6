package registry_test

import (
	"testing"

	"moneyer/internal/registry"
)

// TestTrustedByExactly: a trusted issuer is found by its exact iss or trust domain, and by no name that
// begins, ends or looks like it.
func TestTrustedByExactly(t *testing.T) {
	issuer := &registry.Issuer{Trusted: []*registry.TrustedIssuer{
		{Name: "kc", Kind: registry.TrustedJWT, Issuer: "https://sso.example/realms/r"},
		{Name: "spire", Kind: registry.TrustedSPIFFE, TrustDomain: "bank.example"},
	}}
	for _, test := range []struct{ iss, sub, want string }{
		{"https://sso.example/realms/r", "x", "kc"},
		{"https://sso.example/realms/r", "spiffe://bank.example/pay", "kc"},
		{"https://sso.example/realms/r/", "x", ""},
		{"https://sso.example/realms/R", "x", ""},
		{"https://sso.example:443/realms/r", "x", ""},
		{"", "spiffe://bank.example/pay", "spire"},
		{"https://spire.example", "spiffe://bank.example/pay", "spire"},
		{"", "spiffe://bank.example.evil/pay", ""},
		{"", "spiffe://evil.bank.example/pay", ""},
		{"", "spiffe://bank.exampl/pay", ""},
		{"", "spiffe://bank.example:443/pay", ""},
		{"", "spiffe://Bank.example/pay", ""},
		{"", "spiffe://me@bank.example/pay", ""},
		{"", "SPIFFE://bank.example/pay", ""},
		{"", "spiffe://bank.example", ""},
		{"", "spiffe://bank.example/../pay", ""},
		{"", "spiffe://bank.example/pay?x", ""},
		{"bank.example", "", ""},
		{"", "", ""},
	} {
		got := ""
		if found := issuer.TrustedBy(test.iss, test.sub); found != nil {
			got = found.Name
		}
		if got != test.want {
			t.Errorf("iss %q, sub %q: %q, want %q", test.iss, test.sub, got, test.want)
		}
	}
}
