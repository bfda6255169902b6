package config_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const manual = "../../docs/configuration.md"

// TestManual compares the reference page with the comments of the structs.
func TestManual(t *testing.T) {
	want := writeManual(t)
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: go test ./internal/config -run TestManual -update", manual)
	}
}

// TestManualExample: the server accepts the example of the page, which has every setting.
func TestManualExample(t *testing.T) {
	page, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```toml\n")
	text, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the page has no example")
	}
	c := parse(t, text)
	if len(c.Issuers) != 5 {
		t.Errorf("%d issuers, want one of each platform", len(c.Issuers))
	}
	for _, table := range readTables(t) {
		for _, s := range table.settings {
			if !regexp.MustCompile(`(?m)^` + s.name + ` =`).MatchString(text) {
				t.Errorf("the example does not show %s of %s", s.name, table.title)
			}
		}
	}
}

// TestManualDefaults: every default in a comment is the one that Load sets.
func TestManualDefaults(t *testing.T) {
	c := reflect.ValueOf(*parse(t, good))
	for _, table := range readTables(t) {
		v := c
		switch table.field {
		case "":
		case "Issuers":
			v = c.FieldByName("Issuers").MapIndex(reflect.ValueOf("d1"))
		case "Trusted":
			with := parse(t, good+"[issuers.d1.trusted.t]\nissuer = \"i\"\nbundle = \"b\"\n")
			v = reflect.ValueOf(with.Issuers["d1"].Trusted["t"])
		default:
			v = c.FieldByName(table.field)
		}
		for _, s := range table.settings {
			if !isValue.MatchString(s.value) {
				continue // described in words
			}
			if got := toml(v.FieldByName(s.field)); got != s.value {
				t.Errorf("%s.%s: the comment says %s, the default is %s", table.title, s.name, s.value, got)
			}
		}
	}
}

var isValue = regexp.MustCompile(`^("[^"]*"|[0-9]+|false|\[".*"\])$`)

// toml formats a value as in the file.
func toml(v reflect.Value) string {
	if stringer, ok := v.Interface().(fmt.Stringer); ok {
		if v.IsZero() {
			return "0"
		}
		return `"` + strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(stringer.String()) + `"`
	}
	if list, ok := v.Interface().([]string); ok {
		return strings.ReplaceAll(fmt.Sprintf("%q", list), `" "`, `", "`)
	}
	if v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

// table is a table of the file, setting one of its settings.
type (
	table struct {
		title, field, about string
		settings            []setting
	}
	setting struct{ name, field, value, meaning string }
)

// readTables reads the structs of config.go.
func readTables(t *testing.T) []table {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	structs := map[string]*ast.StructType{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok {
			if s, ok := spec.Type.(*ast.StructType); ok {
				structs[spec.Name.Name] = s
			}
		}
		return true
	})
	return readTable(structs, "Config", "", table{title: "Top level", about: "They come before the first table."})
}

// readTable reads the struct of a table, and the tables below it. path is that of the table in the
// file.
func readTable(structs map[string]*ast.StructType, of, path string, in table) []table {
	var below []table
	for _, f := range structs[of].Fields.List {
		if tagOf(f) == "" {
			continue
		}
		title, value := path+tagOf(f), f.Type
		if m, ok := f.Type.(*ast.MapType); ok {
			title, value = title+".NAME", m.Value
		}
		ident, ok := value.(*ast.Ident)
		if !ok || structs[ident.Name] == nil {
			in.settings = append(in.settings, settingOf(f))
			continue
		}
		below = append(below, readTable(structs, ident.Name, title+".", table{title: "[" + title + "]", field: f.Names[0].Name, about: textOf(f)})...)
	}
	return append([]table{in}, below...)
}

func tagOf(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	return reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("toml")
}

func textOf(f *ast.Field) string { return strings.Join(strings.Fields(f.Doc.Text()), " ") }

var (
	statedDefault = regexp.MustCompile(`\s*Default:? (.+?)(?:; (.+?))?\.(?:\s|$)`)
	literal       = regexp.MustCompile(`\["[^\]]*\]|"[^"]*"`)
)

// settingOf splits a comment into the default that it states and the rest.
func settingOf(f *ast.Field) setting {
	s := setting{name: tagOf(f), field: f.Names[0].Name, meaning: textOf(f)}
	if m := statedDefault.FindStringSubmatch(s.meaning); m != nil {
		s.value = m[1]
		s.meaning = strings.Replace(s.meaning, m[0], " ", 1)
		if m[2] != "" {
			s.meaning = strings.TrimSpace(s.meaning) + " " + strings.ToUpper(m[2][:1]) + m[2][1:] + "."
		}
	}
	if rest, ok := strings.CutSuffix(s.meaning, " Required."); ok {
		s.value, s.meaning = "required", rest
	}
	s.meaning = strings.TrimSpace(s.meaning)
	return s
}

// code formats literals as code.
func code(text string) string {
	return strings.ReplaceAll(literal.ReplaceAllString(text, "`$0`"), "|", `\|`)
}

func (s setting) cell() string {
	switch {
	case s.value == "", s.value == "required", strings.HasPrefix(s.value, "the "):
		return cmp.Or(s.value, "none")
	default:
		return "`" + s.value + "`"
	}
}

func writeManual(t *testing.T) string {
	var b strings.Builder
	b.WriteString(manualHead)
	for _, table := range readTables(t) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| setting | default | meaning |\n|---|---|---|\n", table.title, code(table.about))
		for _, s := range table.settings {
			if s.meaning == "" {
				t.Errorf("%s of %s has no comment", s.name, table.title)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.name, s.cell(), code(s.meaning))
		}
		b.WriteString("\n")
	}
	b.WriteString(manualExample)
	return b.String()
}

const manualHead = `<!-- Generated from internal/config/config.go: go test ./internal/config -run TestManual -update -->

# Configuration

A Moneyer server reads one file, in [TOML](https://toml.io/en/v1.0.0), usually ` + "`moneyer.toml`" + `. It holds no secret. Reading is strict:
an unknown setting, a value of another type or contradictory settings are errors that name the line and the
correction. ` + "`moneyer serve --check`" + ` checks a file.

Times are strings such as ` + "`\"90s\"`, `\"15m\"`, `\"24h\"` or `\"30d\"`" + `; a number without a unit is refused, but for 0. Rates are per second and may have a fraction. Relative
paths are relative to the folder of the file. A [complete example](#example) is at the end.

`

const manualExample = `## Example

Every setting, with an issuer of each platform. Most are best left out: the [defaults](#top-level) are meant for production.

` + "```toml" + `
store = "sqlite:/var/lib/moneyer/moneyer.db"
master_key = "file:/etc/moneyer/master.key"
crypto = "any"
refused_keys = ["VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo"]
jwks_uri_networks = ["10.8.0.0/16"]

[listen]
address = "0.0.0.0:8443"
tls_cert = "server.crt"
tls_key = "server.key"
trusted_proxies = ["10.0.0.0/8"]
client_cert = "ask"
client_cert_header = "Client-Cert"
client_cert_chain_header = "Client-Cert-Chain"
client_cert_proxies = ["10.0.0.0/8"]
client_cert_proxy_ca = "proxies-ca.crt"

[admin]
address = "10.1.0.5:8444"
url = "https://moneyer-admin.example.com"
tls_cert = "admin.crt"
tls_key = "admin.key"
client_ca = "operators-ca.crt"

[limits]
client_rate = 200
client_burst = 400
address_rate = 20
address_burst = 200
connections = 4000
address_connections = 200
in_flight = 1024
refusals_recorded = 1
refusals_burst = 1000
request_timeout = "2s"
drain_delay = "5s"
drain_timeout = "20s"

[ledger]
retention = "400d"

[log]
level = "info"
format = "json"

[issuers.d1-stg]
url = "https://auth.example.com/d1/authz/v1"
profile = "thales-d1"
environment = "stg"
audience_names = ["stg"]
resource_audience = "https://api.example.com/d1"
token_lifetime = "15m"
reuse = 0.0
replay = "same-token" # merchants retry over bad links
alg = "ES256"
rotate = "30d"
announce = "24h"
revocations = "authenticated"
disabled = false

[issuers.d1-stg.trusted.keycloak]
kind = "jwt"
issuer = "https://sso.example.com/realms/partners"
jwks_uri = "https://sso.example.com/realms/partners/protocol/openid-connect/certs"
ca = "sso-ca.crt"
algs = ["ES256"]
audience = ["stg"]
claims = ["azp"]
max_lifetime = "5m"
replay = "once"
disabled = false

[issuers.d1-stg.trusted.spire]
kind = "spiffe"
trust_domain = "prod.example.com"
bundle = "/run/spire/bundle.json"

[issuers.d1-stg.trusted.cluster]
kind = "kubernetes"
issuer = "https://kubernetes.default.svc.cluster.local"
# kubectl get --raw /openid/v1/jwks
jwks = '''{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k1"}]}'''
algs = ["EdDSA"]

[issuers.d1-banking-stg]
url = "https://auth.example.com/d1-banking/authz/v1"
profile = "thales-d1-banking"
environment = "stg"
audience_names = ["stg"]
resource_audience = "https://api.example.com/d1-banking"
client_certificate = ["tls_client_auth", "self_signed_tls_client_auth"]
tls_client_auth_ca = "partners-ca.crt"
mtls_url = "https://mtls.auth.example.com/d1-banking/authz/v1"

[issuers.bolt]
url = "https://auth.example.com/bolt"
profile = "boltpay"

[issuers.etp]
url = "https://auth.example.com/tsh-cof"
profile = "thales-etp"
resource_audience = "https://api.example.com/passkeys"

[issuers.partners]
url = "https://auth.example.com/partners"
profile = "oauth2"
resource_audience = "https://api.example.com"
` + "```" + `
`
