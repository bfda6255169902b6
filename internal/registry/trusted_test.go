package registry

import (
	"strings"
	"testing"
	"time"

	"moneyer/internal/platform"
)

// spiffeIDs are texts with their trust domain; "" for what names no workload.
var spiffeIDs = map[string]string{
	"spiffe://example.org/ns/prod/sa/web":         "example.org",
	"spiffe://a/b":                                "a",
	"spiffe://a_b-c.1/A.b_c-9/...":                "a_b-c.1",
	"spiffe://example.org":                        "",
	"spiffe://example.org/":                       "",
	"spiffe:///web":                               "",
	"spiffe://example.org//web":                   "",
	"spiffe://example.org/web/":                   "",
	"spiffe://example.org/./web":                  "",
	"spiffe://example.org/../other.example/x":     "",
	"spiffe://Example.org/web":                    "",
	"SPIFFE://example.org/web":                    "",
	"spiffe://me@example.org/web":                 "",
	"spiffe://example.org:443/web":                "",
	"spiffe://example.org/web?x":                  "",
	"spiffe://example.org/web#x":                  "",
	"spiffe://example.org/w%65b":                  "",
	"spiffe://example.org/wéb":                    "",
	"https://example.org/web":                     "",
	"system:serviceaccount:payments:gateway":      "",
	"":                                            "",
	"spiffe://" + strings.Repeat("a", 255) + "/b": strings.Repeat("a", 255),
	"spiffe://" + strings.Repeat("a", 256) + "/b": "",
	"spiffe://a/" + strings.Repeat("b", 2037):     "a",
	"spiffe://a/" + strings.Repeat("b", 2038):     "",
}

func TestTrustDomain(t *testing.T) {
	for id, want := range spiffeIDs {
		if got, ok := TrustDomain(id); got != want || ok != (want != "") {
			t.Errorf("%.60q: %q, %v, want %q", id, got, ok, want)
		}
	}
}

// FuzzTrustDomain: an ID that is accepted is nothing but scheme, trust domain and path.
func FuzzTrustDomain(f *testing.F) {
	for id := range spiffeIDs {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		domain, ok := TrustDomain(id)
		if !ok {
			if domain != "" {
				t.Fatalf("%q of an ID that is refused", domain)
			}
			return
		}
		prefix := "spiffe://" + domain + "/"
		if !strings.HasPrefix(id, prefix) || len(id) == len(prefix) || len(id) > MaxSPIFFEID || strings.ContainsAny(id[len("spiffe://"):], ":@?#%\\ ") {
			t.Fatalf("%q is of trust domain %q", id, domain)
		}
	})
}

// TestTrustedBy: iss is compared exactly, and before the trust domain of sub.
func TestTrustedBy(t *testing.T) {
	kc := &TrustedIssuer{Name: "kc", Kind: TrustedJWT, Issuer: "https://sso.example"}
	spire := &TrustedIssuer{Name: "spire", Kind: TrustedSPIFFE, TrustDomain: "example.org"}
	i := &Issuer{Profile: &platform.Profile{}, Trusted: []*TrustedIssuer{spire, kc}}
	for _, test := range []struct {
		iss, sub string
		want     *TrustedIssuer
	}{
		{"https://sso.example", "x", kc},
		{"https://sso.example", "spiffe://example.org/web", kc},
		{"https://sso.example/", "x", nil},
		{"", "spiffe://example.org/web", spire},
		{"other", "spiffe://example.org/web", spire},
		{"example.org", "x", nil},
		{"", "", nil},
	} {
		if got := i.TrustedBy(test.iss, test.sub); got != test.want {
			t.Errorf("%q, %q: %v, want %v", test.iss, test.sub, got, test.want)
		}
	}
}

// TestHorizon: a consumed token of a trusted issuer is remembered as long as it is good.
func TestHorizon(t *testing.T) {
	p := &platform.Profile{}
	p.Policy.Assertion.MaxLifetime, p.Policy.Assertion.Leeway = 15*time.Minute, time.Minute
	i := &Issuer{Profile: p}
	if got := i.Horizon(); got != 17*time.Minute {
		t.Errorf("%s without trusted issuers", got)
	}
	i.Trusted = []*TrustedIssuer{{MaxLifetime: time.Minute}, {MaxLifetime: time.Hour}}
	if got := i.Horizon(); got != 62*time.Minute || p.Policy.Assertion.MaxLifetime != 15*time.Minute {
		t.Errorf("%s with one for an hour", got)
	}
}
