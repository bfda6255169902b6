package server_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

var variantRounds = flag.Int("variants", 6, "how many combinations of changes TestVariants tries of each profile")

// tree is a profile as TOML has it.
type tree map[string]any

// at returns the table at a path, which is made where there is none.
func (t tree) at(path string) tree {
	for name := range strings.SplitSeq(path, ".") {
		child, ok := t[name].(map[string]any)
		if !ok {
			child = map[string]any{}
			t[name] = child
		}
		t = child
	}
	return t
}

// toggles are changes of a profile: each value of each closed list, and each word, at its edges.
// Those that a profile cannot have are refused by its check, and then nothing is tried.
func toggles() map[string]func(tree, *rand.Rand) {
	all := map[string]func(tree, *rand.Rand){}
	values := func(path, word string, values ...any) {
		for _, value := range values {
			all[fmt.Sprintf("%s.%s = %v", path, word, value)] = func(t tree, _ *rand.Rand) { t.at(path)[word] = value }
		}
	}
	values("wire", "path", "/t", "/t/", "/a.b/~c/", "/check", "/revoke", "/.well-known/jwks.json")
	values("wire", "aliases", []string{"/alias"}, []string{"/t", "/t/"}, []string{"/alias/", "/introspect"})
	values("wire", "bodies", []string{"form"}, []string{"json"}, []string{"form", "json"}, []string{"json", "form"})
	values("wire", "unknown_members", "refuse", "ignore")
	values("wire", "basic", "form", "plain")
	values("wire", "token_type", "Bearer", "bearer", "Token", "MAC")
	values("wire", "errors", "rfc6749", "status")
	values("wire.api_key", "header", "x-api-key", "authorization", "Content-Type", "x-correlation-id")
	values("wire.api_key", "scheme", "", "Key", "Basic", "Bearer")
	values("wire.api_key", "max_length", 43, 12)
	values("wire.correlation", "header", "x-request-id", "Authorization", "x-api-key", "Content-Length", "Host")
	values("wire.correlation", "required", true, false)
	values("wire.correlation", "max_length", 1, 8, 36, 256)
	values("wire.correlation", "chars", "", "visible", "url-safe", "digits")
	values("wire", "correlation", tree{})
	for _, status := range []int{400, 401, 403, 408, 418, 422, 500, 502, 504} {
		values("wire.status", "invalid_request", status)
		values("wire.status", "invalid_client", status)
		values("wire.status", "server_error", status)
	}
	values("policy", "client_id", map[string]any{"min_length": 1, "max_length": 1, "chars": "digits"}, map[string]any{"min_length": 100, "max_length": 256, "chars": "visible"},
		map[string]any{"min_length": 3, "max_length": 40, "chars": "url-safe"})
	values("policy.assertion", "algs", []string{"ES256"}, []string{"PS256"}, []string{"RS256"}, []string{"EdDSA"}, []string{"EdDSA", "ES256"})
	values("policy.assertion", "kid", "required", "optional")
	values("policy.assertion", "require", []string{}, []string{"nbf"}, []string{"jti", "iat"}, []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})
	values("policy.assertion", "forbid", []string{"sub"}, []string{"aud"}, []string{"iat", "nbf"}, []string{"jti"}, []string{"sub", "aud", "iat", "nbf", "jti"})
	values("policy.assertion", "subject", "issuer", "registered")
	values("policy.assertion", "audience", []string{"issuer"}, []string{"endpoint"}, []string{"name"}, []string{"name", "endpoint"})
	values("policy.assertion", "max_lifetime", "1ns", "1s", "10s", "30s", "24h")
	values("policy.assertion", "leeway", "0s", "5m")
	values("policy.assertion", "replay", "once", "until-exp", "same-token")
	values("policy.scope", "words", []string{}, []string{"read"}, []string{"read", "write", "a:b/c"})
	values("policy.scope", "unknown", "refuse", "ignore")
	values("policy.scope", "default", "registered", "nothing")
	values("policy.token", "alg", "ES256", "PS256", "RS256", "EdDSA")
	values("policy.token", "typ", "", "JWT", "at+jwt", "x", `a"b`)
	values("policy.token", "lifetime", "1s", "1500ms", "24h")
	for _, auth := range []string{"none", "client_secret_basic", "client_secret_post", "private_key_jwt", "api_key", "client_secret_basic + api_key", "client_secret_post + private_key_jwt",
		"self_signed_tls_client_auth", "private_key_jwt + self_signed_tls_client_auth"} {
		for i, grant := range []oauth.GrantType{oauth.ClientCredentials, oauth.JWTBearer} {
			all[fmt.Sprintf("%s by %s", []string{"client_credentials", "jwt-bearer"}[i], auth)] = func(t tree, _ *rand.Rand) {
				t.at("policy")["grants"] = []map[string]any{{"type": string(grant), "client_auth": []string{auth}}}
			}
		}
	}
	addListToggles(all)
	return all
}

// addListToggles adds changes of one parameter, member of the answer or claim that chance selects.
func addListToggles(all map[string]func(tree, *rand.Rand)) {
	one := func(path, list, word string, values ...any) {
		for _, value := range values {
			all[fmt.Sprintf("%s.%s: %s = %v", path, list, word, value)] = func(t tree, r *rand.Rand) {
				if entries, ok := t.at(path)[list].([]map[string]any); ok && len(entries) > 0 {
					entries[r.IntN(len(entries))][word] = value
				}
			}
		}
	}
	one("wire", "params", "name", "renamed", "X-Name", "a b&c=d", "é")
	one("wire", "params", "max_length", 1, 20, 60, 300, 8192)
	one("wire", "params", "required", true, false)
	one("wire", "params", "chars", "", "visible", "url-safe", "digits")
	one("wire", "params", "one_of", []string{"read"}, []string{"client_credentials"})
	one("wire", "params", "type", "string", "strings")
	one("wire", "response", "name", "renamed", "error", "tokenType", "scope")
	one("wire", "response", "type", "", "string", "number", "iso8601")
	one("wire", "response", "from", "access_token", "token_type", "expires_in", "expires_at", "scope")
	one("policy.token", "claims", "name", "renamed", "nbf", "sub", "scope", "cnf", "client_id", "aud")
	one("policy.token", "claims", "type", "string", "strings")
	one("policy.token", "claims", "release", "read", "roles", "")
	one("policy.token", "claims", "required", true, false)
	one("policy.token", "claims", "from", "client.text", "client", "scope", "audience", "subject")
	for _, list := range []struct{ path, list string }{{"wire", "params"}, {"wire", "response"}, {"policy.token", "claims"}} {
		all["one less of "+list.path+"."+list.list] = func(t tree, r *rand.Rand) {
			if entries, ok := t.at(list.path)[list.list].([]map[string]any); ok && len(entries) > 1 {
				i := r.IntN(len(entries))
				t.at(list.path)[list.list] = slices.Delete(entries, i, i+1)
			}
		}
	}
}

// variant is a profile that its check passes, or nil: a copy of source with the changes.
func variant(t *testing.T, source []byte, r *rand.Rand, changes ...func(tree, *rand.Rand)) *profile.Profile {
	t.Helper()
	var changed tree
	must(t, toml.Unmarshal(source, &changed))
	delete(changed, "demo")
	for _, change := range changes {
		change(changed, r)
	}
	if c, ok := changed.at("wire")["correlation"].(tree); ok && len(c) == 0 {
		delete(changed.at("wire"), "correlation")
	}
	var text bytes.Buffer
	must(t, toml.NewEncoder(&text).Encode(changed))
	file := filepath.Join(t.TempDir(), "variant.toml")
	must(t, os.WriteFile(file, text.Bytes(), 0o600))
	p, err := profile.Load(file)
	if err != nil {
		return nil
	}
	return p
}

// sources are the built-in profiles and those of transcripts, by name.
func sources(t *testing.T) map[string][]byte {
	all := map[string][]byte{}
	for _, dir := range transcriptDirs(t) {
		s := readSetup(t, dir, "")
		all[s.profile.Definition().Name] = s.profile.Source()
	}
	return all
}

// TestVariants: a profile that its check passes is served by the server and called by the client. Each
// change is made to each profile alone, and then many together, as chance with a fixed seed has it.
func TestVariants(t *testing.T) {
	all, r := toggles(), rand.New(rand.NewPCG(1, 2))
	names := slices.Sorted(maps.Keys(all))
	profiles := sources(t)
	bases := slices.Sorted(maps.Keys(profiles))
	for i, name := range names {
		tried := 0
		for n := range bases { // with one profile that can have it
			base := bases[(i+n)%len(bases)]
			if p := variant(t, profiles[base], r, all[name]); p != nil && tried == 0 {
				tried++
				t.Run(base+": "+name, func(t *testing.T) { serveVariant(t, p) })
			}
		}
		if tried == 0 {
			t.Logf("no profile can have %s", name)
		}
	}
	for _, base := range bases {
		for n := range *variantRounds {
			var some []string
			var changes []func(tree, *rand.Rand)
			for range 2 + r.IntN(6) {
				some = append(some, names[r.IntN(len(names))])
				changes = append(changes, all[some[len(some)-1]])
			}
			if p := variant(t, profiles[base], r, changes...); p != nil {
				t.Run(fmt.Sprintf("%s %d: %s", base, n, strings.Join(some, "; ")), func(t *testing.T) { serveVariant(t, p) })
			}
		}
	}
}

// text is a text of a form.
func textOf(id platform.Identifier) string {
	return strings.Repeat("1", min(max(id.MinLength, 10), id.MaxLength))
}

// valueOf is a value that a parameter may hold.
func valueOf(param *platform.Param) string {
	if len(param.OneOf) > 0 {
		return param.OneOf[0]
	}
	return strings.Repeat("1", min(param.MaxLength, 10))
}

// setupOf is a client of the profile that holds every credential which the profile uses.
func setupOf(t *testing.T, p *profile.Profile) (*setup, *tokensource.Source) {
	t.Helper()
	s := &setup{dir: t.Name(), profile: p, keys: map[string]*clientKey{}, certificates: &server.Certificates{}}
	d := p.Definition()
	policy := &d.Policy
	s.addIssuer("v", "https://v.example.com/base", splitFields("x names=stg resource=https://api.example.com"), false, false)
	issuer := s.issuers[0]
	c := &registry.Client{Issuer: "v", ID: textOf(policy.ClientID), Created: noon, Scope: policy.Scope.Words, Attributes: map[string]registry.Attribute{}}
	if len(c.Scope) == 0 {
		c.Scope = oauth.Scope{"read", "write"}
	}
	if param := d.Wire.Meaning(platform.MeansScope); param != nil && len(param.OneOf) > 0 && len(policy.Scope.Words) == 0 {
		c.Scope = param.OneOf
	}
	for name, claim := range policy.Token.ClientAttributes() {
		c.Attributes[name] = attributeOf(claim)
	}
	issuer.clients = append(issuer.clients, c)
	source := &tokensource.Source{Profile: p, Issuer: issuer.URL, Params: url.Values{}}
	source.Credential.ClientID = c.ID
	fields := splitFields("x y")
	if policy.Uses(oauth.AuthBasic) || policy.Uses(oauth.AuthPost) {
		source.Credential.Secret = "secret:of+the%41client"
		if param := d.Wire.Meaning(platform.MeansClientSecret); param != nil && (param.Chars != platform.CharsAny || param.MaxLength < 22 || len(param.OneOf) > 0) {
			source.Credential.Secret = valueOf(param)
		}
		s.addSecret(registry.ClientSecret, "s1", source.Credential.Secret, fields, false)
	}
	if policy.Uses(oauth.AuthAPIKey) {
		source.Credential.APIKey = strings.Repeat("k", min(30, d.Wire.APIKey.MaxLength))
		s.addSecret(registry.APIKey, "a1", source.Credential.APIKey, fields, false)
	}
	if policy.Grant(oauth.JWTBearer) != nil || policy.Uses(oauth.AuthPrivateKeyJWT) {
		s.dir = "variants" // one key for all
		must(t, s.addKey(t, "k1", splitFields("x alg="+policy.Assertion.Algs[0]), false))
		source.Credential.Key, source.Credential.Kid, source.Credential.Alg = s.keys["k1"].private, "k1", policy.Assertion.Algs[0]
		if policy.Assertion.Kid == platform.KidOptional {
			source.Credential.Kid = ""
		}
	}
	if policy.Uses(oauth.AuthSelfSignedTLS) {
		pair := certtest.SelfSigned(t, noon, "client", nil)
		_, err := c.AddCertificate(&issuer.Issuer, nil, registry.Certificate{Match: registry.MatchCertificate, Value: string(certtest.PEM(leafOf(t, pair)))}, noon)
		must(t, err)
		source.Credential.Certificate = showing(pair)
	}
	s.fillParams(d, source)
	return s, source
}

func attributeOf(claim platform.Claim) registry.Attribute {
	if claim.Type == platform.TypeStrings {
		return registry.Attribute{IsList: true, List: []string{textOf(claim.Form)}}
	}
	return registry.Attribute{Text: textOf(claim.Form)}
}

// fillParams registers the account and items of the profile, and gives a request all parameters.
func (s *setup) fillParams(d *platform.Profile, source *tokensource.Source) {
	issuer, policy := s.issuers[0], &d.Policy
	for i := range d.Wire.Params {
		if param := &d.Wire.Params[i]; param.Means == "" {
			source.Params.Set(param.Name, valueOf(param))
		}
	}
	if d.Wire.Meaning(platform.MeansScope) != nil {
		source.Scope = issuer.clients[0].Scope
		if one := d.Wire.Meaning(platform.MeansScope).OneOf; len(one) > 0 {
			source.Scope = oauth.Scope(strings.Fields(one[0]))
		}
	}
	account := policy.Account
	if account.Param == "" {
		return
	}
	a := registry.Account{Issuer: "v", ID: source.Params.Get(account.Param), Client: issuer.clients[0].ID, Attributes: map[string]registry.Attribute{}}
	for name, claim := range policy.Token.AccountAttributes() {
		a.Attributes[name] = attributeOf(claim)
	}
	issuer.accounts = append(issuer.accounts, a)
	if account.Items != "" {
		issuer.items = append(issuer.items, registry.Item{Issuer: "v", ID: source.Params.Get(account.Items), Account: a.ID, Kind: account.Kinds[0]})
	}
}

// serveVariant lets the client get a token by each grant and set of the profile that it has credentials
// for, at each path, and an API verify it.
func serveVariant(t *testing.T, p *profile.Profile) {
	s, source := setupOf(t, p)
	h := s.open(t)
	h.Advance(900_000_000) // an instant that is no whole second
	d, issuer := p.Definition(), s.issuers[0]
	source.HTTPClient, source.Now = h.client, h.Now
	for _, grant := range d.Policy.Grants {
		for _, set := range grant.ClientAuth {
			if set.Has(oauth.AuthTLS) {
				continue
			}
			for _, path := range d.Wire.Paths() {
				again := &tokensource.Source{Profile: p, Issuer: issuer.URL, TokenURL: issuer.URL + path, Credential: source.Credential, Scope: source.Scope, Params: source.Params,
					HTTPClient: source.HTTPClient, Now: source.Now}
				again.Credential.Grant, again.Credential.Auth = grant.Type, oauth.ClientAuth(set.String())
				if again.Credential.Auth == "" {
					again.Credential.Auth = oauth.AuthNone
				}
				a := &d.Policy.Assertion
				if grant.Type == oauth.JWTBearer && !a.Accepts(platform.AudienceIssuer) && !a.Accepts(platform.AudienceEndpoint) {
					again.Credential.Audience = "stg"
				}
				token, err := again.Fetch(t.Context())
				if err != nil {
					t.Errorf("%s by %s at %s: %v", grant.Type, set, path, err)
					continue
				}
				if _, err := h.verifiers[issuer.URL].Verify(t.Context(), token.AccessToken); err != nil {
					t.Errorf("%s by %s: verify: %v", grant.Type, set, err)
				}
			}
		}
	}
	wantOwnStatus(t, h, d, issuer.URL)
	wantOtherEndpoints(t, h, issuer.URL)
}

// wantOwnStatus sends a request that cannot be read: the refusal has the profile's status and style.
func wantOwnStatus(t *testing.T, h *testServer, d *platform.Profile, issuer string) {
	t.Helper()
	body, kind := "a=1&a=1", "application/x-www-form-urlencoded"
	if d.Wire.Bodies[0] == platform.BodyJSON {
		body, kind = "[]", "application/json"
	}
	resp, err := h.client.Post(issuer+d.Wire.Path, kind, strings.NewReader(body))
	must(t, err)
	must(t, resp.Body.Close())
	c := &d.Wire.Correlation
	if id := resp.Header.Get(c.Header); c.Header != "" && (id == "" || len(id) > c.MaxLength || !c.Chars.Allow(id)) {
		t.Errorf("made up %q as %s", id, c.Header)
	}
	want := http.StatusBadRequest
	if own := d.Wire.Status[oauth.InvalidRequest]; own != 0 {
		want = own
	}
	if resp.StatusCode != want || (resp.ContentLength != 0) != (d.Wire.Errors == platform.ErrorsRFC6749) {
		t.Errorf("a request that cannot be read: status %d with %d bytes, want %d", resp.StatusCode, resp.ContentLength, want)
	}
}

// wantOtherEndpoints: the token endpoint is in no other's place.
func wantOtherEndpoints(t *testing.T, h *testServer, issuer string) {
	t.Helper()
	for path, want := range map[string]int{"/check": 401, "/.well-known/jwks.json": 200, "/.well-known/oauth-authorization-server": 200, "/revocations": 200} {
		resp, err := h.client.Get(issuer + path)
		must(t, err)
		must(t, resp.Body.Close())
		if resp.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}
