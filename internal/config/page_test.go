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

// TestMutualTLSPage: the server accepts the tables of the page about mutual TLS.
func TestMutualTLSPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/mutual-tls.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "store = \"sqlite:moneyer.db\"\nmaster_key = \"file:master.key\"\n"
	var tables []string
	for block := range strings.SplitSeq(string(page), "```toml\n") {
		if table, _, isTOML := strings.Cut(block, "```"); isTOML && strings.HasPrefix(table, "[") {
			tables = append(tables, table)
		}
	}
	if len(tables) != 3 {
		t.Fatalf("the page shows %d", len(tables))
	}
	asking := parse(t, head+tables[0]+tables[1])
	if demanded := asking.Issuers["d1-prd"].RegistryIssuer().Profile.Policy; len(asking.Issuers) != 2 || demanded.Grants[0].ClientAuth[0].TLSMethod() == "" {
		t.Errorf("%+v", demanded.Grants)
	}
	if behind := parse(t, head+tables[2]+"[issuers.boltpay]\nurl = \"http://127.0.0.1:8080\"\nprofile = \"boltpay\"\n"); behind.Listen.ClientCertHeader == "" {
		t.Errorf("%+v", behind.Listen)
	}
}
