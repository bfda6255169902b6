package tokensource_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/oauth"
)

func TestWhatIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name     string
		status   int
		body     string
		code     oauth.Code
		requests int
	}{
		{"rate", 429, "", oauth.RateLimited, 4},
		{"overload", 503, `{"error":"temporarily_unavailable"}`, oauth.TemporarilyUnavailable, 4},
		{"overload that says it is us", 503, `{"error":"invalid_client"}`, oauth.TemporarilyUnavailable, 4},
		{"bad request", 400, `{"error":"invalid_request"}`, oauth.InvalidRequest, 1},
		{"bad request under the words of overload", 400, `{"error":"temporarily_unavailable"}`, oauth.TemporarilyUnavailable, 1},
		{"bad grant", 400, `{"error":"invalid_grant","error_description":"no"}`, oauth.InvalidGrant, 1},
		{"bad client", 401, `{"error":"invalid_client"}`, oauth.InvalidClient, 1},
		{"a code of their own", 400, `{"error":"merchant_blocked"}`, "merchant_blocked", 1},
		{"a code that is no word", 400, `{"error":"two words"}`, oauth.InvalidRequest, 1},
		{"an error that is an object", 401, `{"error":{"code":1}}`, oauth.InvalidClient, 1},
		{"status 400", 400, "", oauth.InvalidRequest, 1},
		{"status 401", 401, "<html>", oauth.InvalidClient, 1},
		{"status 403", 403, "", oauth.UnauthorizedClient, 1},
		{"status 404", 404, "", oauth.NotFound, 1},
		{"status 405", 405, "", oauth.MethodNotAllowed, 1},
		{"status 413", 413, "", oauth.TooLarge, 1},
		{"status 415", 415, "", oauth.UnsupportedMediaType, 1},
		{"status 418", 418, "", oauth.InvalidRequest, 1},
		{"status 500", 500, "", oauth.ServerError, 1},
		{"status 502", 502, "", oauth.ServerError, 4},
		{"status 504", 504, "<html>", oauth.ServerError, 4},
		{"status 501", 501, "", oauth.ServerError, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := always(test.status, test.body)
				_, err := withSecret(e).Fetch(t.Context())
				var refused *oauth.Error
				if !errors.As(err, &refused) || refused.Code != test.code {
					t.Errorf("got %v", err)
				}
				if e.count() != test.requests {
					t.Errorf("%d requests", e.count())
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name           string
		headers        []string
		atLeast, below time.Duration
		requests       int
	}{
		{"none", nil, 800 * time.Millisecond, 2 * time.Second, 4},
		{"seconds", []string{"Retry-After", "5"}, 15 * time.Second, 17 * time.Second, 4},
		{"blanks", []string{"Retry-After", " 5 "}, 15 * time.Second, 17 * time.Second, 4},
		{"date by their clock", []string{"Date", "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT"}, 15 * time.Second, 17 * time.Second, 4},
		{"date by ours", []string{"Retry-After", "Sat, 01 Jan 2000 00:00:06 GMT"}, 6 * time.Second, 16 * time.Second, 4},
		{"date gone by", []string{"Retry-After", "Sun, 06 Nov 1994 08:49:42 GMT"}, 800 * time.Millisecond, 2 * time.Second, 4},
		{"too long", []string{"Retry-After", "31"}, 0, time.Millisecond, 1},
		{"far too long", []string{"Retry-After", "99999999999999999999"}, 0, time.Millisecond, 1},
		{"nonsense", []string{"Retry-After", "-5"}, 800 * time.Millisecond, 2 * time.Second, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := always(429, "", test.headers...)
				start := time.Now()
				if _, err := withSecret(e).Fetch(t.Context()); err == nil {
					t.Error("a token")
				}
				if took := time.Since(start); took < test.atLeast/2 || took > test.below || e.count() != test.requests {
					t.Errorf("%d requests in %s", e.count(), took)
				}
			})
		})
	}
}

func TestConnectionErrorsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(time.Hour)
		answer := e.answer
		e.answer = func(n int, req *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return nil, errors.New("connection reset")
			case 2: // hangs
				<-req.Context().Done()
				return nil, req.Context().Err()
			case 3: // breaks off
				resp := reply(200, "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"acc`), brokenReader{}))
				return resp, nil
			}
			return answer(n, req)
		}
		if token := mustToken(t, withSecret(e)); token.AccessToken != "token-4" {
			t.Errorf("got %s", token.AccessToken)
		}
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestFreshAssertionForEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := always(503, "", "Retry-After", "2")
		s := sourceFor(t, "thales-d1")
		s.HTTPClient = e.client()
		_, err := s.Fetch(t.Context())
		if err == nil {
			t.Fatal("a token")
		}
		seen := map[string]bool{}
		for _, body := range e.bodies {
			_, claims := readAssertion(t, body, s.Credential.Key.Public())
			seen[claims["jti"].(string)] = true
		}
		if len(seen) != 4 {
			t.Errorf("%d different jti in %d tries", len(seen), e.count())
		}
	})
}

func TestContextEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := always(429, "", "Retry-After", "20")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := withSecret(e).Fetch(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || oauth.AsError(err).Code != oauth.RateLimited {
			t.Errorf("got %v", err)
		}
		hanging := &endpoint{answer: func(_ int, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := withSecret(hanging).Fetch(ctx); !errors.Is(err, context.DeadlineExceeded) || hanging.count() != 1 {
			t.Errorf("got %v after %d", err, hanging.count())
		}
	})
}

func TestUnprovenServerIsNotAskedAgain(t *testing.T) {
	requests := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	server.Config.ErrorLog = discardLog()
	defer server.Close()
	s := withSecret(numbered(time.Hour))
	s.HTTPClient, s.Issuer = nil, server.URL
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "before that") {
		t.Error(err)
	}
	if requests != 0 {
		t.Error("the credential went to a server that is not proven")
	}
	unproven := &endpoint{answer: func(int, *http.Request) (*http.Response, error) {
		return nil, &tls.CertificateVerificationError{Err: errors.New("a stranger")}
	}}
	if _, err := withSecret(unproven).Fetch(t.Context()); err == nil || unproven.count() != 1 {
		t.Errorf("%v after %d tries", err, unproven.count())
	}
	s.HTTPClient = server.Client()
	if _, err := s.Fetch(t.Context()); err == nil || requests != 1 {
		t.Errorf("%v after %d requests", err, requests)
	}
}

func TestSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01T00:00:00Z
		date := "Sat, 01 Jan 2000 00:05:00 GMT"
		var log strings.Builder
		s := sourceFor(t, "thales-d1")
		s.Logger = textLogger(&log)
		s.HTTPClient = always(200, `{"access_token":"a"}`, "Date", date).client()
		token := mustToken(t, s)
		if token.Skew != 5*time.Minute {
			t.Errorf("skew %s", token.Skew)
		}
		for _, test := range []struct{ date, hint string }{
			{date, "our clock is 5m0s behind the server's"},
			{"Fri, 31 Dec 1999 23:55:00 GMT", "our clock is 5m0s ahead of the server's"},
			{"Sat, 01 Jan 2000 00:00:30 GMT", ""},
			{"", ""},
		} {
			s.HTTPClient = always(400, `{"error":"invalid_grant"}`, "Date", test.date).client()
			_, err := s.Fetch(t.Context())
			if hinted := strings.Contains(err.Error(), "our clock"); hinted != (test.hint != "") || !strings.Contains(err.Error(), test.hint) {
				t.Errorf("%s: %v", test.date, err)
			}
		}
		s.HTTPClient = always(400, `{"error":"invalid_scope"}`, "Date", date).client()
		if _, err := s.Fetch(t.Context()); strings.Contains(err.Error(), "our clock") {
			t.Errorf("a hint where the clock cannot matter: %v", err)
		}
		if n := strings.Count(log.String(), "clock differs"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}
