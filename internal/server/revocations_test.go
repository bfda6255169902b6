package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// published verifies a signed document by the keys that its issuer publishes.
func (h *testServer) published(t testing.TB, issuer, signed string) *jose.JWS {
	t.Helper()
	_, body := h.do(t, "GET "+strings.TrimPrefix(issuer, "https://")+"/.well-known/jwks.json")
	set, err := jose.ParseKeySet([]byte(body), jose.KeySetRules{})
	keys := set.Keys
	must(t, err)
	jws, err := jose.ParseDocument(signed)
	must(t, err)
	for _, key := range keys {
		if key.Kid == jws.Header.Kid {
			must(t, jws.Verify(key.Key))
			return jws
		}
	}
	t.Fatalf("%s publishes no key %q", issuer, jws.Header.Kid)
	return nil
}

// do makes a request that is written as in a transcript, but for the host, which
// stands before the path.
func (h *testServer) do(t testing.TB, text string) (*http.Response, string) {
	t.Helper()
	r := &run{TB: t, server: h, kept: map[string]string{}}
	method, rest, _ := strings.Cut(text, " ")
	host, path, _ := strings.Cut(rest, "/")
	first, more, _ := strings.Cut(path, "\n")
	req := r.request(strings.TrimSpace(method + " /" + first + "\nHost: " + host + "\n" + more))
	resp, err := h.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(body)
}

const form = "\nContent-Type: application/x-www-form-urlencoded\n"

// platformCase is what the tests of revocation need to know of a platform.
type platformCase struct {
	dir, url, path string
	// one and two are requests of one client with two credentials, named in
	// credentials; other is of another client.
	one, two, other     string
	client              string
	credentials         []string
	introspects, asking string // headers, and body but for the token
}

const assertionType = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion="

var platforms = []platformCase{
	{
		dir: "oauth2", url: "https://auth.example.com", path: "/oauth2/token", client: "app-1", credentials: []string{"s1", "k1"},
		one:         form + "\ngrant_type=client_credentials&client_id=app-1&client_secret=secret-of-app-1",
		two:         form + "\ngrant_type=client_credentials" + assertionType + "{assert k1}",
		other:       form + "\ngrant_type=client_credentials&client_id=app-2&client_secret=secret-of-app-2",
		introspects: form, asking: "client_id=api-1&client_secret=secret-of-api-1",
	},
	{
		dir: "boltpay", url: "https://pay.example.com", path: "/auth/token", client: "shop-1", credentials: []string{"s1", "s2"},
		one:         form + "\ngrant_type=client_credentials&client_id=shop-1&client_secret=p%2540ss%2Bw%26rd%40%3DZa7%7E9+c",
		two:         form + "\ngrant_type=client_credentials&client_id=shop-1&client_secret=mns_new-secret-of-the-overlap",
		other:       form + "\ngrant_type=client_credentials&client_id=shop-4&client_secret=secret-of-the-shop-without-scope",
		introspects: form, asking: "client_id=api-1&client_secret=secret-of-api-1",
	},
	{
		dir: "thales-etp", url: "https://etp.example.com/tsh-cof", path: "/auth/accessToken", client: "gateway-1", credentials: []string{"a1", "a2"},
		one:         etpRequest("mnk_key-of-gateway-1", "shop-1", "vts-1"),
		two:         etpRequest("mnk_key-of-gateway-1-renewed", "shop-2", "vts-2"),
		other:       etpRequest("key-of-gateway-2", "shop-3", "vts-3"),
		introspects: form + "Authorization: APIKEY key-of-the-api-behind\n",
	},
}

func etpRequest(key, merchant, card string) string {
	return "\nContent-Type: application/json\nx-correlation-id: c-1\nauthorization: APIKEY " + key +
		"\n\n" + `{"merchantId":"` + merchant + `","tokens":["` + card + `"],"scope":"PAYMENT_PASSKEY"}`
}

// platformServer is a server of one platform, with its tokens.
type platformServer struct {
	*testServer
	platformCase
	list     *bearer.RevocationList
	verifier *bearer.Verifier
}

func (p platformCase) open(t *testing.T) *platformServer {
	t.Helper()
	w := &platformServer{testServer: readSetup(t, "testdata/transcripts/"+p.dir, "").open(t), platformCase: p}
	w.watch()
	return w
}

// watch makes an API's verifier that polls the list.
func (w *platformServer) watch() {
	w.list = &bearer.RevocationList{Issuer: w.url, HTTPClient: w.testServer.client, Now: w.Now}
	v := w.verifiers[w.url]
	v.Revocations = w.list
	w.verifier = v
}

func (w *platformServer) host() string { return strings.TrimPrefix(w.url, "https://") }

// mint gets a token by one of the platform's requests.
func (w *platformServer) mint(t testing.TB, request string) string {
	t.Helper()
	resp, body := w.do(t, "POST "+w.host()+w.path+request)
	token := compactJWS.FindString(body)
	if resp.StatusCode != http.StatusOK || token == "" {
		t.Fatalf("no token: %d %s", resp.StatusCode, body)
	}
	return token
}

// good reports whether introspection and the check endpoint take a token; they must
// agree.
func (w *platformServer) good(t testing.TB, token string) bool {
	t.Helper()
	resp, body := w.do(t, "POST "+w.host()+"/introspect"+w.introspects+"\n"+strings.Trim("token="+token+"&"+w.asking, "&"))
	active := strings.HasPrefix(body, `{"active":true,`)
	if resp.StatusCode != http.StatusOK || !active && body != `{"active":false}` {
		t.Fatalf("introspection: %d %s", resp.StatusCode, body)
	}
	checked, _ := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer "+token)
	if (checked.StatusCode == http.StatusOK) != active || checked.StatusCode != http.StatusOK && checked.StatusCode != http.StatusUnauthorized {
		t.Errorf("active is %v and check answers %d", active, checked.StatusCode)
	}
	return active
}

// revoke puts a target in force as the admin API does.
func (w *platformServer) revoke(t testing.TB, target authority.Target) {
	t.Helper()
	issuer := &w.setup.issuers[0].Issuer
	v, err := w.authority.Revocations.Plan(t.Context(), issuer, target, w.Now())
	must(t, err)
	must(t, w.authority.Revocations.Add(t.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: w.Now(), Actor: "test", Action: "revoke"}))
}

func payloadOf(t testing.TB, token string) (jti, kid string) {
	t.Helper()
	jws, err := jose.Parse(token)
	must(t, err)
	claims, err := jose.ParseClaims(jws.Payload)
	must(t, err)
	return claims.ID, jws.Header.Kid
}

// rotate lets another key sign.
func (w *platformServer) rotate(t testing.TB) {
	t.Helper()
	name := w.setup.issuers[0].Name
	info, err := w.keyring.Announce(t.Context(), name, "test", keyring.NewKey{})
	must(t, err)
	must(t, w.keyring.Activate(t.Context(), name, "test", info.Kid))
}

// TestRevoked: what is revoked is refused by the very next request, by an API that
// polls the list within its interval, and by the server that is started after this
// one. All else goes on, and so does what is minted afterwards.
func TestRevoked(t *testing.T) {
	const one, two, other = 1, 2, 4
	rows := []struct {
		name   string
		target func(w *platformServer, tokens []string) authority.Target
		named  int // of the tokens one, two and other
	}{
		{"a token", func(_ *platformServer, tokens []string) authority.Target {
			jti, _ := payloadOf(t, tokens[1])
			return authority.Target{JTI: jti}
		}, two},
		{"a client", func(w *platformServer, _ []string) authority.Target { return authority.Target{Client: w.clientID()} }, one | two},
		{"a client, before the second token", func(w *platformServer, _ []string) authority.Target {
			return authority.Target{Client: w.clientID(), At: noon.Add(time.Second)}
		}, one},
		{"a credential", func(w *platformServer, _ []string) authority.Target {
			return authority.Target{Client: w.clientID(), Credential: w.credentials[1]}
		}, two},
		{"a signing key", func(_ *platformServer, tokens []string) authority.Target {
			_, kid := payloadOf(t, tokens[0])
			return authority.Target{SigningKid: kid}
		}, one | two | other},
		{"everything", func(*platformServer, []string) authority.Target { return authority.Target{All: true} }, one | two | other},
		{"everything before the second token", func(*platformServer, []string) authority.Target {
			return authority.Target{All: true, At: noon.Add(time.Second)}
		}, one},
	}
	for _, p := range platforms {
		for _, row := range rows {
			t.Run(p.dir+"/"+row.name, func(t *testing.T) {
				w := p.open(t)
				tokens := []string{w.mint(t, p.one)}
				w.Advance(time.Second)
				tokens = append(tokens, w.mint(t, p.two), w.mint(t, p.other))
				w.rotate(t)
				judge := func(want int, by string, good func(token string) bool) {
					t.Helper()
					for i, token := range tokens {
						if named := want&(1<<i) != 0; good(token) == named {
							t.Errorf("%s: token %d is good: %v", by, i+1, !named)
						}
					}
				}
				atServer := func(token string) bool { return w.good(t, token) }
				atAPI := func(token string) bool {
					_, err := w.verifier.Verify(t.Context(), token)
					return err == nil
				}
				judge(0, "before, at the server", atServer)
				judge(0, "before, at an API", atAPI)
				w.revoke(t, row.target(w, tokens))
				judge(row.named, "at the server", atServer)
				w.Advance(10 * time.Second) // RevocationList.Interval
				tokens = append(tokens, w.mint(t, p.one))
				judge(row.named, "at an API, an interval later", atAPI)
				w.serve(t)
				w.watch()
				judge(row.named, "at the next server", atServer)
				judge(row.named, "at an API of the next server", atAPI)
			})
		}
	}
}

func (w *platformServer) clientID() string { return w.platformCase.client }

// listed is the published list, verified.
type listed struct {
	Issuer string   `json:"iss"`
	Issued int64    `json:"iat"`
	Expiry int64    `json:"exp"`
	Before int64    `json:"before"`
	JTIs   []string `json:"jti"`
	Kids   []string `json:"kid"`
	Claims []struct {
		Claim, Value string
		Before       int64
	} `json:"claim"`
}

// poll gets the list, or status 304.
func (w *platformServer) poll(t testing.TB, headers ...string) (*http.Response, *listed, string) {
	t.Helper()
	resp, body := w.do(t, "GET "+w.host()+"/revocations\n"+strings.Join(headers, "\n"))
	if resp.StatusCode != http.StatusOK {
		return resp, nil, ""
	}
	jws := w.published(t, w.url, body)
	if jws.Header.Typ != "revocations+jwt" {
		t.Errorf("typ %q", jws.Header.Typ)
	}
	l := &listed{}
	must(t, json.Unmarshal(jws.Payload, l))
	return resp, l, jws.Header.Kid
}

// TestRevocationList is the published document: what it says, that it is asked for
// by ETag, and when it is signed anew: when something changed, though not twice in
// a second, when another key signs, and each hour.
func TestRevocationList(t *testing.T) {
	w := platforms[0].open(t)
	resp, l, kid := w.poll(t)
	etag := resp.Header.Get("ETag")
	if l.Issuer != w.url || l.Issued != noon.Unix() || l.Expiry != noon.Add(24*time.Hour).Unix() || l.Before != 0 || len(l.JTIs)+len(l.Kids)+len(l.Claims) != 0 {
		t.Errorf("the first list says %+v", l)
	}
	for name, want := range map[string]string{"Content-Type": "application/revocations+jwt", "Cache-Control": "public, max-age=0", "Access-Control-Allow-Origin": "*"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	signedAnew := func(why string, want bool) {
		t.Helper()
		resp, _, _ := w.poll(t, "If-None-Match: "+etag)
		if now := resp.Header.Get("ETag"); (resp.StatusCode != http.StatusNotModified) != want || (now != etag) != want {
			t.Errorf("%s: %d, ETag %s, was %s", why, resp.StatusCode, now, etag)
		}
		etag = resp.Header.Get("ETag")
	}
	signedAnew("nothing changed", false)
	w.Advance(59 * time.Minute)
	signedAnew("nothing changed for 59 minutes", false)
	w.Advance(time.Minute)
	signedAnew("nothing changed for an hour", true)
	signed := 0
	for i := range 100 { // in ten steps of 300 ms each second's flood is signed once
		token := w.mint(t, w.one)
		jti, _ := payloadOf(t, token)
		w.revoke(t, authority.Target{JTI: jti})
		if i%10 == 9 {
			w.Advance(300 * time.Millisecond)
		}
		if resp, _, _ := w.poll(t, "If-None-Match: "+etag); resp.StatusCode == http.StatusOK {
			signed++
			etag = resp.Header.Get("ETag")
		}
	}
	if signed != 2 { // of the flood's 3 s those after 1.2 s and 2.4 s
		t.Errorf("signed %d times within a flood of 3 s", signed)
	}
	w.Advance(time.Second)
	_, l, _ = w.poll(t)
	if len(l.JTIs) != 100 || !slices.IsSorted(l.JTIs) {
		t.Errorf("%d tokens, want all 100, sorted", len(l.JTIs))
	}
	w.rotate(t)
	if _, _, now := w.poll(t); now == kid {
		t.Error("the retired key signed the list")
	}
	w.Advance(24 * time.Hour)
	w.authority.Revocations.Sweep(w.Now())
	if _, l, _ = w.poll(t); len(l.JTIs) != 0 {
		t.Errorf("%d tokens that have ended", len(l.JTIs))
	}
	if resp, _ := w.do(t, "POST "+w.host()+"/revocations"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// TestRevocationListAfterALeap: a list that was signed while the clock was ahead is signed again
// as soon as the clock is right, because readers refuse it.
func TestRevocationListAfterALeap(t *testing.T) {
	w := platforms[0].open(t)
	w.poll(t)
	w.Advance(30 * time.Hour)
	if _, l, _ := w.poll(t); l.Issued != noon.Add(30*time.Hour).Unix() {
		t.Errorf("in the leap: iat %d", l.Issued)
	}
	w.Advance(-30*time.Hour + time.Minute)
	if _, l, _ := w.poll(t); l.Issued != noon.Add(time.Minute).Unix() {
		t.Errorf("after the leap: iat %d, want %d", l.Issued, noon.Add(time.Minute).Unix())
	}
	until := w.Now().Add(30 * time.Hour)
	w.authority.Staleness = func() (time.Time, bool) { return until, true }
	w.poll(t)
	until = w.Now()
	w.Advance(time.Minute) // as the monotonic clock says
	if _, l, _ := w.poll(t); l.Issued != until.Truncate(time.Minute).Unix() {
		t.Errorf("after a leap of the changes' time: iat %d, want %d", l.Issued, until.Unix())
	}
}

// TestRevocationListWithoutKey: a list that nobody can sign is not an empty one.
func TestRevocationListWithoutKey(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "issuer keyless https://auth4.example.com resource=x keyless").open(t)
	resp, body := h.do(t, "GET auth4.example.com/revocations")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	_, err := (&bearer.RevocationList{Issuer: "https://auth4.example.com", HTTPClient: h.client, Now: h.Now}).Revoked(t.Context(), &bearer.Claims{})
	if err == nil {
		t.Error("an API takes that for an empty list")
	}
}

// TestLongestList: the list at its bounds is signed, and an API takes it.
func TestLongestList(t *testing.T) {
	w := platforms[0].open(t)
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: noon, Actor: "test"}
	add := func(v revocation.Revocation) error {
		v.Issuer, v.ID, v.Until = "plain", strconv.Itoa(int(w.authority.Revocations.Version("plain"))), noon.Add(time.Hour)
		return w.authority.Revocations.Add(t.Context(), &v, entry)
	}
	for half := range 2 {
		jtis := make([]string, authority.MaxRevokedAtOnce)
		for i := range jtis {
			jtis[i] = fmt.Sprintf("%021d", half*len(jtis)+i)
		}
		must(t, add(revocation.Revocation{JTIs: jtis}))
	}
	for i := range revocation.MaxGroups { // the longest client ids, each byte escaped
		must(t, add(revocation.Revocation{Claim: "client_id", Value: fmt.Sprintf("%04d", i) + strings.Repeat(`"`, 252), Before: noon}))
	}
	var refused *registry.InvalidError
	for _, v := range []revocation.Revocation{{JTIs: []string{"one more"}}, {SigningKid: "one more"}} {
		if err := add(v); !errors.As(err, &refused) || !strings.Contains(refused.Problem, "everything before an instant") {
			t.Errorf("%+v: %v", v, err)
		}
	}
	must(t, add(revocation.Revocation{JTIs: []string{fmt.Sprintf("%021d", 7)}}))
	must(t, add(revocation.Revocation{Claim: "client_id", Value: fmt.Sprintf("%04d", 7) + strings.Repeat(`"`, 252), Before: noon.Add(time.Second)}))
	if _, l, _ := w.poll(t); len(l.JTIs) != revocation.MaxTokens || len(l.Claims) != revocation.MaxGroups {
		t.Errorf("the list has %d tokens and %d clients", len(l.JTIs), len(l.Claims))
	}
	revoked, err := w.list.Revoked(t.Context(), &bearer.Claims{ID: fmt.Sprintf("%021d", 99_999)})
	if err != nil || !revoked {
		t.Errorf("at an API: %v, %v", revoked, err)
	}
	w.Advance(time.Hour)
	w.authority.Revocations.Sweep(w.Now())
	if _, l, _ := w.poll(t); len(l.JTIs)+len(l.Claims) != 0 {
		t.Errorf("what is over is still listed: %d tokens, %d clients", len(l.JTIs), len(l.Claims))
	}
	must(t, add(revocation.Revocation{SigningKid: "now there is room"}))
}

// TestTypesAreApart: of the three things that an issuer signs none passes for
// another, though one key signed them all.
func TestTypesAreApart(t *testing.T) {
	for _, p := range platforms {
		w := p.open(t)
		token := w.mint(t, w.one)
		_, answer := w.do(t, "POST "+w.host()+"/introspect"+w.introspects+"Accept: application/token-introspection+jwt\n\n"+strings.Trim("token="+token+"&"+w.asking, "&"))
		_, list := w.do(t, "GET "+w.host()+"/revocations")
		if !w.good(t, token) {
			t.Fatalf("%s: the token itself is not good", p.dir)
		}
		for name, signed := range map[string]string{"introspection": answer, "list": list} {
			if w.published(t, w.url, signed); w.good(t, signed) {
				t.Errorf("%s: the %s is taken for a token", p.dir, name)
			}
			if _, err := w.verifier.Verify(t.Context(), signed); err == nil {
				t.Errorf("%s: an API takes the %s for a token", p.dir, name)
			}
		}
		for name, signed := range map[string]string{"token": token, "introspection": answer, "list": list} {
			front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/revocations+jwt")
				_, _ = io.WriteString(rw, signed)
			}))
			defer front.Close()
			l := &bearer.RevocationList{Issuer: w.url, URL: front.URL, Keys: &bearer.RemoteKeys{Issuer: w.url, HTTPClient: w.testServer.client, Now: w.Now}, Now: w.Now}
			if _, err := l.Revoked(t.Context(), &bearer.Claims{}); (err == nil) != (name == "list") {
				t.Errorf("%s: the %s as a list: %v", p.dir, name, err)
			}
		}
	}
}
