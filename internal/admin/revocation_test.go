package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// grantCredential is a credential with which a client gets tokens.
type grantCredential struct {
	issuer *registry.Issuer
	client string
	secret adminapi.Secret
}

// revocationTest is an API with tokens of two clients of an issuer, one of which has
// two credentials. The tokens a, b and other were issued in this order, a minute
// apart, in the middle of a second.
type revocationTest struct {
	*testAPI
	issuer      *registry.Issuer
	credentials map[string]grantCredential
	tokens      map[string]*authority.AccessToken
}

var names = []string{"a", "b", "other"}

func withTokens(t *testing.T, issuer string) *revocationTest {
	t.Helper()
	w := &revocationTest{testAPI: newTestAPI(t), credentials: map[string]grantCredential{}, tokens: map[string]*authority.AccessToken{}}
	w.issuer = w.issuers[slices.IndexFunc(w.issuers, func(i *registry.Issuer) bool { return i.Name == issuer })]
	for _, client := range []string{"one", "two"} {
		w.do("POST", w.path("clients"), fmt.Sprintf(`{"id":%q,"scope":%q}`, client, map[string]string{"etp": "PAYMENT_PASSKEY"}[issuer]), 201)
		if issuer == "etp" {
			w.do("PUT", w.path("accounts/"+client), fmt.Sprintf(`{"client":%q,"attributes":{"trId":"40000000001"}}`, client), 200)
		}
	}
	for name, client := range map[string]string{"a": "one", "b": "one", "other": "two"} {
		kind := registry.ClientSecret
		if issuer == "etp" {
			kind = registry.APIKey
		}
		b := grantCredential{issuer: w.issuer, client: client}
		decode(t, w.do("POST", w.path("clients/"+client+"/secrets"), fmt.Sprintf(`{"kind":%q}`, kind), 201), &b.secret)
		w.credentials[name] = b
	}
	w.wait(500 * time.Millisecond)
	for _, name := range names {
		w.tokens[name] = w.getToken(name)
		w.wait(time.Minute)
	}
	return w
}

func (w *revocationTest) path(below string) string { return "/issuers/" + w.issuer.Name + "/" + below }

// buy gets a token by a credential.
func (w *revocationTest) getToken(name string) *authority.AccessToken {
	w.t.Helper()
	b := w.credentials[name]
	req := &authority.Request{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthPost, ID: b.client, Secret: b.secret.Text}}}
	if b.secret.Kind == registry.APIKey {
		req.Credentials[0] = authority.Credential{Method: oauth.AuthAPIKey, APIKey: b.secret.Text}
		req.Params = []authority.Param{{Name: "merchantId", Value: registry.Attribute{Text: b.client}},
			{Name: "tokens", Value: registry.Attribute{IsList: true}}}
	}
	token, err := w.api.Authority.Exchange(w.t.Context(), b.issuer, req)
	must(w.t, err)
	return token
}

// inactive are the tokens that an authority says are not active.
func (w *revocationTest) inactive(a *authority.Authority) []string {
	w.t.Helper()
	inactive := []string{}
	for _, name := range names {
		switch _, err := a.Introspect(w.t.Context(), w.issuer, w.tokens[name].Token, w.now()); {
		case err == nil:
		case oauth.AsError(err).Code == oauth.InvalidToken && strings.Contains(fmt.Sprint(errors.Unwrap(err)), "revoked"):
			inactive = append(inactive, name)
		default:
			w.t.Fatalf("token %s: %v: %v", name, err, errors.Unwrap(err))
		}
	}
	return inactive
}

// reopened is an authority that knows only what the store does after it was
// closed and opened.
func (w *revocationTest) reopened() *authority.Authority {
	w.t.Helper()
	must(w.t, w.db.Close())
	db, err := store.Open(w.t.Context(), "sqlite:"+w.file, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: w.now})
	must(w.t, err)
	w.db = db
	before := w.api.Authority
	again := &authority.Authority{Registry: db, Ledger: db, Keyring: before.Keyring, Pepper: before.Pepper, ClientRate: before.ClientRate,
		Refusals: before.Refusals, Revocations: authority.NewRevocations(db), Now: before.Now}
	must(w.t, again.Revocations.Load(w.t.Context(), []string{w.issuer.Name}))
	return again
}

// activate lets a new key sign and returns the one that signed before.
func (w *revocationTest) activate() string {
	w.t.Helper()
	old := get[adminapi.Page[keyring.KeyInfo]](w.testAPI, w.path("signing-keys")).Items[0].Kid
	var next keyring.KeyInfo
	decode(w.t, w.do("POST", w.path("signing-keys"), `{}`, 201), &next)
	w.do("POST", w.path("signing-keys/"+next.Kid+":activate"), "", 200)
	return old
}

// Every kind of target revokes its tokens and no others: at once, in the ledger, in
// the list, and after the store was opened again.
func TestRevokeByEveryName(t *testing.T) {
	const afterA = "2026-11-23T12:00:30Z"
	for _, c := range []struct {
		name, issuer string
		// body, where A is replaced by the jti of a, B by the ID of b's secret, and KID for
		// the key that signed.
		body     string
		inactive string
		tokens   int
		object   string
		note     bool
	}{
		{"jti", "plain", `{"jti":"A"}`, "a", 1, "tokens/A", false},
		{"client", "plain", `{"client":"one"}`, "a b", 0, "clients/one/tokens", false},
		{"client until", "plain", `{"client":"one","at":"` + afterA + `"}`, "a", 0, "clients/one/tokens before " + afterA, false},
		{"credential", "plain", `{"client":"one","credential":"B"}`, "b", 1, "clients/one/credentials/B/tokens", true},
		{"subject", "plain", `{"client":"one","subject":"one"}`, "a b", 2, "clients/one/subjects/one/tokens", true},
		{"subject and credential", "plain", `{"client":"one","credential":"B","subject":"one"}`, "b", 1, "clients/one/credentials/B/subjects/one/tokens", true},
		{"signing key", "plain", `{"signing_kid":"KID"}`, "a b other", 0, "signing-keys/KID/tokens", false},
		{"all", "plain", `{"all":true}`, "a b other", 0, "tokens", false},
		{"all until", "plain", `{"all":true,"at":"2026-11-23T14:01:30+02:00"}`, "a b", 0, "tokens before 2026-11-23T12:01:30Z", false},
		{"all within a second", "plain", `{"all":true,"at":"2026-11-23T12:01:00.25Z"}`, "a b", 0, "tokens before 2026-11-23T12:01:00.25Z", false},
		{"all before a second", "plain", `{"all":true,"at":"2026-11-23T12:01:00Z"}`, "a", 0, "tokens before 2026-11-23T12:01:00Z", false},
		{"client, whom aud names", "bolt", `{"client":"one"}`, "a b", 0, "clients/one/tokens", false},
		{"client, whom no claim names", "etp", `{"client":"one"}`, "a b", 2, "clients/one/tokens", true},
		{"client until, whom no claim names", "etp", `{"client":"one","at":"` + afterA + `"}`, "a", 1, "clients/one/tokens before " + afterA, true},
		{"API key", "etp", `{"client":"one","credential":"B"}`, "b", 1, "clients/one/credentials/B/tokens", true},
		{"credential until", "etp", `{"client":"one","credential":"B","at":"2026-11-23T12:01:00.25Z"}`, "b", 1, "clients/one/credentials/B/tokens before 2026-11-23T12:01:00.25Z", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := withTokens(t, c.issuer)
			fill := strings.NewReplacer("KID", w.activate(), `"A"`, quoted(w.tokens["a"].JTI), "/A", "/"+w.tokens["a"].JTI,
				`"B"`, quoted(w.credentials["b"].secret.ID), "/B/", "/"+w.credentials["b"].secret.ID+"/")
			if inactive := w.inactive(w.api.Authority); len(inactive) > 0 {
				t.Fatalf("inactive before: %s", inactive)
			}
			var made adminapi.Revocation
			decode(t, w.do("POST", w.path("revocations"), fill.Replace(c.body), 200), &made)
			inactive := strings.Join(w.inactive(w.api.Authority), " ")
			if inactive != c.inactive || made.Tokens != c.tokens || (made.Note != "") != c.note || !made.Until.After(w.now()) || made.Reason == "" {
				t.Errorf("inactive at once: %s; answered: %+v", inactive, made)
			}
			w.wait(time.Second)
			w.tokens["later"] = w.getToken("a")
			if _, err := w.api.Authority.Introspect(t.Context(), w.issuer, w.tokens["later"].Token, w.now()); err != nil {
				t.Errorf("a token that was issued later: %v", err)
			}
			w.checkRevocationEntry(t, fill.Replace(c.object), c.tokens, c.note)
			list := get[adminapi.Page[adminapi.Revocation]](w.testAPI, w.path("revocations"))
			if made.Note = ""; len(list.Items) != 1 || list.Items[0] != made {
				t.Errorf("the list is %+v, want %+v", list, made)
			}
			if inactive := strings.Join(w.inactive(w.reopened()), " "); inactive != c.inactive {
				t.Errorf("inactive after the store was opened again: %s", inactive)
			}
		})
	}
}

// checkRevocationEntry checks that the newest entry of the ledger is the revocation.
func (w *revocationTest) checkRevocationEntry(t *testing.T, object string, tokens int, counted bool) {
	t.Helper()
	entries := w.entries()
	e := entries[len(entries)-1]
	want := ledger.Entry{Kind: ledger.KindAdmin, Time: e.Time, Issuer: w.issuer.Name, Actor: "operator", Action: "revoke", Object: object}
	if client, below := strings.CutPrefix(object, "clients/"); below {
		want.Client, _, _ = strings.Cut(client, "/")
	}
	if jti, below := strings.CutPrefix(object, "tokens/"); below {
		want.JTI = jti
	}
	if counted {
		want.Count = int64(tokens)
	}
	if !strings.HasPrefix(e.Rows, "revocation/"+w.issuer.Name+"/") || e.Registry == "" {
		t.Errorf("the entry does not state what was written: %+v", e)
	}
	if want.Rows, want.Registry = e.Rows, e.Registry; e != want {
		t.Errorf("the entry is %+v\nwant %+v", e, want)
	}
}

func TestRevokeRefusals(t *testing.T) {
	w := withTokens(t, "plain")
	path := w.path("revocations")
	signing := get[adminapi.Page[keyring.KeyInfo]](w.testAPI, w.path("signing-keys")).Items[0].Kid
	var announced keyring.KeyInfo
	decode(t, w.do("POST", w.path("signing-keys"), `{}`, 201), &announced)
	before := len(w.entries())
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{`{}`, 400, "by one of jti, client, signing_kid and all"},
		{`{"all":false}`, 400, "by one of"},
		{`{"jti":"x","client":"one"}`, 400, "by one of"},
		{`{"client":"one","all":true}`, 400, "by one of"},
		{`{"credential":"k"}`, 400, "by one of"},
		{`{"signing_kid":"k","credential":"k"}`, 400, "credential and subject come with the client"},
		{`{"signing_kid":"k","subject":"s"}`, 400, "credential and subject come with the client"},
		{`{"client":"merchant01","subject":""}`, 400, "not empty"},
		{`{"jti":"x","at":"2026-11-23T12:00:00Z"}`, 400, "at comes with client or all"},
		{`{"signing_kid":"x","at":"2026-11-23T12:00:00Z"}`, 400, "at comes with client or all"},
		{`{"client":"one","credential":""}`, 400, "credential: want a name that is not empty"},
		{`{"client":"one","credential":null}`, 400, "want a string, have null"},
		{`{"all":true,"at":"now"}`, 400, "at: want a time"},
		{`{"token":"x"}`, 400, "unknown member 'token'"},
		{`{"all":true,"at":"2026-11-23T12:03:01Z"}`, 422, "of the future"},
		{`{"jti":"x"}`, 404, "a live token (token x): not found"},
		{`{"client":"nobody"}`, 404, "client 'nobody': not found"},
		{`{"client":"one","credential":"k"}`, 404, "a live token (client one, credential k): not found"},
		{`{"client":"two","credential":"` + w.credentials["a"].secret.ID + `"}`, 404, "a live token"},
		{`{"signing_kid":"k"}`, 404, "signing key 'k': not found"},
		{`{"signing_kid":"` + signing + `"}`, 422, "is signing, and what it signs from now on"},
		{`{"signing_kid":"` + announced.Kid + `"}`, 422, "is announced"},
	} {
		w.refused("POST", path, c.body, c.status, c.text)
	}
	w.refused("DELETE", path, "", 405, "GET, POST")
	w.refused("GET", path+"?x=1", "", 400, "unknown parameter")
	w.refused("POST", "/issuers/nobody/revocations", `{"all":true}`, 404, "issuer 'nobody'")
	w.refused("POST", "/issuers/etp/revocations", `{"jti":"`+w.tokens["a"].JTI+`"}`, 404, "a live token")
	if list := get[adminapi.Page[adminapi.Revocation]](w.testAPI, path).Items; len(list) != 0 || len(w.inactive(w.api.Authority)) != 0 || len(w.entries()) != before {
		t.Errorf("what was refused did something: %+v", list)
	}
	w.wait(w.issuer.TokenLifetime)
	w.refused("POST", path, `{"jti":"`+w.tokens["a"].JTI+`"}`, 404, "a live token")
}

// A removed client may have tokens that APIs verify locally.
func TestRevokeTokensOfRemovedClient(t *testing.T) {
	w := withTokens(t, "plain")
	w.do("DELETE", w.path("clients/one"), "", 204)
	w.do("POST", w.path("revocations"), `{"client":"one"}`, 200)
	w.wait(26 * time.Hour)
	w.token = w.mint("operator", both, time.Hour)
	w.refused("POST", w.path("revocations"), `{"client":"one"}`, 404, "client 'one'")
}

// Active revocations are listed page by page, until they expire.
func TestRevocationPages(t *testing.T) {
	w := withTokens(t, "plain")
	for _, name := range names {
		w.do("POST", w.path("revocations"), `{"jti":"`+w.tokens[name].JTI+`"}`, 200)
	}
	page := func(after string) adminapi.Page[adminapi.Revocation] {
		t.Helper()
		return get[adminapi.Page[adminapi.Revocation]](w.testAPI, w.path("revocations?limit=1&after="+after))
	}
	first := page("")
	w.wait(w.issuer.TokenLifetime + 2*time.Minute) // the first is over between two pages
	second := page(first.Next)
	third := page(second.Next)
	var reasons []string
	for _, v := range slices.Concat(first.Items, second.Items, third.Items, page(third.Next).Items) {
		reasons = append(reasons, v.Reason)
	}
	want := []string{"token " + w.tokens["a"].JTI, "token " + w.tokens["b"].JTI, "token " + w.tokens["other"].JTI}
	if !slices.Equal(reasons, want) {
		t.Errorf("the pages are %q, want %q", reasons, want)
	}
	w.wait(2 * time.Minute)
	if list := get[adminapi.Page[adminapi.Revocation]](w.testAPI, w.path("revocations")).Items; len(list) != 0 {
		t.Errorf("what is over is listed: %+v", list)
	}
}

// A revoked signing key is among the revocations, and its tokens are refused also by a
// verifier that has them in its cache. That holds for the API's own issuer, too.
func TestRevokedSigningKeyIsARevocation(t *testing.T) {
	w := withTokens(t, "plain")
	signer, err := w.keys.Signer("plain", w.now())
	must(t, err)
	answer := w.do("POST", w.path("signing-keys/"+signer.Kid()+":revoke"), "", 200)
	if !strings.Contains(answer, `"revoked"`) {
		t.Errorf("the answer is %s", answer)
	}
	list := get[adminapi.Page[adminapi.Revocation]](w.testAPI, w.path("revocations")).Items
	if len(list) != 1 || list[0].Reason != "revoked signing key "+signer.Kid() || list[0].Until.Before(w.now().Add(25*time.Hour)) {
		t.Errorf("the revocations are %+v", list)
	}
	for _, name := range names {
		jws, err := jose.Parse(w.tokens[name].Token)
		must(t, err)
		if revoked, err := w.api.Authority.Revoked(t.Context(), w.issuer, signer.Kid(), jws.Payload); err != nil || !revoked {
			t.Errorf("token %s counts as revoked: %v, %v", name, revoked, err)
		}
	}
	own, err := w.keys.Signer("admin", w.now())
	must(t, err)
	w.do("POST", "/issuers/admin/signing-keys/"+own.Kid()+":revoke", "", 200)
	w.do("GET", "/issuers", "", 401)
	w.token = w.mint("operator", both, time.Hour)
	w.do("GET", "/issuers", "", 200)
}

// Repeating a revocation adds nothing: tokens are not counted twice, and the published
// list does not grow.
func TestRevokeAgain(t *testing.T) {
	w := withTokens(t, "plain")
	r := w.api.Authority.Revocations
	for _, body := range []string{`{"client":"one","at":"2026-11-23T12:00:00Z"}`, `{"client":"one"}`, `{"client":"two"}`, `{"client":"one"}`} {
		w.do("POST", w.path("revocations"), body, 200)
		w.wait(time.Second)
	}
	published := string(r.AppendList(nil, w.issuer, w.now()))
	if strings.Count(published, `"value":"one"`) != 1 || strings.Count(published, `"value":"two"`) != 1 {
		t.Errorf("a client is published more than once: %s", published)
	}
	w.do("POST", w.path("revocations"), `{"client":"one","at":"2026-11-23T12:00:00Z"}`, 200)
	if inactive := w.inactive(w.api.Authority); len(inactive) != 3 {
		t.Errorf("after less was revoked, inactive are only %s", inactive)
	}
	jtis := make([]string, revocation.MaxTokens/2+1)
	for i := range jtis {
		jtis[i] = fmt.Sprint("token-", i)
	}
	for i := range 2 {
		v := &revocation.Revocation{Issuer: "plain", ID: fmt.Sprint(i), JTIs: jtis, Until: w.now().Add(time.Hour), Created: w.now()}
		if err := r.Add(t.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: w.now(), Issuer: "plain"}); err != nil {
			t.Fatalf("time %d: %v", i+1, err)
		}
	}
}

func TestClientThatIntrospects(t *testing.T) {
	w := withTokens(t, "plain")
	asks := func() bool {
		t.Helper()
		b := w.credentials["other"]
		found, err := w.api.Authority.IntrospectFor(t.Context(), w.issuer, &authority.Request{Credentials: []authority.Credential{{Method: oauth.AuthPost, ID: b.client, Secret: b.secret.Text}}}, w.tokens["a"].Token)
		must(t, err)
		return found.Token != nil
	}
	shown := func() bool { return get[adminapi.Client](w.testAPI, w.path("clients/two")).Introspects }
	for _, c := range []struct {
		body string
		want bool
	}{{`{}`, false}, {`{"introspects":true}`, true}, {`{"name":"two"}`, true}, {`{"introspects":null}`, false}} {
		w.do("PATCH", w.path("clients/two"), c.body, 200)
		if asks() != c.want || shown() != c.want {
			t.Errorf("after %s it is told: %v, and shown: %v", c.body, asks(), shown())
		}
	}
	w.refused("PATCH", w.path("clients/two"), `{"introspects":"yes"}`, 400, "introspects:")
}
