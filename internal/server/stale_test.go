package server_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/authority"
)

// feed tells an authority until when all is known.
type feed struct{ since atomic.Pointer[time.Time] } // nil while it is heard

// cut takes the store away, since the given time.
func (w *platformServer) cut(since time.Time) *feed {
	f := &feed{}
	f.since.Store(&since)
	w.heardBy(f)
	w.store.registryDown.Store(true)
	w.store.ledgerDown.Store(true)
	return f
}

// heardBy makes the server one of several.
func (w *platformServer) heardBy(f *feed) {
	w.authority.Stale = w.store.DB
	w.authority.Staleness = func() (time.Time, bool) {
		if since := f.since.Load(); since != nil {
			return *since, false
		}
		return w.Now(), true
	}
}

// TestStoreLost: what needs no write goes on while the store is lost, and says of
// when it is; and not for longer than what is known may be old.
func TestStoreLost(t *testing.T) {
	for _, p := range platforms {
		t.Run(p.dir, func(t *testing.T) {
			w := p.open(t)
			token := w.mint(t, p.one)
			w.Advance(time.Minute)
			since := w.Now()
			w.cut(since)
			w.Advance(30 * time.Second)
			w.goesOn(t, token, since)
			w.Advance(authority.MaxStale - 30*time.Second)
			w.goesOn(t, token, since)
			w.Advance(time.Second)
			for _, request := range []string{
				"POST " + w.host() + "/introspect" + w.introspects + "\n" + strings.Trim("token="+token+"&"+w.asking, "&"),
				"GET " + w.host() + "/check\nAuthorization: Bearer " + token,
				"GET " + w.host() + "/revocations",
			} {
				resp, body := w.do(t, request)
				if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
					t.Errorf("%.40s, too late: %d %s", request, resp.StatusCode, body)
				}
			}
			w.publishes(t)
		})
	}
}

// goesOn asks for all that needs no write.
func (w *platformServer) goesOn(t *testing.T, token string, since time.Time) {
	t.Helper()
	asOf := strconv.FormatInt(since.Unix(), 10)
	ask := func(token, accept string) string {
		resp, body := w.do(t, "POST "+w.host()+"/introspect"+w.introspects+accept+"\n"+strings.Trim("token="+token+"&"+w.asking, "&"))
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("introspection: %d %s %v", resp.StatusCode, body, resp.Header)
		}
		return body
	}
	if body := ask(token, ""); !strings.HasPrefix(body, `{"active":true,"as_of":`+asOf+`,"token_type":"Bearer",`) {
		t.Errorf("introspection: %s", body)
	}
	if body := ask("x", ""); body != `{"active":false,"as_of":`+asOf+`}` {
		t.Errorf("introspection of no token: %s", body)
	}
	jws := w.published(t, w.url, ask(token, "Accept: application/token-introspection+jwt\n"))
	if !strings.Contains(string(jws.Payload), `"token_introspection":{"active":true,"as_of":`+asOf+`,`) {
		t.Errorf("signed introspection: %s", jws.Payload)
	}
	resp, _ := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer "+token+"\nX-Token-As-Of: 4102444800")
	if got := resp.Header["X-Token-As-Of"]; resp.StatusCode != http.StatusOK || len(got) != 1 || got[0] != asOf {
		t.Errorf("check: %d, as of %q", resp.StatusCode, got)
	}
	if resp, _ := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer x"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("check of no token: %d", resp.StatusCode)
	}
	resp, l, _ := w.poll(t)
	if age := strconv.Itoa(int(w.Now().Sub(since) / time.Second)); l == nil || l.Issued != since.Truncate(time.Minute).Unix() || resp.Header.Get("Age") != age {
		t.Errorf("revocations: %d %+v, Age %s, want %s", resp.StatusCode, l, resp.Header.Get("Age"), age)
	}
	if resp, body := w.do(t, "POST "+w.host()+w.path+w.one); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("minting: %d %s", resp.StatusCode, body)
	}
	w.publishes(t)
}

// publishes asks for what the process has in memory in any case.
func (w *platformServer) publishes(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
		if resp, body := w.do(t, "GET "+w.host()+path); resp.StatusCode != http.StatusOK || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// TestStoreBack: once the store is back nothing says anymore that it was away.
func TestStoreBack(t *testing.T) {
	w := platforms[0].open(t)
	token := w.mint(t, w.one)
	f := w.cut(w.Now())
	w.store.registryDown.Store(false)
	w.store.ledgerDown.Store(false)
	f.since.Store(nil)
	_, body := w.do(t, "POST "+w.host()+"/introspect"+w.introspects+"\ntoken="+token+"&"+w.asking)
	resp, _ := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer "+token)
	list, _, _ := w.poll(t)
	if strings.Contains(body, "as_of") || resp.Header.Get("X-Token-As-Of") != "" || list.Header.Get("Age") != "" {
		t.Errorf("%s %v %v", body, resp.Header, list.Header)
	}
}

// TestListsOfReplicas: an API that polls now one replica, now the other, is given
// the list once for each minute, and never one that is older than the one at hand;
// not by one that lost the store either.
func TestListsOfReplicas(t *testing.T) {
	w := platforms[0].open(t)
	both := &feed{}
	w.heardBy(both)
	token := w.mint(t, w.one)
	jti, _ := payloadOf(t, token)
	w.revoke(t, authority.Target{JTI: jti})
	replicas := []*http.Client{w.testServer.client, nil}
	first := w.authority
	w.serve(t) // another, on the same store
	w.heardBy(both)
	replicas[1] = w.testServer.client
	poll := func(i int, etag string) *http.Response {
		w.testServer.client = replicas[i]
		resp, _, _ := w.poll(t, "If-None-Match: "+etag)
		return resp
	}
	etag, full := `"none"`, 0
	for i := range 36 { // every 10 s for 6 minutes
		resp := poll(i%2, etag)
		if resp.StatusCode == http.StatusOK {
			full++
			etag = resp.Header.Get("ETag")
		}
		w.Advance(10 * time.Second)
	}
	if full != 6 {
		t.Errorf("the list was sent %d times in 6 minutes, want once a minute", full)
	}
	list := &bearer.RevocationList{Issuer: w.url, HTTPClient: &http.Client{Transport: either{w, replicas}}, Now: w.Now}
	lost := w.Now()
	for i := range 40 { // for as long as the revocation is known
		if i == 20 { // the first replica loses the store, and all that is revoked then
			since := lost
			first.Staleness = func() (time.Time, bool) { return since, false }
		}
		if revoked, err := list.Revoked(t.Context(), &bearer.Claims{ID: jti}); err != nil || !revoked {
			t.Errorf("poll %d: %v, %v", i, revoked, err)
		}
		w.Advance(10 * time.Second)
	}
}

// either sends each request to the next of the replicas.
type either struct {
	w        *platformServer
	replicas []*http.Client
}

func (e either) RoundTrip(r *http.Request) (*http.Response, error) {
	i := e.w.Now().Unix() / 10 % 2
	return e.replicas[i].Transport.RoundTrip(r)
}
