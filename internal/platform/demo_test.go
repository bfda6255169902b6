package platform

import (
	"os"
	"strings"
	"testing"
)

// TestBuiltinDemos: a sandbox can serve every built-in platform, each below a path of
// its own.
func TestBuiltinDemos(t *testing.T) {
	taken := map[string]string{}
	for _, name := range builtinNames(t) {
		p := builtinOf(t, name)
		if p.Demo.Credential == "" {
			t.Errorf("%s has no [demo]", name)
		}
		for _, unique := range []string{p.Demo.Issuer, p.Demo.Path} {
			if taken[unique] != "" {
				t.Errorf("%s and %s want %q", taken[unique], name, unique)
			}
			taken[unique] = name
		}
	}
}

func TestDemoIsChecked(t *testing.T) {
	source, err := os.ReadFile("../../profile/builtin/" + "thales-etp" + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ was, is, want string }{
		{`"api_key"` + "\nscope", `"password"` + "\nscope", `demo.credential: "password" is not known; choose from "key", "secret", "api_key"`},
		{`"api_key"` + "\nscope", `"secret"` + "\nscope", "demo.credential: no grant takes"},
		{`"/tsh-cof"`, `"tsh-cof"`, "demo.path"},
		{`issuer = "etp"`, `issuer = "E"`, "demo.issuer"},
		{`issuer = "etp"`, `issuers = "etp"`, "did you mean"},
		{`issuer = "etp"`, `subject = "shop"`, "demo.subject: needs policy.assertion.subject"},
		{`scope = ["PAYMENT_PASSKEY"]`, `scope = ["OTHER"]`, "not among policy.scope.words"},
		{`scope = ["PAYMENT_PASSKEY"]`, `scope = ["a b"]`, "not a scope word"},
		{`merchantId = "demo-merchant", `, ``, `demo.params: "merchantId" is required`},
		{`merchantId = "demo-merchant"`, `merchantId = ["a", "b"]`, `"merchantId" is one text`},
		{`merchantId = "demo-merchant"`, `merchantId = 7`, `want a string or an array of strings`},
		{`tokens = ["demo-visa-1"] }`, `scope = "x", tokens = [] }`, "demo.params: "},
		{`trId = "44444444444"`, `trId = "4"`, `has not the form of the claim`},
		{`trId = "44444444444"`, ``, `demo.account_attributes: "trId" is required`},
		{`trId = "44444444444"`, `other = "x"`, `no claim uses "other"`},
	} {
		text := strings.Replace(string(source), c.was, c.is, 1)
		if text == string(source) {
			t.Fatalf("there is no %s", c.was)
		}
		if _, err := Parse("x.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.is, err, c.want)
		}
	}
}
