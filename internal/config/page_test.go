package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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

// TestDocumentedSettings: every setting that a document names with its table exists, and the server
// accepts the configuration of README.
func TestDocumentedSettings(t *testing.T) {
	known := map[string]bool{}
	for _, table := range readTables(t) {
		for _, s := range table.settings {
			known[strings.Trim(table.title, "[]")+"."+s.name] = true
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile("`((?:listen|admin|limits|ledger|log)\\.[a-z_]+)\\b[^`(]*`")
	named := 0
	for _, page := range append(pages, "../../README.md", "../../SECURITY.md", "../../ARCHITECTURE.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range setting.FindAllStringSubmatch(string(text), -1) {
			if named++; !known[m[1]] && !strings.HasSuffix(m[1], ".go") {
				t.Errorf("%s: there is no setting %s", page, m[1])
			}
		}
		if filepath.Base(page) == "README.md" {
			_, rest, _ := strings.Cut(string(text), "```toml\n")
			example, _, _ := strings.Cut(rest, "```")
			if c := parse(t, example); c.Issuers["d1"].Rotate != 30*24*time.Hour {
				t.Errorf("README rotates after %v", c.Issuers["d1"].Rotate)
			}
		}
	}
	if named < 30 {
		t.Errorf("%d settings: most were not found", named)
	}
}
