package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

// publisher is an issuer without a network.
type publisher struct {
	answer func(req *http.Request) (*http.Response, error)

	mu    sync.Mutex
	asked []string
}

func (p *publisher) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked = append(p.asked, req.URL.String())
	p.mu.Unlock()
	return p.answer(req)
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

func reply(status int, body string, headers ...string) *http.Response {
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(headers); i += 2 {
		resp.Header.Add(headers[i], headers[i+1])
	}
	return resp
}

// publishes returns an issuer that shows what body and headers say at the time.
func publishes(body func() string, headers ...string) *publisher {
	return &publisher{answer: func(*http.Request) (*http.Response, error) { return reply(200, body(), headers...), nil }}
}

func (p *publisher) keys() *bearer.RemoteKeys {
	return &bearer.RemoteKeys{URL: issuer + "/jwks", HTTPClient: &http.Client{Transport: p}}
}

func TestThousandCallersOneFetch(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		p := publishes(func() string { time.Sleep(time.Second); return jwks(m) })
		keys := p.keys()
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				if key, err := keys.Key(t.Context(), "k1"); err != nil || key.Alg() != "ES256" {
					t.Errorf("%v, %v", key.Alg(), err)
				}
			})
		}
		callers.Wait()
		if p.count() != 1 {
			t.Errorf("%d fetches", p.count())
		}
	})
}

func TestKeysAreFreshForTheirMaxAge(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for header, fresh := range map[string]time.Duration{
		"":                                 10 * time.Minute,
		"public, max-age=300":              5 * time.Minute,
		"max-age=\"300\"":                  5 * time.Minute,
		"Max-Age=1":                        time.Minute,
		"max-age=0":                        time.Minute,
		"no-cache, max-age=300":            time.Minute,
		"no-store":                         time.Minute,
		"max-age=86400":                    time.Hour,
		"max-age=99999999999999":           10 * time.Minute,
		"max-age=-1, stale-if-error=86400": 10 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := publishes(func() string { return jwks(m) }, "Cache-Control", header)
			keys := p.keys()
			ask := func() {
				if _, err := keys.Key(t.Context(), "k1"); err != nil {
					t.Error(err)
				}
			}
			ask()
			time.Sleep(fresh - time.Millisecond)
			if ask(); p.count() != 1 {
				t.Errorf("%q: fetched early", header)
			}
			time.Sleep(time.Millisecond)
			if ask(); p.count() != 2 {
				t.Errorf("%q: not fetched after %s", header, fresh)
			}
		})
	}
}

func TestUnknownKidIsLookedForOnceAMinute(t *testing.T) {
	first, second := newMint(t, jose.ES256, "k1", "at+jwt"), newMint(t, jose.EdDSA, "k2", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		set := jwks(first)
		p := publishes(func() string { return set })
		keys := p.keys()
		ask := func(kid string, ok bool, fetches int) {
			t.Helper()
			_, err := keys.Key(t.Context(), kid)
			if ok != (err == nil) || err != nil && !errors.Is(err, bearer.ErrUnknownKey) || p.count() != fetches {
				t.Errorf("%s: %v after %d fetches", kid, err, p.count())
			}
		}
		ask("k1", true, 1)
		set = jwks(first, second)
		for range 100 {
			ask("k2", false, 1)
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		ask("k2", true, 2)
		ask("", false, 2) // which of two?
		set = jwks(second)
		time.Sleep(time.Minute)
		ask("k3", false, 3)
		ask("k1", false, 3) // no longer published
		ask("", true, 3)    // the only one
	})
}

func TestStaleKeysServeForADay(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		down := false
		p := publishes(func() string { return jwks(m) })
		up := p.answer
		p.answer = func(req *http.Request) (*http.Response, error) {
			if down {
				time.Sleep(2 * time.Second)
				return nil, errors.New("connection refused")
			}
			return up(req)
		}
		v := m.verifier(t)
		v.Now, v.Keys = nil, p.keys()
		check := func() error {
			_, err := v.Verify(t.Context(), m.token(t, map[string]any{"exp": time.Now().Add(time.Minute).Unix()}))
			return err
		}
		if err := check(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		down = true
		for time.Since(start) < 24*time.Hour-time.Minute {
			before := time.Now()
			if err := check(); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(before); waited > 0 && p.count() > 2 {
				t.Fatalf("a call waited %s for an issuer that is known to be down", waited)
			}
			time.Sleep(10 * time.Second)
		}
		if n := p.count(); n < 24*60/2 || n > 24*60+10 {
			t.Errorf("asked %d times in a day", n)
		}
		time.Sleep(2 * time.Minute)
		if err := check(); err == nil || !strings.Contains(err.Error(), "temporarily_unavailable") {
			t.Errorf("after a day: %v", err)
		}
		down = false
		time.Sleep(2 * time.Minute)
		if err := check(); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
}

func TestMaxStaleBelowFresh(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		p := publishes(func() string { return jwks(m) })
		keys := p.keys()
		keys.MaxStale = 30 * time.Second
		for range 3 {
			if _, err := keys.Key(t.Context(), "k1"); err != nil {
				t.Error(err)
			}
			time.Sleep(31 * time.Second)
		}
		if p.count() != 3 {
			t.Errorf("%d fetches", p.count())
		}
	})
}

// An API that starts before its issuer does not wait a minute for the keys, nor
// ask without pause.
func TestFirstFetchFails(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := publishes(func() string {
			if time.Since(start) < 5*time.Second {
				return "not yet"
			}
			return jwks(m)
		})
		keys := p.keys()
		for {
			_, err := keys.Key(t.Context(), "k1")
			if err == nil {
				break
			}
			if errors.Is(err, bearer.ErrUnknownKey) {
				t.Fatal("nobody knows, but the key is said to be unknown")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took > 8*time.Second || p.count() != 4 { // at 0, 1, 3, 7 s
			t.Errorf("%d fetches in %s", p.count(), took)
		}
	})
}

func TestCallerLeavesAndTheFetchGoesOn(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(5 * time.Second):
				return reply(200, jwks(m)), nil
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}}
		keys := p.keys()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := keys.Key(ctx, "k1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if _, err := keys.Key(t.Context(), "k1"); err != nil || p.count() != 1 {
			t.Errorf("%v after %d fetches", err, p.count())
		}
	})
}

func TestHangingIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}}
		start := time.Now()
		if _, err := p.keys().Key(t.Context(), "k1"); err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestDiscovery(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for _, name := range []string{"https://issuer.example", "https://issuer.example/", "https://issuer.example/tenant/a"} {
		p := &publisher{}
		p.answer = func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.Path, "/.well-known/") {
				return reply(200, fmt.Sprintf(`{"issuer":%q,"x":[1],"jwks_uri":"https://keys.example/set"}`, name)), nil
			}
			return reply(200, jwks(m)), nil
		}
		v := &bearer.Verifier{Issuer: name, Audience: []string{audience}, Now: atNoon}
		v.Keys = &bearer.RemoteKeys{Issuer: name, HTTPClient: &http.Client{Transport: p}}
		if _, err := v.Verify(t.Context(), m.token(t, map[string]any{"iss": name})); err != nil {
			t.Error(err)
		}
		want := "https://issuer.example/.well-known/oauth-authorization-server" + strings.TrimSuffix(strings.TrimPrefix(name, issuer), "/") + " https://keys.example/set"
		if got := strings.Join(p.asked, " "); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

// A Verifier without Keys finds them by its Issuer.
func TestKeysOfTheIssuerByDefault(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/jwks" {
			fmt.Fprint(w, jwks(m))
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/jwks")
	}))
	defer server.Close()
	v := &bearer.Verifier{Issuer: server.URL, Audience: []string{audience}, Now: atNoon}
	if _, err := v.Verify(t.Context(), m.token(t, map[string]any{"iss": server.URL})); err != nil {
		t.Error(err)
	}
}

func TestDocumentsThatAreRefused(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	set := jwks(m)
	private := strings.Replace(set, `"kid"`, `"d":"AQAB","kid"`, 1)
	for _, test := range []struct {
		name, metadata, set string
		status              int
		headers             []string
		want                string
	}{
		{"another issuer", `{"issuer":"https://evil.example","jwks_uri":"https://issuer.example/jwks"}`, set, 200, nil, "name the issuer"},
		{"no issuer", `{"jwks_uri":"https://issuer.example/jwks"}`, set, 200, nil, "name the issuer"},
		{"no jwks_uri", `{"issuer":"https://issuer.example"}`, set, 200, nil, "no jwks_uri"},
		{"jwks_uri twice", `{"issuer":"https://issuer.example","jwks_uri":"https://a.example","jwks_uri":"https://b.example"}`, set, 200, nil, "twice"},
		{"plain http", `{"issuer":"https://issuer.example","jwks_uri":"http://issuer.example/jwks"}`, set, 200, nil, "must be an https URL"},
		{"a file", `{"issuer":"https://issuer.example","jwks_uri":"file:///etc/passwd"}`, set, 200, nil, "must be an https URL"},
		{"no URL", `{"issuer":"https://issuer.example","jwks_uri":"%zz"}`, set, 200, nil, "invalid URL"},
		{"no JSON", "x", set, 200, nil, "want an object"},
		{"not found", "", "", 404, nil, "answered 404"},
		{"a redirect", "", "", 302, []string{"Location", "https://evil.example/"}, "answered 302"},
		{"a web page", "", "<html>", 200, []string{"Content-Type", "text/html"}, "web page"},
		{"a set without keys", "", `{"keys":[]}`, 200, nil, "no key to verify with"},
		{"a set of keys that are for nothing here", "", `{"keys":[{"kty":"EC","crv":"P-521"}]}`, 200, nil, "no key to verify with"},
		{"no set", "", `{}`, 200, nil, "without keys"},
		{"a private key", "", private, 200, nil, "private key"},
		{"too long", "", set + strings.Repeat(" ", 256<<10), 200, nil, "more than 256 KiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &publisher{answer: func(req *http.Request) (*http.Response, error) {
				if strings.HasPrefix(req.URL.Path, "/.well-known/") {
					return reply(200, test.metadata), nil
				}
				return reply(test.status, test.set, test.headers...), nil
			}}
			keys := p.keys()
			if test.metadata != "" {
				keys.URL, keys.Issuer = "", issuer
			}
			if _, err := keys.Key(t.Context(), "k1"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			for _, url := range p.asked {
				if !strings.HasPrefix(url, issuer+"/") {
					t.Errorf("asked %s", url)
				}
			}
		})
	}
	broken := &bearer.RemoteKeys{Issuer: "https://%zz"}
	if _, err := broken.Key(t.Context(), "k1"); err == nil {
		t.Error("an issuer that is no URL")
	}
	plain := &bearer.RemoteKeys{URL: "http://issuer.example/jwks"}
	if _, err := plain.Key(t.Context(), "k1"); err == nil || !strings.Contains(err.Error(), "https") {
		t.Error(err)
	}
}

func TestBrokenOffDocument(t *testing.T) {
	p := &publisher{answer: func(*http.Request) (*http.Response, error) {
		resp := reply(200, "")
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"keys"`), brokenReader{}))
		return resp, nil
	}}
	if _, err := p.keys().Key(t.Context(), "k1"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestParseKeys(t *testing.T) {
	a, b := newMint(t, jose.ES256, "", ""), newMint(t, jose.PS256, "k2", "")
	keys, err := bearer.ParseKeys([]byte(jwks(a, b)))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := keys.Key(t.Context(), a.signer.Public().Thumbprint()); err != nil || key.Alg() != "ES256" {
		t.Errorf("by thumbprint: %v, %v", key.Alg(), err)
	}
	if key, err := keys.Key(t.Context(), "k2"); err != nil || key.Alg() != "PS256" {
		t.Errorf("by kid: %v, %v", key.Alg(), err)
	}
	if (bearer.Key{}).Alg() != "" {
		t.Error("the zero Key has an algorithm")
	}
	if _, err := bearer.ParseKeys([]byte(jwks(newMint(t, jose.ES256, "k2", ""), b))); err == nil || !strings.Contains(err.Error(), `kid "k2" is for ES256 and for PS256`) {
		t.Errorf("one kid for two algorithms: %v", err)
	}
	for _, alg := range []string{"ES256", "HS256", "none", ""} {
		if _, err := bearer.NewKey(b.key.Public(), alg); err == nil {
			t.Errorf("an RSA key for %q", alg)
		}
	}
}

// While the last fetch failed nobody can tell whether the issuer has a key that is not at hand: the
// caller is not told that its token is invalid.
func TestUnknownKidInAnOutage(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	synctest.Test(t, func(t *testing.T) {
		p := publishes(func() string { return jwks(m) })
		keys := p.keys()
		if _, err := keys.Key(t.Context(), "k2"); !errors.Is(err, bearer.ErrUnknownKey) {
			t.Error(err)
		}
		p.answer = func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
		time.Sleep(time.Minute)
		if _, err := keys.Key(t.Context(), "k2"); err == nil || errors.Is(err, bearer.ErrUnknownKey) {
			t.Error(err)
		}
		if _, err := keys.Key(t.Context(), "k1"); err != nil {
			t.Error(err)
		}
	})
}
