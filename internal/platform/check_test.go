package platform

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/oauth"
)

// TestParseRefuses changes one place of a built-in profile at a time: the error
// must name the line of at, and say what is wrong there.
func TestParseRefuses(t *testing.T) {
	many := strings.Repeat("{ name = \"p\" },\n", 65)
	for _, row := range []struct{ base, old, new, at, want string }{
		{"oauth2", `name = "oauth2"`, `name = ""`, `name = ""`, "name: must be 1 to 40 of a-z, 0-9 and -"},
		{"oauth2", `name = "oauth2"`, `name = "OAuth2"`, `name = "OA`, "name: must be 1 to 40 of a-z, 0-9 and -"},
		{"oauth2", `name = "oauth2"`, `name = "` + strings.Repeat("a", 41) + `"`, `name = "aa`, "name: must be 1 to 40 of a-z, 0-9 and -"},
		{"oauth2", `title = "OAuth 2.0 (RFC 6749, 7523, 9068)"`, `title = ""`, `title = ""`, "title: must say the platform's name for people"},

		{"oauth2", `path = "/oauth2/token"`, `path = "oauth2/token"`, `path = `, `wire.path: "oauth2/token" must be a plain path such as /oauth2/token`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/"`, `path = `, `wire.path: "/" must be a plain path such as /oauth2/token`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/oauth2/token//"`, `path = `, `wire.path: "/oauth2/token/" must be a plain path`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/oauth2//token"`, `path = `, `wire.path: "/oauth2//token" must be a plain path`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/oauth2/../token"`, `path = `, `wire.path: "/oauth2/../token" must be a plain path`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/{x}"`, `path = `, `wire.path: "/{x}" must be a plain path`},
		{"oauth2", `path = "/oauth2/token"`, `path = "/é"`, `path = `, `wire.path: "/é" must be a plain path`},
		{"oauth2", `path = "/oauth2/token"`, "path = \"/a\"\naliases = [\"/b\", \"c\"]", `aliases = `, `wire.aliases: "c" must be a plain path`},
		{"oauth2", `bodies = ["form"]`, `bodies = []`, `bodies = `, `wire.bodies: must list "form", "json" or both`},
		{"oauth2", `bodies = ["form"]`, `bodies = ["xml"]`, `bodies = `, `wire.bodies: "xml" is not known; choose from "form", "json"`},
		{"oauth2", `bodies = ["form"]`, "bodies = [\"form\"]\nunknown_members = \"drop\"", `unknown_members`, `wire.unknown_members: "drop" is not known; choose from "refuse", "ignore"`},
		{"oauth2", `errors = "rfc6749"`, `errors = "html"`, `errors = `, `wire.errors: "html" is not known; choose from "rfc6749", "status"`},
		{"oauth2", `errors = "rfc6749"`, ``, `[wire]`, `wire.errors: "" is not known; choose from "rfc6749", "status"`},
		{"oauth2", `header = "x-correlation-id"`, ``, `[wire.correlation]`, "wire.correlation.header: must name the header that ties a request to its log lines"},
		{"oauth2", `header = "x-correlation-id"`, `header = "x correlation"`, `header = `, `wire.correlation.header: "x correlation" is not the name of a header`},
		{"oauth2", `errors = "rfc6749"`, "errors = \"rfc6749\"\nbasic = \"raw\"", `basic = `, `wire.basic: "raw" is not known; choose from "form", "plain"`},
		{"thales-d1", `errors = "rfc6749"`, "errors = \"rfc6749\"\nbasic = \"plain\"", `basic = `, "wire.basic: is for client_secret_basic, which no grant takes"},
		{"oauth2", `errors = "rfc6749"`, "errors = \"rfc6749\"\ntoken_type = \"Bearer token\"", `token_type = `, `wire.token_type: "Bearer token" is not a word of 1 to 40 characters`},
		{"oauth2", `max_length = 64`, `max_length = 257`, `max_length = 257`, "wire.correlation.max_length: must be 1 to 256"},
		{"oauth2", `max_length = 64`, `max_length = -1`, `max_length = -1`, "wire.correlation.max_length: must be 1 to 256"},
		{"oauth2", `chars = "url-safe"`, `chars = "hex"`, `chars = `, `wire.correlation.chars: "hex" is not known; choose from "visible", "url-safe", "digits", ""`},
		{"thales-etp", `header = "authorization"`, ``, `[wire.api_key]`, "wire.api_key.header: must name the header that holds the API key"},
		{"thales-etp", `scheme = "APIKEY"`, `scheme = "API KEY"`, `scheme = "API`, `wire.api_key.scheme: "API KEY" is not a word that may stand before a key`},
		{"thales-etp", `max_length = 512`, `max_length = -1`, `max_length = -1`, "wire.api_key.max_length: must be 1 to 4096"},
		{"thales-etp", `scheme = "APIKEY"`, `# with Basic`, `[wire.api_key]`, "wire.api_key.scheme: is needed to tell the key from Basic in the same header"},
		{"thales-etp", `unsupported_media_type = 400`, `unsupported_media_type = 499`, `unsupported_media_type`, "wire.status.unsupported_media_type: 499 is not an HTTP error status"},
		{"thales-etp", `unsupported_media_type = 400`, `unsupported_media_type = 200`, `unsupported_media_type`, "wire.status.unsupported_media_type: 200 is not an HTTP error status"},
		{"thales-etp", `unsupported_media_type = 400`, `unsupported_media_type = 503`, `unsupported_media_type`, "wire.status.unsupported_media_type: 429 and 503 belong to the retryable errors alone"},
		{"thales-etp", `unsupported_media_type = 400`, `rate_limited = 400`, `rate_limited`, `wire.status.rate_limited: "rate_limited" is not known; choose from "invalid_request"`},
		{"thales-etp", `unsupported_media_type = 400`, `invalid_grand = 400`, `invalid_grand`, `wire.status.invalid_grand: "invalid_grand" is not known; choose from "invalid_request"`},

		{"oauth2", `{ name = "assertion", means`, `{ means`, `params = [`, "wire.params: each parameter needs a name"},
		{"oauth2", `{ name = "assertion", means`, `{ name = "grant_type", means`, `params = [`, `wire.params: "grant_type" stands twice`},
		{"oauth2", `{ name = "assertion", means`, `{ name = "assertion", type = "number", means`, `params = [`, `wire.params: "number" is not known; choose from "string", "strings"`},
		{"oauth2", `{ name = "assertion", means`, `{ name = "assertion", chars = "hex", means`, `params = [`, `wire.params: "hex" is not known; choose from "", "visible", "url-safe", "digits"`},
		{"oauth2", `max_length = 2048`, `max_length = 8193`, `params = [`, `wire.params: "scope": max_length must be 1 to 8192`},
		{"oauth2", `max_length = 2048`, `max_length = -1`, `params = [`, `wire.params: "scope": max_length must be 1 to 8192`},
		{"thales-etp", `max_items = 10`, `max_items = 101`, `params = [`, `wire.params: "tokens": max_items must be 1 to 100`},
		{"thales-etp", `bodies = ["json"]`, `bodies = ["json", "form"]`, `params = [`, `wire.params: "tokens": a form cannot carry a list`},
		{"oauth2", `means = "assertion" }`, `means = "proof" }`, `params = [`, `wire.params: "proof" is not known; choose from "grant_type", "assertion"`},
		{"thales-etp", `{ name = "scope", means = "scope"`, `{ name = "scope", type = "strings", means = "scope"`, `params = [`, `wire.params: "scope": what means scope is a string`},
		{"oauth2", `means = "client_secret"`, `means = "client_id"`, `params = [`, `wire.params: two parameters mean "client_id"`},
		{"oauth2", `params = [`, "params = [\n" + many, `params = [`, "wire.params: has more than 64 parameters"},
		{"oauth2", `{ name = "token_type", from`, `{ from`, `response = [`, "wire.response: each member needs a name"},
		{"oauth2", `{ name = "token_type", from`, `{ name = "access_token", from`, `response = [`, `wire.response: "access_token" stands twice`},
		{"oauth2", `from = "token_type"`, `from = "refresh_token"`, `response = [`, `wire.response: "refresh_token" is not known; choose from "access_token"`},
		{"oauth2", `from = "expires_in"`, `from = "expires_in", type = "strings"`, `response = [`, `wire.response: "strings" is not known; choose from "", "string", "number", "iso8601"`},
		{"oauth2", `from = "expires_in"`, `from = "expires_in", type = "iso8601"`, `response = [`, `wire.response: "expires_in": only expires_at can be iso8601`},
		{"oauth2", `from = "token_type"`, `from = "token_type", type = "number"`, `response = [`, `wire.response: "token_type": only a time can be a number`},
		{"oauth2", `{ name = "access_token", from = "access_token" },`, ``, `response = [`, "wire.response: no member holds the access_token"},

		{"boltpay", `{ type = "client_credentials", client_auth = ["client_secret_post", "client_secret_basic"] },`, ``, `grants = [`, "policy.grants: must list at least one grant"},
		{"boltpay", `{ type = "client_credentials"`, `{ type = "password"`, `grants = [`, `policy.grants: "password" is not known; choose from "client_credentials"`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `[]`, `grants = [`, "policy.grants: client_credentials: client_auth must say how its clients authenticate"},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["tls_client_certificate"]`, `grants = [`, `policy.grants: "tls_client_certificate" is not known; choose from "none"`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["client_secret_post + client_secret_basic"]`, `grants = [`, `policy.grants: client_secret_post + client_secret_basic: a request holds one client secret`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["client_secret_basic + client_secret_basic"]`, `grants = [`, `policy.grants: client_secret_basic + client_secret_basic: a method stands twice`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["client_secret_basic + none"]`, `grants = [`, `policy.grants: client_secret_basic + none: "none" stands alone`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["client_secret_basic +"]`, `grants = [`, `policy.grants: "" is not known; choose from "none"`},
		{"thales-etp", `["api_key"]`, `["client_secret_basic + api_key"]`, `grants = [`, "policy.grants: client_secret_basic + api_key: a request holds one Authorization header; wire.api_key.header must be another"},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["none"]`, `grants = [`, "policy.grants: client_credentials: without client authentication nobody is known"},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["private_key_jwt"]`, `grants = [`, `policy.grants: private_key_jwt needs a parameter that means "client_assertion"`},
		{"boltpay", `{ name = "client_secret", means = "client_secret", max_length = 1024 },`, ``, `grants = [`, `policy.grants: client_secret_post needs a parameter that means "client_secret"`},
		{"boltpay", `["client_secret_post", "client_secret_basic"]`, `["tls_client_auth + self_signed_tls_client_auth"]`, `grants = [`, `policy.grants: tls_client_auth + self_signed_tls_client_auth: a request shows one certificate`},
		{"thales-etp", `["api_key"]`, `["tls_client_auth"]`, `grants = [`, `policy.grants: tls_client_auth needs a parameter that means "client_id", to name the client (RFC 8705 section 2)`},
		{"oauth2", `"client_secret_post", "private_key_jwt", "tls_client_auth"`, `"private_key_jwt + tls_client_auth", "tls_client_auth + private_key_jwt"`, `grants = [`, `policy.grants: client_credentials: tls_client_auth + private_key_jwt stands twice`},
		{"thales-d1-outbound", `{ type = "urn:ietf:params:oauth:grant-type:jwt-bearer", client_auth = ["none"] },`, ``, `subject = `, `policy.assertion.subject: "registered" needs grant "urn:ietf:params:oauth:grant-type:jwt-bearer"`},
		{"thales-d1-outbound", `{ name = "sub", from = "subject" },`, ``, `subject = `, `policy.assertion.subject: "registered" needs a claim from "subject"`},
		{"thales-d1-outbound", `subject = "registered" #`, `subject = "anybody" #`, `subject = `, `policy.assertion.subject: "anybody" is not known; choose from "issuer", "registered"`},
		{"oauth2", `{ name = "cnf", from = "confirmation" }`, `{ name = "bound", from = "confirmation" }`, `claims = [`, `policy.token.claims: "bound": cnf and no other claim is from "confirmation" (RFC 7800)`},
		{"oauth2", `{ name = "cnf", from = "confirmation" }`, `{ name = "cnf", from = "confirmation", release = "read" }`, `claims = [`, `policy.token.claims: "cnf": has no release: a caller would leave it out by asking for less`},
		{"thales-d1", `{ name = "assertion", means = "assertion", required = true },`, ``, `grants = [`, `policy.grants: urn:ietf:params:oauth:grant-type:jwt-bearer needs a parameter that means "assertion"`},
		{"oauth2", `{ type = "urn:ietf:params:oauth:grant-type:jwt-bearer", client_auth = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] },`, `{ type = "client_credentials", client_auth = ["client_secret_basic"] },`, `grants = [`, `policy.grants: "client_credentials" stands twice`},
		{"oauth2", `{ name = "grant_type", means = "grant_type", required = true },`, ``, `grants = [`, `policy.grants: several grants need a parameter that means "grant_type"`},
		{"thales-d1", `chars = "url-safe" } #`, `chars = "hex" } #`, `client_id = `, `policy.client_id.chars: "hex" is not known`},
		{"thales-d1", `min_length = 10`, `min_length = 11`, `client_id = `, "policy.client_id: min_length must be over 0 and not pass max_length, nor that 256"},
		{"thales-d1", `min_length = 10, max_length = 10`, `max_length = 257`, `client_id = `, "policy.client_id: min_length must be over 0 and not pass max_length, nor that 256"},
		{"thales-d1", `min_length = 10`, `min_length = -1`, `client_id = `, "policy.client_id: min_length must be over 0 and not pass max_length, nor that 256"},

		{"thales-d1", `algs = ["ES256"]`, `algs = []`, `algs = `, "policy.assertion.algs: must list the algorithms of clients' keys"},
		{"thales-d1", `algs = ["ES256"]`, `algs = ["HS256"]`, `algs = `, `policy.assertion.algs: "HS256" is not known; choose from "ES256", "PS256", "RS256", "EdDSA"`},
		{"thales-d1", `kid = "required"`, `kid = "maybe"`, `kid = `, `policy.assertion.kid: "maybe" is not known; choose from "required", "optional"`},
		{"thales-d1", `"aud", "exp"]`, `"aud", "azp"]`, `require = `, `policy.assertion.require: "azp" is not known; choose from "iss"`},
		{"thales-d1", `kid = "required"`, "kid = \"required\"\nforbid = [\"exp\"]", `forbid = `, `policy.assertion.forbid: "exp" is not known; choose from "sub", "aud", "iat", "nbf", "jti"`},
		{"thales-d1", `kid = "required"`, "kid = \"required\"\nforbid = [\"sub\"]", `forbid = `, `policy.assertion.forbid: "sub" is also in require`},
		{"oauth2", `require = ["iss", "sub", "aud", "exp"]`, "require = []\nforbid = [\"sub\"]", `forbid = `, "policy.assertion.forbid: private_key_jwt needs sub (RFC 7523 section 3)"},
		{"thales-d1-outbound", `kid = "optional"`, "kid = \"optional\"\nforbid = [\"sub\"]", `forbid = `, `policy.assertion.forbid: "sub" is also in require`},
		{"thales-d1", `audience = ["name", "issuer", "endpoint"]`, `audience = []`, `audience = `, "policy.assertion.audience: must say what aud may name"},
		{"thales-d1", `audience = ["name", "issuer", "endpoint"]`, `audience = ["any"]`, `audience = `, `policy.assertion.audience: "any" is not known; choose from "issuer", "endpoint", "name"`},
		{"thales-d1", `max_lifetime = "15m"`, ``, `[policy.assertion]`, "policy.assertion.max_lifetime: must be 10s to 24h"},
		{"thales-d1", `max_lifetime = "15m"`, `max_lifetime = "25h"`, `max_lifetime`, "policy.assertion.max_lifetime: must be 10s to 24h"},
		{"thales-d1", `leeway = "60s"`, `leeway = "6m"`, `leeway`, "policy.assertion.leeway: must be 0 to 5m"},
		{"thales-d1", `leeway = "60s"`, `leeway = "-1s"`, `leeway`, "policy.assertion.leeway: must be 0 to 5m"},
		{"thales-d1", `replay = "once"`, `replay = "twice"`, `replay`, `policy.assertion.replay: "twice" is not known; choose from "once", "until-exp", "same-token"`},

		{"boltpay", `unknown = "ignore"`, `unknown = "keep"`, `unknown = `, `policy.scope.unknown: "keep" is not known; choose from "refuse", "ignore"`},
		{"boltpay", `default = "nothing"`, `default = "all"`, `default = `, `policy.scope.default: "all" is not known; choose from "registered", "nothing"`},
		{"boltpay", `default = "nothing"`, ``, `[policy.scope]`, `policy.scope.default: "" is not known`},
		{"oauth2", `scope = { unknown = "refuse"`, `scope = { unknown = "ignore"`, `scope = {`, `policy.scope.unknown: "ignore" needs words: without them no word is unknown`},
		{"boltpay", `words = ["openid"`, `words = ["open id"`, `words = `, `policy.scope.words: "open id" is not a scope word (RFC 6749 section 3.3)`},
		{"boltpay", `words = ["openid"`, `words = ["open\\id"`, `words = `, `policy.scope.words: "open\\id" is not a scope word`},
		{"thales-etp", `param = "merchantId", items`, `items`, `account = `, "policy.account: needs param, the parameter that names the account"},
		{"thales-etp", `param = "merchantId", items`, `param = "shop", items`, `account = `, `policy.account.param: "shop" must be a required string of the platform's own among wire.params`},
		{"thales-etp", `param = "merchantId", items`, `param = "scope", items`, `account = `, `policy.account.param: "scope" must be a required string of the platform's own`},
		{"thales-etp", `{ name = "merchantId", required = true, max_length = 128 }`, `{ name = "merchantId" }`, `account = `, `policy.account.param: "merchantId" must be a required string`},
		{"thales-etp", `items = "tokens"`, `items = "merchantId"`, `account = `, `policy.account.items: "merchantId" must be a list among wire.params`},
		{"thales-etp", `kinds = ["visa", "mastercard"]`, `kinds = []`, `account = `, "policy.account.kinds: must list the kinds of items that are accepted"},
		{"thales-etp", `items = "tokens", item_name`, `item_name`, `account = `, "policy.account: item_name and kinds need items, the parameter that lists the account's items"},
		{"thales-etp", `name = "merchant"`, `name = "the \"merchant\""`, `account = `, "policy.account.name: must be 1 to 40 of a-z, 0-9, - and single blanks between words"},
		{"thales-etp", `item_name = "card token"`, `item_name = "card  token"`, `account = `, "policy.account.item_name: must be 1 to 40 of a-z"},

		{"oauth2", `alg = "ES256"`, `alg = "none"`, `alg = `, `policy.token.alg: "none" is not known; choose from "ES256"`},
		{"oauth2", `lifetime = "10m"`, `lifetime = 600`, `lifetime = 600`, "policy.token.lifetime: 600 is a number without a unit: write a duration such as"},
		{"oauth2", `lifetime = "10m"`, `lifetime = "25h"`, `lifetime = "25h"`, "policy.token.lifetime: must be 1s to 24h"},
		{"oauth2", `{ name = "sub", from`, `{ from`, `claims = [`, "policy.token.claims: each claim needs a name"},
		{"oauth2", `{ name = "sub", from`, `{ name = "aud", from`, `claims = [`, `policy.token.claims: "aud" stands twice`},
		{"boltpay", `type = "strings", release = "roles"`, `type = "number", release = "roles"`, `claims = [`, `policy.token.claims: "number" is not known; choose from "string", "strings"`},
		{"boltpay", `release = "roles"`, `release = "role"`, `claims = [`, `policy.token.claims: "roles": release names "role", which is not among policy.scope.words`},
		{"oauth2", `{ name = "jti", from = "jti" },`, ``, `claims = [`, `policy.token.claims: "jti" must be among the claims, from "jti" and always: without it a token cannot be checked or revoked`},
		{"oauth2", `{ name = "iss", from = "issuer" },`, ``, `claims = [`, `policy.token.claims: "iss" must be among the claims, from "issuer"`},
		{"oauth2", `{ name = "exp", from = "exp" },`, `{ name = "exp", from = "iat" },`, `claims = [`, `policy.token.claims: "exp" must be among the claims, from "exp"`},
		{"boltpay", `{ name = "iat", from = "iat" },`, `{ name = "iat", from = "iat", release = "openid" },`, `claims = [`, `policy.token.claims: "iat" must be among the claims, from "iat" and always`},
		{"oauth2", `from = "subject"`, `from = "user"`, `claims = [`, `policy.token.claims: "user" is not known; choose from "issuer", "subject"`},
		{"oauth2", `from = "subject"`, `from = "subject", type = "strings"`, `claims = [`, `policy.token.claims: "sub": from "subject" has a type of its own and is always there`},
		{"oauth2", `from = "subject"`, `from = "subject", required = true`, `claims = [`, `policy.token.claims: "sub": from "subject" has a type of its own and is always there`},
		{"oauth2", `from = "subject"`, `from = "client."`, `claims = [`, `policy.token.claims: "sub": from names no attribute`},
		{"oauth2", `from = "subject"`, `from = "account"`, `claims = [`, `policy.token.claims: "sub": from "account" needs policy.account`},
		{"oauth2", `from = "subject"`, `from = "account.trId"`, `claims = [`, `policy.token.claims: "sub": from "account.trId" needs policy.account`},
		{"thales-etp", `from = "account.trId"`, `from = "account."`, `claims = [`, `policy.token.claims: "trId": from names no attribute`},
		{"thales-etp", `from = "param.tokens", type = "strings"`, `from = "param.tokens"`, `claims = [`, `policy.token.claims: "tokens" must have the type of the parameter that it comes from`},
		{"thales-etp", `from = "param.tokens", type = "strings"`, `from = "param.cards"`, `claims = [`, `policy.token.claims: "tokens": from "param.cards" names no parameter of the platform's own`},
		{"thales-etp", `from = "param.tokens", type = "strings"`, `from = "param.scope"`, `claims = [`, `policy.token.claims: "tokens": from "param.scope" names no parameter of the platform's own`},

		{"oauth2", `typ = "at+jwt"`, "type = \"at+jwt\"", `type = "at`, `policy.token.type: unknown setting; did you mean "typ"?`},
		{"oauth2", `lifetime = "10m"`, `lifetime = "soon"`, `lifetime = "soon"`, `policy.token.lifetime: "soon" is not a duration such as`},
	} {
		t.Run(row.base+"/"+row.new[:min(len(row.new), 60)], func(t *testing.T) {
			source := change(t, row.base, row.old, row.new)
			if strings.Contains(row.new, "with Basic") {
				source = strings.Replace(source, `["api_key"]`, `["api_key", "client_secret_basic"]`, 1)
			}
			line := 1 + strings.Count(source[:strings.Index(source, row.at)], "\n")
			_, err := Parse("p.toml", []byte(source))
			if want := fmt.Sprintf("p.toml:%d: %s", line, row.want); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error  %v\nwanted %s", err, want)
			}
		})
	}
}

// change takes a built-in profile's text with one place replaced.
func change(t *testing.T, base, old, replacement string) string {
	t.Helper()
	source, err := os.ReadFile("../../profile/builtin/" + base + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), old) {
		t.Fatalf("%s.toml holds no %q", base, old)
	}
	return strings.Replace(string(source), old, replacement, 1)
}

// TestDefaults is what the comments of the fields promise for what is left out.
func TestDefaults(t *testing.T) {
	p, err := Parse("p.toml", []byte(`
name = "small"
title = "Small"
[wire]
path = "/t"
bodies = ["json"]
errors = "rfc6749"
params = [{ name = "assertion", means = "assertion" }, { name = "list", type = "strings" }]
response = [{ name = "t", from = "access_token" }]
[wire.correlation]
header = "x-id"
[policy]
grants = [{ type = "urn:ietf:params:oauth:grant-type:jwt-bearer", client_auth = ["none"] }]
scope = { default = "nothing" }
[policy.assertion]
algs = ["Ed25519"] # RFC 9864
audience = ["issuer"]
max_lifetime = "1m"
[policy.token]
alg = "Ed25519"
lifetime = "1m"
claims = [{ name = "iss", from = "issuer" }, { name = "iat", from = "iat" }, { name = "exp", from = "exp" }, { name = "jti", from = "jti" }]
`))
	if err != nil {
		t.Fatal(err)
	}
	w, a := &p.Wire, &p.Policy.Assertion
	if w.UnknownMembers != UnknownRefuse || w.Correlation.MaxLength != 64 || w.APIKey.MaxLength != 512 {
		t.Errorf("wire %+v", w)
	}
	if param := w.Param("assertion"); param.Type != TypeString || param.MaxLength != 8192 || param.MaxItems != 16 {
		t.Errorf("param %+v", param)
	}
	if a.Algs[0] != "EdDSA" || p.Policy.Token.Alg != "EdDSA" {
		t.Errorf("algs %q, alg %q", a.Algs, p.Policy.Token.Alg)
	}
	if p.Policy.ClientID != (Identifier{1, 128, CharsVisible}) || p.Policy.Scope.Unknown != UnknownRefuse {
		t.Errorf("policy %+v", p.Policy)
	}
	if a.Kid != KidRequired || a.Replay != ReplayOnce || a.Leeway != 0 || a.MaxLifetime != time.Minute {
		t.Errorf("assertion %+v", a)
	}
	if !a.Requires("iss") || !a.Requires("exp") || a.Requires("aud") || !a.Accepts(AudienceIssuer) || a.Accepts(AudienceName) {
		t.Errorf("iss and exp are always required, and only they: %+v", a)
	}
	if p.Policy.Token.Claim("iss").Type != TypeString || p.Policy.Token.Claim("none") != nil || p.Policy.Grant(oauth.ClientCredentials) != nil {
		t.Error("claims or grants that are not there")
	}
}

func TestChars(t *testing.T) {
	for _, row := range []struct {
		chars   Chars
		allowed string
		refused string
	}{
		{CharsAny, "aZ09-_ ~é\x00\n\"", ""},
		{CharsVisible, " !\"az~09\\", "\x1f\x7fé\n"},
		{CharsURLSafe, "azAZ09-_", " .~+/=é@[`{"},
		{CharsDigits, "0123456789", "a /:-"},
	} {
		if !row.chars.Allow(row.allowed) || !row.chars.Allow("") {
			t.Errorf("%q refuses %q", row.chars, row.allowed)
		}
		for _, r := range row.refused {
			if row.chars.Allow("1" + string(r)) {
				t.Errorf("%q allows %q", row.chars, r)
			}
		}
	}
	id := Identifier{MinLength: 2, MaxLength: 3, Chars: CharsDigits}
	for s, want := range map[string]bool{"1": false, "12": true, "123": true, "1234": false, "1a": false} {
		if id.Accepts(s) != want {
			t.Errorf("Accepts(%q) is %v", s, !want)
		}
	}
	for id, want := range map[Identifier]string{{MinLength: 1, MaxLength: 128}: "1 to 128 characters", {MinLength: 10, MaxLength: 10}: "exactly 10 characters"} {
		if got := id.Length(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A profile need not name its accounts and items.
func TestAccountNames(t *testing.T) {
	source, err := os.ReadFile("../../profile/builtin/" + "thales-etp" + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{`name = "merchant", `, `item_name = "card token", `} {
		source = bytes.Replace(source, []byte(name), nil, 1)
	}
	p, err := Parse("own.toml", source)
	if err != nil {
		t.Fatal(err)
	}
	if a := p.Policy.Account; a.Name != "account" || a.ItemName != "item" {
		t.Errorf("%+v", a)
	}
	if a := builtinOf(t, "oauth2").Policy.Account; a.Name != "" || a.ItemName != "" {
		t.Errorf("a profile without accounts: %+v", a)
	}
}

func TestAttributes(t *testing.T) {
	bolt, etp := builtinOf(t, "boltpay"), builtinOf(t, "thales-etp")
	if c := bolt.Policy.Token.ClientAttributes(); len(c) != 6 || c["roles"].Type != TypeStrings || c["accountId"].Release != "accountId" {
		t.Errorf("boltpay's client attributes: %v", c)
	}
	if a := bolt.Policy.Token.AccountAttributes(); len(a) != 0 {
		t.Errorf("boltpay's account attributes: %v", a)
	}
	if a := etp.Policy.Token.AccountAttributes(); len(a) != 1 || !a["trId"].Required {
		t.Errorf("thales-etp's account attributes: %v", a)
	}
	if bolt.Wire.Param("Client_ID") != nil || bolt.Wire.Meaning(MeansAssertion) != nil || !bolt.Policy.Uses(oauth.AuthBasic) || bolt.Policy.Uses(oauth.AuthAPIKey) {
		t.Error("boltpay has what it has not")
	}
}

func builtinOf(t *testing.T, name string) *Profile {
	t.Helper()
	p, err := Parse(name+".toml", builtinSource(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// builtinNames lists the files of the built-in profiles.
func builtinNames(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../profile/builtin/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no built-in profiles: %v", err)
	}
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".toml")
	}
	return files
}

func builtinSource(t testing.TB, name string) []byte {
	t.Helper()
	source, err := os.ReadFile("../../profile/builtin/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// FuzzParse: whatever a file says, Parse ends in an error that names the file or
// in a profile that keeps what server and SDK rely on.
func FuzzParse(f *testing.F) {
	for _, name := range builtinNames(f) {
		source, err := os.ReadFile("../../profile/builtin/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(source))
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := Parse("p.toml", []byte(source))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "p.toml:") {
				t.Errorf("the error names no place: %v", err)
			}
			return
		}
		for _, path := range p.Wire.Paths() {
			if path[0] != '/' || strings.ContainsAny(path, "{}% \n") || strings.Contains(path, "//") {
				t.Errorf("path %q", path)
			}
		}
		if len(p.Wire.Params) > 64 || len(p.Policy.Grants) == 0 || p.Policy.Token.Lifetime < time.Second || p.Wire.Correlation.Header == "" {
			t.Errorf("profile %+v", p)
		}
		for _, g := range p.Policy.Grants {
			if g.Type != oauth.JWTBearer && len(p.Policy.Grant(g.Type).ClientAuth[0]) == 0 {
				t.Errorf("anybody gets a token: %+v", g)
			}
		}
	})
}
