package platform

import (
	"os"
	"strings"
	"testing"
)

// TestParseRefusesUnreachable: what is right by itself is refused where no client could get a token by it.
func TestParseRefusesUnreachable(t *testing.T) {
	for _, row := range []struct{ base, old, new, want string }{
		{"oauth2", `path = "/oauth2/token"`, `path = "/check"`, `wire.path: "/check" is another endpoint of the server`},
		{"oauth2", `path = "/oauth2/token"`, "path = \"/t\"\naliases = [\"/revoke/\"]", `wire.aliases: "/revoke/" is another endpoint`},
		{"oauth2", `path = "/oauth2/token"`, "path = \"/t\"\naliases = [\"/t\"]", `wire.aliases: "/t" stands twice`},
		{"oauth2", `header = "x-correlation-id"`, `header = "authorization"`, `"authorization" has another use in each request`},
		{"oauth2", `header = "x-correlation-id"`, `header = "Content-Length"`, `"Content-Length" has another use in each request`},
		{"thales-etp", `header = "x-correlation-id"`, `header = "X-Key"`, ""},
		{"thales-etp", `header = "authorization"`, `header = "X-Correlation-Id"`, `"x-correlation-id" holds the API key`},
		{"thales-etp", `header = "authorization"`, `header = "content-type"`, `"content-type" has another use in each request`},
		{"thales-etp", `unsupported_media_type = 400`, `unsupported_media_type = 500`, "500 blames the server for a fault of the caller"},
		{"thales-etp", `unsupported_media_type = 400`, `server_error = 502`, "502 does not say that the server failed for good"},
		{"thales-etp", `one_of = ["PAYMENT_PASSKEY"]`, `one_of = ["PAYMENT"]`, `"PAYMENT" in one_of is not among policy.scope.words`},
		{"thales-etp", `max_length = 32, one_of = ["PAYMENT_PASSKEY"]`, `max_length = 3`, `must be able to carry the scope word "PAYMENT_PASSKEY"`},
		{"thales-etp", `max_length = 32, one_of`, `max_length = 3, one_of`, `"PAYMENT_PASSKEY" in one_of is longer than max_length`},
		{"oauth2", `means = "assertion" }`, `means = "assertion", max_length = 300 }`, `"assertion" carries a signed JWT: max_length must be at least 1024`},
		{"oauth2", `means = "assertion" }`, `means = "assertion", chars = "url-safe" }`, `"assertion" carries a signed JWT`},
		{"oauth2", `means = "assertion" }`, `means = "assertion", required = true }`, `"assertion" must not be required: a request of client_credentials by client_secret_basic has none`},
		{"oauth2", `means = "grant_type", required`, `means = "grant_type", max_length = 20, required`, `"grant_type" must be able to carry "urn:ietf:params:oauth:grant-type:jwt-bearer"`},
		{"oauth2", `means = "client_id", max_length = 256`, `means = "client_id", max_length = 20`, `"client_id" must be able to carry each client id`},
		{"oauth2", `{ name = "token_type", from`, `{ name = "error", from`, `"error" makes a client read the answer as a refusal`},
		{"oauth2", `{ name = "sub", from = "subject" }`, `{ name = "nbf", from = "subject" }`, `"nbf" is a time`},
		{"oauth2", `{ name = "sub", from = "subject" }`, `{ name = "sub", from = "exp" }`, `"sub" must be a string`},
		{"oauth2", "{ name = \"scope\", from = \"scope\" },\n  { name = \"iat\"", "{ name = \"scope\", from = \"client.x\" },\n  { name = \"iat\"", `"scope" must be from "scope"`},
		{"oauth2", `max_lifetime = "1h"`, `max_lifetime = "9s"`, "must be 10s to 24h"},
	} {
		source, err := os.ReadFile("../../profile/builtin/" + row.base + ".toml")
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(source), "[demo]")
		if !strings.Contains(text, row.old) {
			t.Fatalf("%s has no %q", row.base, row.old)
		}
		_, err = Parse("p.toml", []byte(strings.Replace(text, row.old, row.new, 1)))
		if row.want == "" {
			if err != nil {
				t.Errorf("%s: %v", row.new, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.new, err, row.want)
		}
	}
}
