package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var limits = Limits{Bytes: 1 << 10, Time: time.Second}

func TestSecure(t *testing.T) {
	for text, want := range map[string]bool{
		"https://issuer.example":       true,
		"https://10.0.0.1/":            true,
		"http://localhost:8080/":       true,
		"http://LOCALHOST/":            true,
		"http://127.0.0.1/":            true,
		"http://127.8.9.10:80/":        true,
		"http://[::1]:8080/":           true,
		"http://[::ffff:127.0.0.1]/":   true,
		"http://issuer.example/":       false,
		"http://localhost.example/":    false,
		"http://127.0.0.1.example/":    false,
		"http://0.0.0.0/":              false,
		"http://[::]/":                 false,
		"http://127.1/":                false,
		"http://2130706433/":           false,
		"http://localhost@host.test/":  false,
		"https://user@issuer.example/": false,
		"https://u:p@issuer.example/":  false,
		"https://@issuer.example/":     false,
		"http://u:p@127.0.0.1/":        false,
		"https:///path":                false,
		"https:issuer.example":         false,
		"ftp://127.0.0.1/":             false,
		"file:///etc/passwd":           false,
		"//issuer.example/":            false,
		"issuer.example":               false,
		"":                             false,
		"unix://localhost/run/s.sock":  false,
		"httpss://issuer.example/path": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Secure(u); got != want {
			t.Errorf("Secure(%s) = %t", text, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "Localhost": true, "127.0.0.1": true, "127.255.255.255": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "128.0.0.1": false, "::2": false, "::ffff:10.0.0.1": false, "127.0.0.1:80": false, "[::1]": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("Loopback(%q) = %t", host, got)
		}
	}
}

// answers is a server without a network; it counts the requests.
type answers struct {
	requests int
	answer   func(*http.Request) (*http.Response, error)
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	a.requests++
	return a.answer(req)
}

func reply(status int, body io.Reader) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(body)}, nil
	}
}

func TestGet(t *testing.T) {
	const etag = "If-None-Match"
	for name, test := range map[string]struct {
		location string
		header   http.Header
		answer   func(*http.Request) (*http.Response, error)
		want     string // of the error; empty when there is none
		requests int
	}{
		"a document":       {"https://issuer.example/", nil, reply(200, strings.NewReader("ok")), "", 1},
		"the limit":        {"https://issuer.example/", nil, reply(200, strings.NewReader(strings.Repeat("a", 1<<10))), "", 1},
		"over the limit":   {"https://issuer.example/", nil, reply(200, strings.NewReader(strings.Repeat("a", 1<<10+1))), "more than 1 KiB", 1},
		"unchanged":        {"https://issuer.example/", http.Header{etag: {`"1"`}}, reply(304, http.NoBody), "", 1},
		"unasked 304":      {"https://issuer.example/", nil, reply(304, http.NoBody), "answered 304", 1},
		"a redirect":       {"https://issuer.example/", nil, reply(302, http.NoBody), "answered 302, a redirect, which is not followed", 1},
		"307":              {"https://issuer.example/", nil, reply(307, http.NoBody), "answered 307", 1},
		"an error":         {"https://issuer.example/", nil, reply(500, http.NoBody), "answered 500", 1},
		"another success":  {"https://issuer.example/", nil, reply(204, http.NoBody), "answered 204", 1},
		"plain http":       {"http://issuer.example/", nil, reply(200, http.NoBody), "must be an https URL", 0},
		"a file":           {"file:///etc/passwd", nil, reply(200, http.NoBody), "must be an https URL", 0},
		"no host":          {"https:///x", nil, reply(200, http.NoBody), "must be an https URL", 0},
		"no URL":           {"https://issuer.example/\x7f", nil, reply(200, http.NoBody), "invalid control character", 0},
		"a password":       {"http://me:secret@issuer.example/", nil, reply(200, http.NoBody), "me:xxxxx@", 0},
		"a body that ends": {"https://issuer.example/", nil, reply(200, io.MultiReader(strings.NewReader("o"), reader(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }))), "unexpected EOF", 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{answer: test.answer}
			got, err := Get(t.Context(), &http.Client{Transport: a}, test.location, test.header, limits)
			if test.want == "" && (err != nil || got == nil) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, %v; want error %q", got, err, test.want)
			}
			if a.requests != test.requests {
				t.Errorf("%d requests", a.requests)
			}
			if errors.Is(err, ErrTooLarge) != (name == "over the limit") {
				t.Errorf("too large: %v", err)
			}
		})
	}
}

// The client's own policy for redirects does not count, and stays as it was.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	follow := func(*http.Request, []*http.Request) error { return nil }
	client := &http.Client{CheckRedirect: follow}
	for _, c := range []*http.Client{nil, client} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/token", strings.NewReader("secret"))
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := Do(c, req, limits); err != nil || answer.Status != http.StatusTemporaryRedirect {
			t.Errorf("%v, %v", answer, err)
		}
	}
	if strings.Join(paths, " ") != "/token /token" {
		t.Errorf("asked for %q", paths)
	}
	if client.CheckRedirect == nil || client.CheckRedirect(nil, nil) != nil {
		t.Error("the caller's client was changed")
	}
}

// The limit of time covers the body, and the caller's context still counts.
func TestTimeIsBounded(t *testing.T) {
	slowBody := func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(untilDone(req.Context()))}, nil
	}
	hangs := func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	for name, answer := range map[string]func(*http.Request) (*http.Response, error){"header": hangs, "body": slowBody} {
		for _, caller := range []time.Duration{time.Hour, time.Second / 2} {
			t.Run(name+" "+caller.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), caller)
					defer cancel()
					start := time.Now()
					_, err := Get(ctx, &http.Client{Transport: &answers{answer: answer}}, "https://issuer.example/", nil, limits)
					if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != min(caller, limits.Time) {
						t.Errorf("%v after %s", err, took)
					}
				})
			})
		}
	}
}

func untilDone(ctx context.Context) reader {
	return func([]byte) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
