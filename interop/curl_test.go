package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// curl runs curl and parses the response with its header.
func curl(t *testing.T, args ...string) (*http.Response, string) {
	t.Helper()
	needProgram("curl")(t)
	out := program(t, nil, "curl", append([]string{"-sS", "-i"}, args...)...)
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestCurlD1: both D1 platforms accept an assertion as a form and as JSON, once.
func TestCurlD1(t *testing.T) {
	for _, i := range []issuer{d1, d1Banking} {
		t.Run(string(i), func(t *testing.T) {
			endpoint, set := i.endpoint(t), i.assertions(t)
			form := func(assertion string) []string {
				return []string{endpoint, "-H", "x-correlation-id: curl-1", "-d", "grant_type=" + jwtBearer, "--data-urlencode", "assertion=" + assertion}
			}
			inJSON := func(assertion, more string) []string {
				return []string{endpoint, "--json", fmt.Sprintf(`{"grant_type":%q,"assertion":%q%s}`, jwtBearer, assertion, more)}
			}
			for _, c := range []struct {
				name, want string
				args       []string
			}{
				{"form", "200", form(set.good)},
				{"form, used before", "400 invalid_grant", form(set.good)},
				{"JSON, used before as a form", "400 invalid_grant", inJSON(set.good, "")},
				{"JSON, tampered", "400 invalid_grant", inJSON(tamperSignature(set.spare), "")},
				{"JSON, a member too many", "400 invalid_request", inJSON(set.spare, `,"scope":"all"`)},
				{"JSON", "200", inJSON(set.spare, "")},
				{"wrong audience", "400 invalid_grant", form(set.elsewhere)},
				{"another grant", "400 unsupported_grant_type", []string{endpoint, "-d", "grant_type=client_credentials&assertion=x"}},
				{"no assertion", "400 invalid_request", []string{endpoint, "-d", "grant_type=" + jwtBearer}},
				{"plain text", "415 invalid_request", append(form(set.elsewhere), "-H", "Content-Type: text/plain")},
				{"GET", "405 invalid_request", []string{endpoint}},
				{"malformed correlation id", "400 invalid_request", append(form(set.elsewhere), "-H", "x-correlation-id: a b")},
			} {
				resp, body := curl(t, c.args...)
				var got answer
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Errorf("%s: %v: %s", c.name, err, body)
				}
				if outcome := strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", got.Error)); outcome != c.want {
					t.Errorf("%s: %s, want %s", c.name, outcome, c.want)
				}
				if (got.AccessToken != "") != (c.want == "200") {
					t.Errorf("%s: token %q", c.name, got.AccessToken)
				}
				if resp.Header.Get("Cache-Control") != "no-store" { // RFC 6749 §5.1
					t.Errorf("%s: Cache-Control %q", c.name, resp.Header.Get("Cache-Control"))
				}
				if c.name == "form" && resp.Header.Get("X-Correlation-Id") != "curl-1" {
					t.Errorf("x-correlation-id %q", resp.Header.Get("X-Correlation-Id"))
				}
			}
		})
	}
}

// TestCurlETP: an API key gets a token for one merchant and its cards; a refusal is a status with
// an empty body.
func TestCurlETP(t *testing.T) {
	endpoint := etp.endpoint(t)
	apiKey := strings.TrimSpace(readFile(t, filepath.Join(moneyer.dir, "partners", "etp.secret")))
	const good = `{"merchantId":"demo-merchant","tokens":["demo-visa-1"],"scope":"PAYMENT_PASSKEY"}`
	ask := func(apiKey, body string, more ...string) []string {
		args := []string{endpoint, "--json", body, "-H", "authorization: APIKEY " + apiKey}
		if len(more) == 0 {
			more = []string{"-H", "x-correlation-id: curl-etp"}
		}
		return append(args, more...)
	}
	for _, c := range []struct {
		name string
		want int
		args []string
	}{
		{"good", 200, ask(apiKey, good)},
		{"again", 200, ask(apiKey, good)},
		{"unknown member", 200, ask(apiKey, strings.Replace(good, `{`, `{"device":"phone",`, 1))},
		{"wrong key", 401, ask("mnk_"+strings.Repeat("A", 43), good)},
		{"no key", 401, []string{endpoint, "--json", good, "-H", "x-correlation-id: curl-etp"}},
		{"no correlation id", 400, ask(apiKey, good, "-H", "x-correlation-id:")},
		{"long correlation id", 400, ask(apiKey, good, "-H", "x-correlation-id: "+strings.Repeat("a", 37))},
		{"unknown merchant", 404, ask(apiKey, strings.Replace(good, "demo-merchant", "stranger", 1))},
		{"unknown card token", 404, ask(apiKey, strings.Replace(good, "demo-visa-1", "demo-visa-2", 1))},
		{"card token twice", 400, ask(apiKey, strings.Replace(good, `"demo-visa-1"`, `"demo-visa-1","demo-visa-1"`, 1))},
		{"no card tokens", 400, ask(apiKey, strings.Replace(good, `"demo-visa-1"`, ``, 1))},
		{"another scope", 400, ask(apiKey, strings.Replace(good, "PAYMENT_PASSKEY", "ADMIN", 1))},
		{"form", 400, []string{endpoint, "-d", "merchantId=demo-merchant", "-H", "authorization: APIKEY " + apiKey, "-H", "x-correlation-id: curl-etp"}},
	} {
		resp, body := curl(t, c.args...)
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.name, resp.Status, c.want)
		}
		var members map[string]string
		switch {
		case c.want != http.StatusOK && body != "":
			t.Errorf("%s: the body says %q", c.name, body)
		case c.want == http.StatusOK && (json.Unmarshal([]byte(body), &members) != nil || len(members) != 1 || claimsOf(t, members["accessToken"])["sub"] != "demo-merchant"):
			t.Errorf("%s: %s", c.name, body)
		case c.want == http.StatusOK && resp.Header.Get("X-Correlation-Id") != "curl-etp":
			t.Errorf("%s: x-correlation-id %q", c.name, resp.Header.Get("X-Correlation-Id"))
		}
	}
}

// TestCurlClientAssertion: a client assertion is accepted once, and only with the issuer as
// audience.
func TestCurlClientAssertion(t *testing.T) {
	set, endpoint := oauth2AS.assertions(t), oauth2AS.endpoint(t)
	for _, c := range []struct{ name, want, assertion string }{
		{"good", "200", set.good},
		{"used before", "401 invalid_client", set.good},
		{"tampered", "401 invalid_client", tamperClaims(set.spare)},
		{"wrong audience", "401 invalid_client", set.elsewhere},
	} {
		resp, body := curl(t, endpoint, "-d", "grant_type=client_credentials", "--data-urlencode", "client_assertion="+c.assertion,
			"--data-urlencode", "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		var got answer
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Errorf("%s: %v: %s", c.name, err, body)
		}
		outcome := strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", got.Error))
		if outcome != c.want {
			t.Errorf("%s: %s, want %s", c.name, outcome, c.want)
		}
	}
	resp, body := curl(t, endpoint, "-d", "grant_type=client_credentials", "-u", "nobody:nothing")
	if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("Www-Authenticate"), "Basic ") {
		t.Errorf("a wrong Basic secret: %s, WWW-Authenticate %q: %s", resp.Status, resp.Header.Get("Www-Authenticate"), body)
	}
}

// TestSandboxCommands: the commands that the sandbox prints work.
func TestSandboxCommands(t *testing.T) {
	needProgram("curl")(t)
	if len(moneyer.demos) != len(profiles) {
		t.Errorf("%d demos for %d platforms", len(moneyer.demos), len(profiles))
	}
	for i := range profiles {
		demo := i.demo(t)
		if strings.Count(i.minted(t), ".") != 2 {
			t.Errorf("%s: no token from %s", i, demo.Token)
		}
		out := program(t, nil, "bash", "-c", demo.Check)
		var claims map[string]any
		if err := json.Unmarshal(out, &claims); err != nil || claims["iss"] != demo.Issuer {
			t.Errorf("%s: %s\nsays %s", i, demo.Check, out)
		}
	}
	resp, body := curl(t, d1.url(t)+"/demo/whoami", "-H", "Authorization: Bearer "+tamperClaims(d1.minted(t)))
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a tampered token: %s: %s", resp.Status, body)
	}
}
