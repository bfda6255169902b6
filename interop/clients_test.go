package interop

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	xjwt "golang.org/x/oauth2/jwt"
)

const (
	basic         = "client_secret_basic"
	inBody        = "client_secret_post"
	privateKeyJWT = "private_key_jwt"
	none          = "none"
)

// fetching is one token for a client to fetch.
type fetching struct {
	Issuer string `json:"issuer"`
	// Discovery is "oauth2" for the path of RFC 8414, "oidc" for that of OpenID Connect Discovery.
	Discovery string `json:"discovery"`
	ClientID  string `json:"client_id"`
	Auth      string `json:"auth"`
	Secret    string `json:"secret,omitempty"`
	PEM       string `json:"pem,omitempty"`
	Alg       string `json:"alg,omitempty"`
	Kid       string `json:"kid,omitempty"`
	// Audience and Lifetime (in seconds) of a client assertion, for a client that needs them set.
	Audience  string `json:"aud,omitempty"`
	Lifetime  int    `json:"lifetime,omitempty"`
	Scope     string `json:"scope,omitempty"`
	GrantType string `json:"grant_type,omitempty"`
	Assertion string `json:"assertion,omitempty"`
	// TokenEndpoint is for clients without discovery.
	TokenEndpoint string `json:"token_endpoint,omitempty"`
	// Certificate of the client with its key, and CA, the certificate of the server, in PEM. A server
	// with a CA speaks TLS; without a Certificate the client shows none.
	Certificate    string `json:"certificate,omitempty"`
	CertificateKey string `json:"certificate_key,omitempty"`
	CA             string `json:"ca,omitempty"`
}

// fetched is the result of a client.
type fetched struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
}

// client is a program or library that fetches tokens.
type client struct {
	name  string
	need  func(*testing.T)
	fetch func(*testing.T, []fetching) []fetched
	// supported client authentication methods
	ways []string
	// plainBasic: it does not form-encode id and secret in Authorization, contrary to RFC 6749
	// section 2.3.1, so some ids do not work.
	plainBasic bool
}

func clients() []client {
	node := func(script string) func(*testing.T, []fetching) []fetched {
		return func(t *testing.T, work []fetching) (results []fetched) {
			askNode(t, script, "", work, &results)
			return results
		}
	}
	every := []string{basic, inBody, privateKeyJWT, none}
	return []client{
		{"golang.org-x-oauth2", needNothing, eachFetched(fetchWithXOAuth2), []string{basic, inBody}, false},
		{"curl", needProgram("curl"), eachFetched(fetchWithCurl), []string{basic, inBody, none}, false},
		{"npm oauth4webapi", needNode("oauth4webapi"), node("oauth4webapi.mjs"), every, false},
		{"npm openid-client", needNode("openid-client"), node("openid-client.mjs"), every, false},
		{"python authlib", needPython("authlib requests", "python3-authlib python3-requests"), fetchWithAuthlib, every, true},
		{"pypi authlib", needNewestPython, fetchWithNewestAuthlib, every, true},
		{"java spring-security", needJava, fetchWithJava("SpringClient"), every, false},
		{"java nimbus", needJava, fetchWithJava("NimbusClient"), every, false},
		{"java apache-httpclient", needJava, fetchWithJava("ApacheHttpClient"), []string{basic, inBody, none}, false},
	}
}

// fetchWithJava sets the aud of client assertions, which is the token endpoint by default.
func fetchWithJava(class string) func(*testing.T, []fetching) []fetched {
	return func(t *testing.T, work []fetching) (results []fetched) {
		for n := range work {
			work[n].Audience, work[n].TokenEndpoint = work[n].Issuer, tokenEndpoint(t, work[n])
		}
		askJava(t, class, work, &results)
		return results
	}
}

func eachFetched(fetch func(*testing.T, fetching) fetched) func(*testing.T, []fetching) []fetched {
	return func(t *testing.T, work []fetching) (results []fetched) {
		for _, w := range work {
			results = append(results, fetch(t, w))
		}
		return results
	}
}

// fetchWithAuthlib sets what TestAuthlibOwnClaims shows to be necessary.
func fetchWithAuthlib(t *testing.T, work []fetching) (results []fetched) {
	for n := range work {
		work[n].Audience, work[n].Lifetime = work[n].Issuer, 300
	}
	askPython(t, "authlib_client.py", "authlib", work, &results)
	return results
}

// fetchWithNewestAuthlib needs as much of newer versions.
func fetchWithNewestAuthlib(t *testing.T, work []fetching) (results []fetched) {
	for n := range work {
		work[n].Audience, work[n].Lifetime = work[n].Issuer, 300
	}
	askNewestPython(t, "authlib_client.py", "authlib", work, &results)
	return results
}

func fetchWithXOAuth2(t *testing.T, w fetching) fetched {
	style := map[string]oauth2.AuthStyle{basic: oauth2.AuthStyleInHeader, inBody: oauth2.AuthStyleInParams}[w.Auth]
	return fetchAt(t, w, tokenEndpoint(t, w), http.DefaultClient, style)
}

func fetchAt(t *testing.T, w fetching, endpoint string, by *http.Client, style oauth2.AuthStyle) fetched {
	t.Helper()
	config := clientcredentials.Config{ClientID: w.ClientID, ClientSecret: w.Secret, TokenURL: endpoint, AuthStyle: style}
	if w.Scope != "" {
		config.Scopes = strings.Fields(w.Scope)
	}
	got, err := config.Token(context.WithValue(t.Context(), oauth2.HTTPClient, by))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return fetched{Error: refused.ErrorCode}
	case err != nil:
		t.Fatal(err)
	}
	if left := time.Until(got.Expiry); left <= 0 {
		t.Errorf("%s from now it has expired", left)
	}
	scope, _ := got.Extra("scope").(string)
	seconds, _ := got.Extra("expires_in").(float64)
	return fetched{AccessToken: got.AccessToken, TokenType: got.TokenType, ExpiresIn: int(seconds), Scope: scope}
}

func fetchWithCurl(t *testing.T, w fetching) fetched {
	args := []string{"-sS", "-H", "Accept: application/json", tokenEndpoint(t, w)}
	add := func(name, value string) { args = append(args, "--data-urlencode", name+"="+value) }
	switch {
	case w.Assertion != "":
		add("grant_type", w.GrantType)
		add("assertion", w.Assertion)
	case w.Auth == basic: // curl sends its input unchanged: the caller has to encode it
		add("grant_type", "client_credentials")
		args = append(args, "-u", url.QueryEscape(w.ClientID)+":"+url.QueryEscape(w.Secret))
	default:
		add("grant_type", "client_credentials")
		add("client_id", w.ClientID)
		add("client_secret", w.Secret)
	}
	if w.Scope != "" {
		add("scope", w.Scope)
	}
	var f fetched
	if out := program(t, nil, "curl", args...); json.Unmarshal(out, &f) != nil {
		t.Fatalf("no JSON: %s", out)
	}
	return f
}

// tokenEndpoint returns the endpoint for clients without discovery.
func tokenEndpoint(t *testing.T, w fetching) string {
	t.Helper()
	for i := range profiles {
		if i.url(t) == w.Issuer {
			return i.endpoint(t)
		}
	}
	t.Fatalf("no issuer is %s", w.Issuer)
	return ""
}

// order is a fetching with its expected result: a scope, or an error code.
type order struct {
	name string
	fetching
	scope, err string
}

// orders for a client of plain OAuth 2.0 and one of boltpay.
func orders(t *testing.T, c *client) []order {
	plain := oauth2AS.newClient(t, newID())
	odd := oauth2AS.newClient(t, newID()+"+%41@shop:1&2") // each of these characters has a meaning in some encoding on the way
	merchant := boltpay.newClient(t, newID(), "--attribute", "accountId=4711", "--attribute-list", "roles=buyer,seller")
	keyed, stranger := newKey(t, "ES256"), newKey(t, "ES256")
	keyed.register(t, oauth2AS, plain)
	oauth2 := fetching{Issuer: oauth2AS.url(t), Discovery: "oauth2", ClientID: plain}
	bolt := fetching{Issuer: boltpay.url(t), Discovery: "oauth2", ClientID: merchant}
	var all []order
	add := func(name string, from fetching, scope, err string, change func(*fetching)) {
		if change != nil {
			change(&from)
		}
		all = append(all, order{name, from, scope, err})
	}
	for _, way := range []string{basic, inBody} {
		secrets := [3]string{oauth2AS.newSecret(t, plain), boltpay.newSecret(t, merchant), oauth2AS.newSecret(t, odd)}
		oauth2, bolt := oauth2, bolt
		oauth2.Auth, oauth2.Secret, bolt.Auth, bolt.Secret = way, secrets[0], way, secrets[1]
		add(way, oauth2, scopes[oauth2AS], "", nil)
		add(way+", OpenID discovery", oauth2, scopes[oauth2AS], "", func(f *fetching) { f.Discovery = "oidc" })
		add(way+", some scope", oauth2, "payments:read", "", func(f *fetching) { f.Scope = "payments:read" })
		add(way+", scope beyond the client's", oauth2, "", "invalid_scope", func(f *fetching) { f.Scope = "payments:read admin" })
		add(way+", wrong secret", oauth2, "", "invalid_client", func(f *fetching) { f.Secret = "mns_" + strings.Repeat("A", 43) })
		add(way+", another client's secret", oauth2, "", "invalid_client", func(f *fetching) { f.Secret = secrets[2] })
		oddOutcome := map[bool]string{true: "invalid_client"}[c.plainBasic && way == basic]
		add(way+", odd id", oauth2, scopes[oauth2AS], oddOutcome, func(f *fetching) { f.ClientID, f.Secret = odd, secrets[2] })
		add(way+", boltpay", bolt, "accountId roles", "", func(f *fetching) { f.Scope = "accountId roles" })
		add(way+", boltpay without scope", bolt, "", "", nil)
		add(way+", boltpay scope beyond the client's", bolt, "", "invalid_scope", func(f *fetching) { f.Scope = "status" })
		add(way+", boltpay wrong secret", bolt, "", "invalid_client", func(f *fetching) { f.Secret = secrets[0] })
	}
	oauth2.Auth, oauth2.PEM, oauth2.Alg, oauth2.Kid = privateKeyJWT, keyed.pem(t), keyed.alg, keyed.kid
	add(privateKeyJWT, oauth2, scopes[oauth2AS], "", nil)
	add(privateKeyJWT+" once more", oauth2, scopes[oauth2AS], "", nil)
	add(privateKeyJWT+", another's key", oauth2, "", "invalid_client", func(f *fetching) { f.PEM = stranger.pem(t) })
	add(privateKeyJWT+", another's name", oauth2, "", "invalid_client", func(f *fetching) { f.ClientID = odd })
	for _, i := range []issuer{oauth2AS, d1, d1Banking} {
		assertions := i.assertions(t)
		grant := fetching{Issuer: i.url(t), Discovery: "oauth2", ClientID: assertions.client, Auth: none, GrantType: jwtBearer}
		grant.Assertion = assertions.good
		add("jwt-bearer, "+string(i), grant, scopes[i], "", nil)
		add("jwt-bearer, "+string(i)+", used before", grant, "", "invalid_grant", nil)
		add("jwt-bearer, "+string(i)+", tampered", grant, "", "invalid_grant", func(f *fetching) { f.Assertion = tamperClaims(assertions.spare) })
		add("jwt-bearer, "+string(i)+", wrong audience", grant, "", "invalid_grant", func(f *fetching) { f.Assertion = assertions.elsewhere })
	}
	return all
}

// assertions of a new client of an issuer.
type assertionSet struct{ client, good, spare, elsewhere string }

func (i issuer) assertions(t *testing.T) assertionSet {
	t.Helper()
	set := assertionSet{client: i.newClient(t, newID())}
	own := newKey(t, "ES256")
	own.register(t, i, set.client)
	assert := func(audience string) string {
		t.Helper()
		return signWithGolangJWT(t, signing{PEM: own.pem(t), Alg: own.alg, Kid: own.kid, Claims: assertionClaims(set.client, audience)})
	}
	set.good, set.spare, set.elsewhere = assert(i.url(t)), assert(i.url(t)), assert("https://auth.example.org")
	return set
}

// TestClients: real clients get the expected tokens, understand refusals, and get no token that
// they should not get.
func TestClients(t *testing.T) {
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			c.need(t)
			has := func(way string) bool { return strings.Contains(strings.Join(c.ways, " "), way) }
			var mine []order
			var work []fetching
			for _, o := range orders(t, &c) {
				if has(o.Auth) {
					mine, work = append(mine, o), append(work, o.fetching)
				}
			}
			results := c.fetch(t, work)
			if len(results) != len(mine) {
				t.Fatalf("%d results for %d", len(results), len(mine))
			}
			for n := range mine {
				mine[n].judge(t, results[n])
			}
			t.Logf("%d tokens asked for", len(mine))
		})
	}
}

func (o *order) judge(t *testing.T, got fetched) {
	t.Helper()
	if o.err != "" {
		if diff := cmp.Diff(fetched{Error: o.err}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", o.name, diff)
		}
		return
	}
	seconds := 600
	if o.Issuer == d1.url(t) || o.Issuer == d1Banking.url(t) {
		seconds = 900
	}
	want := fetched{AccessToken: got.AccessToken, TokenType: got.TokenType, ExpiresIn: seconds, Scope: o.scope}
	if diff := cmp.Diff(want, got); diff != "" || !strings.EqualFold(got.TokenType, "Bearer") {
		t.Errorf("%s (-want +got):\n%s", o.name, diff)
		return
	}
	claims := claimsOf(t, got.AccessToken)
	if o.Auth != none && claims["client_id"] != o.ClientID && claims["aud"] != o.ClientID {
		t.Errorf("%s: the token is another's: %v", o.name, claims)
	}
}

// claimsOf parses a token's claims without verifying it.
func claimsOf(t *testing.T, compact string) map[string]any {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("no compact JWT: %q", compact)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestXOAuth2AuthDetect: the auto-detection of the authentication style of golang.org/x/oauth2
// works, since it tries Authorization first.
func TestXOAuth2AuthDetect(t *testing.T) {
	for _, i := range []issuer{boltpay, oauth2AS} {
		id := i.newClient(t, newID())
		config := clientcredentials.Config{ClientID: id, ClientSecret: i.newSecret(t, id), TokenURL: i.endpoint(t)}
		if _, err := config.Token(t.Context()); err != nil {
			t.Errorf("%s: %v", i, err)
		}
	}
}

// TestXOAuth2JWT: the jwt-bearer client of golang.org/x/oauth2 signs with RS256 and uses the token
// endpoint as aud.
func TestXOAuth2JWT(t *testing.T) {
	id := oauth2AS.newClient(t, newID())
	own, stranger := newKey(t, "RS256"), newKey(t, "RS256")
	own.register(t, oauth2AS, id)
	config := xjwt.Config{Email: id, Subject: id, PrivateKey: []byte(own.pem(t)), PrivateKeyID: own.kid,
		TokenURL: oauth2AS.endpoint(t)} // valid for an hour, its default
	got, err := config.TokenSource(t.Context()).Token()
	if err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, got.AccessToken); claims["client_id"] != id || got.Expiry.IsZero() {
		t.Errorf("claims %v, expiry %v", claims, got.Expiry)
	}
	for name, spoil := range map[string]func(*xjwt.Config){
		"another's key":  func(c *xjwt.Config) { c.PrivateKey = []byte(stranger.pem(t)) },
		"wrong audience": func(c *xjwt.Config) { c.Audience = "https://auth.example.org" },
		"two hours":      func(c *xjwt.Config) { c.Expires = 2 * time.Hour },
	} {
		spoilt := config
		spoil(&spoilt)
		_, err := spoilt.TokenSource(context.Background()).Token()
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.Response.StatusCode != http.StatusBadRequest || !strings.Contains(string(refused.Body), `"invalid_grant"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAuthlibOwnClaims: by default Authlib 1.2 uses the token endpoint as aud of client assertions,
// which RFC 10070 forbids, so users must set aud. Its lifetime of an hour is accepted.
func TestAuthlibOwnClaims(t *testing.T) {
	needPython("authlib requests", "python3-authlib python3-requests")(t)
	id := oauth2AS.newClient(t, newID())
	own := newKey(t, "ES256")
	own.register(t, oauth2AS, id)
	left := fetching{Issuer: oauth2AS.url(t), Discovery: "oauth2", ClientID: id, Auth: privateKeyJWT, PEM: own.pem(t), Alg: own.alg}
	audience, lifetime, both := left, left, left
	audience.Audience, lifetime.Lifetime = left.Issuer, 300
	both.Audience, both.Lifetime = left.Issuer, 300
	var got []fetched
	askPython(t, "authlib_client.py", "authlib", []fetching{left, audience, lifetime, both}, &got)
	for n, want := range []string{"invalid_client", "", "invalid_client", ""} {
		if got[n].Error != want || (got[n].AccessToken != "") != (want == "") {
			t.Errorf("%d: %+v", n, got[n])
		}
	}
}
