package config_test

import (
	"os"
	"strings"
	"testing"

	"moneyer/internal/registry"
)

// TestTrustedIssuersPage: the server accepts each table of the page about trusted issuers.
func TestTrustedIssuersPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/trusted-issuers.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(good, "resource_audience", "audience_names = [\"stg\"]\nresource_audience", 1) +
		"[issuers.payments]\nurl = \"https://auth.example.com/payments\"\nprofile = \"oauth2\"\nresource_audience = \"https://api.example.com\"\n"
	for block := range strings.SplitSeq(string(page), "```toml\n") {
		if table, _, isTOML := strings.Cut(block, "```"); isTOML && strings.HasPrefix(table, "[") {
			text += table
		}
	}
	kinds := map[registry.TrustedKind]int{}
	for _, issuer := range parse(t, text).Served() {
		for _, trusted := range issuer.Trusted {
			kinds[trusted.Kind]++
		}
	}
	if kinds[registry.TrustedJWT] != 2 || kinds[registry.TrustedKubernetes] != 1 || kinds[registry.TrustedSPIFFE] != 1 {
		t.Errorf("the page shows %v", kinds)
	}
}
