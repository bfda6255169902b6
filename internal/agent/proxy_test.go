package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestHeaders: the token replaces what the program sent, and hop-by-hop headers are not forwarded.
func TestHeaders(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=b")
		w.Header().Set(errorHeader, "made-up")
		w.Header().Set("X-Kept", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "short and stout")
	})
	r := simple(t, p, a)
	resp := r.do(t, "POST", "/api/cards/%2F1?a=1;b=%zz&c", strings.NewReader("body"),
		"Authorization", "Basic c3RvbGVu", "Proxy-Authorization", "Basic eA==", "Cookie", "session=1",
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Port", "1", "X-Forwarded-Made-Up", "1", "Forwarded", "for=1", "X-Real-Ip", "1",
		"X-HTTP-Method-Override", "DELETE", "X-HTTP-Method", "DELETE", "X_HTTP_Method_Override", "DELETE", "X-Method-Override", "DELETE",
		"X-Original-URL", "/admin", "X-Rewrite-URL", "/admin", "X-Original-Host", "other", "X_Forwarded_For", "10.0.0.1", "X-Host", "other",
		"Connection", "X-Gone, Authorization, Upgrade", "Upgrade", "websocket", "X-Gone", "1", "Te", "trailers", "Expect", "100-continue",
		"X-Kept", "1", "User-Agent", "program/1")
	wantStatus(t, resp, http.StatusTeapot, "")
	if got := text(t, resp); got != "short and stout" || resp.Header.Get("X-Kept") != "yes" || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("answer %q with %v", got, resp.Header)
	}
	got := a.only(t)
	if got.method != "POST" || got.uri != "/cards/%2F1?a=1;b=%zz&c" || got.body != "body" || "http://"+got.host != a.URL {
		t.Errorf("arrived: %+v", got)
	}
	want := http.Header{"Authorization": {"Bearer token-1"}, "X-Kept": {"1"}, "User-Agent": {"program/1"}, "Content-Length": {"4"}, "Te": {"trailers"}}
	got.header.Del("Accept-Encoding")
	if fmt.Sprint(got.header) != fmt.Sprint(want) {
		t.Errorf("headers:\n%v want\n%v", got.header, want)
	}
}

func TestPaths(t *testing.T) {
	p, a, other := newPlatform(t), newAPI(t, nil), newAPI(t, nil)
	r := start(t, folder(t), settings(p.URL, a.URL+"/v1/",
		fmt.Sprintf("[upstreams.deep]\npath = \"/api/deep/\"\nurl = %q\ntoken = \"bolt\"\nmethods = [\"GET\"]\n", other.URL)))
	for path, want := range map[string]string{"/api/x//y": "/v1/x//y", "/api/": "/v1/", "/api": "/v1", "/api/deeper": "/v1/deeper", "/api/a%20b": "/v1/a%20b",
		"/api/..a": "/v1/..a", "/api/%20": "/v1/%20", "/api/100%25": "/v1/100%25", "/api/a%252Fb": "/v1/a%252Fb", "/api/%e2%82%ac": "/v1/%e2%82%ac"} {
		wantStatus(t, r.do(t, "GET", path, nil), 200, "")
		seen := a.arrivals()
		if got := seen[len(seen)-1].uri; got != want {
			t.Errorf("%s arrived as %s, want %s", path, got, want)
		}
	}
	wantStatus(t, r.do(t, "GET", "/api/deep/x?y", nil), 200, "")
	if got := other.only(t).uri; got != "/x?y" {
		t.Errorf("arrived as %s", got)
	}
	before := len(a.arrivals())
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/", 404, "not_found"}, {"GET", "/apis", 404, "not_found"}, {"GET", "/%61pi/x", 404, "not_found"}, {"GET", "/-/else", 404, "not_found"},
		{"GET", "/api/../x", 400, "bad_path"}, {"GET", "/api/%2e%2e/x", 400, "bad_path"}, {"GET", "/api/a%2f..%2fb", 400, "bad_path"},
		{"GET", "/api/..;/x", 400, "bad_path"}, {"GET", "/api/a/%2e%2e%3Bv=1/x", 400, "bad_path"},
		{"GET", `/api/a%5C..%5Cb`, 400, "bad_path"}, {"GET", "/api/./x", 400, "bad_path"},
		{"GET", "/api/%252e%252e/x", 400, "bad_path"}, {"GET", "/api/a%252f..%252fb", 400, "bad_path"}, {"GET", "/api/%25zz/%25252e%25252e/x", 400, "bad_path"},
		{"GET", "/api/..%20/x", 400, "bad_path"}, {"GET", "/api/..%00/x", 400, "bad_path"}, {"GET", "/api/.%09./x", 400, "bad_path"}, {"GET", "/api/.../x", 400, "bad_path"},
		{"GET", "/api/%c0%ae%c0%ae/x", 400, "bad_path"}, {"GET", "/api/a%ff", 400, "bad_path"}, {"GET", "/api/%25u002e%25U002E/x", 400, "bad_path"},
		{"GET", "/api/%ef%bc%8e%ef%bc%8e/x", 400, "bad_path"}, {"GET", "/api/a%ef%bc%8f..%ef%bc%8fb", 400, "bad_path"},
		{"GET", "/api/%252525252541", 400, "bad_path"},
		{"GET", "/api/..%3fx", 400, "bad_path"}, {"GET", "/api/..%23x/y", 400, "bad_path"}, {"GET", "/api/..%00x/y", 400, "bad_path"}, {"GET", "/api/%00../y", 400, "bad_path"}, {"GET", "/api/..%253F", 400, "bad_path"},
		{"GET", "/api/%e2%80%a5/x", 400, "bad_path"}, {"GET", "/api/%ef%b9%92%ef%b9%92/x", 400, "bad_path"}, {"GET", "/api/%ef%b8%b0/x", 400, "bad_path"},
		{"GET", "/api/a%ef%b9%a8..%ef%b9%a8b", 400, "bad_path"}, {"GET", "/api/%ef%bc%852e%ef%bc%852e/x", 400, "bad_path"},
		{"GET", "/api/..%ef%bc%9bx/y", 400, "bad_path"}, {"GET", "/api/..%e2%80%83/x", 400, "bad_path"}, {"GET", "/api/..%c2%85/x", 400, "bad_path"},
		{"TRACE", "/api/x", 405, "method_not_allowed"}, {"POST", "/api/deep/x", 405, "method_not_allowed"}, {"POST", "/-/healthz", 405, "method_not_allowed"},
	} {
		wantStatus(t, r.do(t, c.method, c.path, nil), c.status, c.code)
	}
	if len(a.arrivals()) != before || len(other.arrivals()) != 1 {
		t.Error("a refused request arrived")
	}
}

// TestNotAForwardProxy: the agent forwards neither URLs nor CONNECT.
func TestNotAForwardProxy(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	r := simple(t, p, a)
	for _, request := range []string{"GET " + a.URL + "/api/x HTTP/1.1", "CONNECT " + strings.TrimPrefix(a.URL, "http://") + " HTTP/1.1"} {
		got := raw(t, r, request+"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "not_a_forward_proxy") {
			t.Errorf("%s:\n%s", request, got)
		}
	}
	if len(a.arrivals()) != 0 {
		t.Error("it arrived")
	}
}

// TestBrowsersAreRefused: a web page that reaches a TCP listener, under its own host name (DNS
// rebinding) or with a cross-site request, is refused.
func TestBrowsersAreRefused(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	r := simple(t, p, a)
	for _, host := range []string{"evil.example", "evil.example:7070", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:80", "0.0.0.0"} {
		for _, path := range []string{"/api/x", "/-/readyz"} {
			wantStatus(t, r.do(t, "GET", path, nil, "Host", host), http.StatusMisdirectedRequest, "wrong_host")
		}
	}
	wantStatus(t, r.do(t, "POST", "/api/x", nil, "Origin", "https://evil.example"), 403, "no_browsers")
	wantStatus(t, r.do(t, "POST", "/api/x", nil, "Origin", "null"), 403, "no_browsers")
	wantStatus(t, r.do(t, "GET", "/api/x", nil, "Sec-Fetch-Site", "cross-site"), 403, "no_browsers")
	if len(a.arrivals()) != 0 {
		t.Fatal("one arrived")
	}
	for _, host := range []string{"localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:7070", "[::1]", "[::1]:7070"} {
		wantStatus(t, r.do(t, "GET", "/api/x", nil, "Host", host), 200, "")
	}
}

// TestRenewal: the token is renewed in time; while the platform is down the old one is used; after
// its expiry the response says why there is none.
func TestRenewal(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	r := simple(t, p, a)
	for range 3 {
		wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")
	}
	if _, minted := p.counts(); minted != 1 {
		t.Fatalf("%d tokens were minted for three requests", minted)
	}
	r.clock.advance(11 * time.Minute)
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")

	p.refuseWith(func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	asked, _ := p.counts()
	r.clock.advance(9 * time.Minute) // renewal is due, and the token is still valid
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")
	eventually(t, "the agent asks", func() bool { now, _ := p.counts(); return now > asked })
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")
	seen := a.arrivals()
	if got := seen[len(seen)-1].header.Get("Authorization"); got != "Bearer token-2" {
		t.Errorf("the old token is not used any more: %s", got)
	}
	r.clock.advance(2 * time.Minute)
	resp := r.do(t, "GET", "/api/x", nil)
	wantStatus(t, resp, 503, "no_token")
	var refused struct{ Error, Reason string }
	if err := json.Unmarshal([]byte(text(t, resp)), &refused); err != nil || refused.Reason != "temporarily_unavailable" || resp.Header.Get("Retry-After") != "120" {
		t.Errorf("%+v, %v, Retry-After %s", refused, err, resp.Header.Get("Retry-After"))
	}
	if len(a.arrivals()) != len(seen) {
		t.Error("a request arrived without a token")
	}
	p.refuseWith(nil)
	r.clock.advance(3 * time.Minute)
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")
}

// TestNoToken: a response that is not a refusal of the platform is reported as such, and a secret
// that the platform repeats is neither returned nor logged.
func TestNoToken(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	p.refuse = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is not it"}`, secret)
	}
	r := simple(t, p, a)
	resp := r.do(t, "GET", "/api/x", nil)
	wantStatus(t, resp, 503, "no_token")
	if got := text(t, resp); !strings.Contains(got, `"reason":"invalid_client"`) || strings.Contains(got, secret) || resp.Header.Get("Retry-After") != "5" {
		t.Errorf("%s with %v", got, resp.Header)
	}
	if len(a.arrivals()) != 0 {
		t.Error("a request arrived without a token")
	}

	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	t.Cleanup(web.Close)
	resp = start(t, folder(t), settings(web.URL, a.URL)).do(t, "GET", "/api/x", nil)
	wantStatus(t, resp, 503, "no_token")
	if got := text(t, resp); !strings.Contains(got, `"reason":"no_answer"`) {
		t.Error(got)
	}
}

// picky responds 401 to every token but the one with that number.
func picky(number int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", number) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}
}

// TestRenewalOn401: after a 401 a request that can be sent again is sent once more with another
// token.
func TestRenewalOn401(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, picky(2))
	resp := simple(t, p, a).do(t, "POST", "/api/x", strings.NewReader("the body"))
	wantStatus(t, resp, 200, "")
	if got := text(t, resp); got != "the body" || len(a.arrivals()) != 2 {
		t.Errorf("%q after %d requests", got, len(a.arrivals()))
	}

	p, a = newPlatform(t), newAPI(t, picky(0))
	r := simple(t, p, a)
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 401, "")
	if len(a.arrivals()) != 2 {
		t.Errorf("%d requests arrived, want one and one more", len(a.arrivals()))
	}
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 401, "") // the token is not the cause
	if _, minted := p.counts(); len(a.arrivals()) != 3 || minted != 2 {
		t.Errorf("%d requests arrived, %d tokens were minted", len(a.arrivals()), minted)
	}
}

// TestStreamedBodies: a large body, or one of unknown length, is streamed and cannot be sent again,
// but the next request has another token.
func TestStreamedBodies(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"large":   func() io.Reader { return strings.NewReader(strings.Repeat("x", maxBuffered+1)) },
		"chunked": func() io.Reader { return io.MultiReader(strings.NewReader("x")) },
	} {
		p, a := newPlatform(t), newAPI(t, picky(2))
		r := simple(t, p, a)
		wantStatus(t, r.do(t, "POST", "/api/x", body()), 401, "")
		if len(a.arrivals()) != 1 {
			t.Errorf("%s: %d requests arrived", name, len(a.arrivals()))
		}
		wantStatus(t, r.do(t, "POST", "/api/x", body()), 200, "")
	}
}

// TestStreaming: both directions are streamed without buffering.
func TestStreaming(t *testing.T) {
	p := newPlatform(t)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		buf := make([]byte, 1)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(echo.Close)
	r := start(t, folder(t), settings(p.URL, echo.URL))
	in, out := io.Pipe()
	first := make(chan struct{})
	go func() {
		_, _ = out.Write([]byte("a"))
		<-first // it arrives before the request ends
		_, _ = out.Write([]byte("b"))
		out.Close()
	}()
	resp := r.do(t, "POST", "/api/x", in)
	buf := make([]byte, 1)
	if _, err := io.ReadFull(resp.Body, buf); err != nil || buf[0] != 'a' {
		t.Fatal(string(buf), err)
	}
	close(first)
	if got := text(t, resp); got != "b" {
		t.Errorf("the rest is %q", got)
	}
}

// TestRedirects: a redirect is returned to the program and not followed.
func TestRedirects(t *testing.T) {
	p, thief := newPlatform(t), newAPI(t, nil)
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/stolen", http.StatusTemporaryRedirect)
	})
	r := simple(t, p, a)
	resp := r.do(t, "POST", "/api/x", strings.NewReader("x"))
	if resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != thief.URL+"/stolen" {
		t.Errorf("%d to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	if a.only(t); len(thief.arrivals()) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestBounds(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	r := simple(t, p, a, "max_body = 10\n")
	wantStatus(t, r.do(t, "POST", "/api/x", strings.NewReader("0123456789")), 200, "")
	wantStatus(t, r.do(t, "POST", "/api/x", strings.NewReader("0123456789a")), 413, "request_too_large")
	wantStatus(t, r.do(t, "POST", "/api/x", io.MultiReader(strings.NewReader("0123456789a"))), 413, "request_too_large")
	if got := raw(t, r, "GET /api/x HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Error(got)
	}
}

func TestUpstreamDown(t *testing.T) {
	p := newPlatform(t)
	r := start(t, folder(t), settings(p.URL, "http://"+closedPort(t)))
	resp := r.do(t, "GET", "/api/x", nil)
	wantStatus(t, resp, 502, "upstream_unreachable")
	if got := text(t, resp); !strings.HasPrefix(got, `{"error":"upstream_unreachable",`) {
		t.Error(got)
	}
}

func TestTimeouts(t *testing.T) {
	p := newPlatform(t)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/begun" {
			_, _ = w.Write([]byte("a"))
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	r := start(t, folder(t), settings(p.URL, slow.URL, "answer_timeout = \"50ms\"\n"))
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 504, "upstream_timeout")

	r = start(t, folder(t), settings(p.URL, slow.URL, "total_timeout = \"100ms\"\n"))
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 504, "upstream_timeout")
	if _, err := io.ReadAll(r.do(t, "GET", "/api/begun", nil).Body); err == nil {
		t.Error("a truncated response looks complete")
	}
	// A body that is announced and never sent.
	got := raw(t, r, "POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nab")
	if !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "incomplete") {
		t.Error(got)
	}
}

// TestCallerGone: a caller that disconnects is not a failure of the upstream.
func TestCallerGone(t *testing.T) {
	p := newPlatform(t)
	arrived := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	r := start(t, folder(t), settings(p.URL, slow.URL))
	conn := dial(t, r)
	fmt.Fprint(conn, "GET /api/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-arrived
	conn.Close()
	eventually(t, "the log has it", func() bool { return strings.Contains(r.log.String(), "caller_gone") })
	if strings.Contains(r.log.String(), "no answer from the upstream") {
		t.Error("the upstream is blamed")
	}
}

func TestUpgradesEnd(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
			conn.Close()
		}
	})
	r := simple(t, p, a)
	wantStatus(t, r.do(t, "GET", "/api/x", nil, "Connection", "Upgrade", "Upgrade", "chat"), 502, "upstream_unreachable")
}

func TestStatus(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	r := simple(t, p, a, "[files.f]\npath = \"token\"\ntoken = \"bolt\"\n")
	resp := r.do(t, "GET", "/-/healthz", nil)
	if wantStatus(t, resp, 200, ""); text(t, resp) != "{\"status\":\"ok\"}\n" {
		t.Error("not ok")
	}
	eventually(t, "it is ready", func() bool { return r.do(t, "GET", "/-/readyz", nil).StatusCode == 200 })
	var got readiness
	if err := json.Unmarshal([]byte(text(t, r.do(t, "GET", "/-/readyz", nil))), &got); err != nil {
		t.Fatal(err)
	}
	want := r.clock.now().Add(10 * time.Minute).UTC().Truncate(time.Second)
	if !got.Ready || !got.Files["f"].Ready || !got.Tokens["bolt"].Expires.Equal(want) {
		t.Errorf("%+v", got)
	}
	p.refuseWith(func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) })
	r.clock.advance(11 * time.Minute)
	eventually(t, "it says why it is not ready", func() bool {
		resp := r.do(t, "GET", "/-/readyz", nil)
		return resp.StatusCode == 503 && strings.Contains(text(t, resp), `"reason":"unauthorized_client"`)
	})
}
