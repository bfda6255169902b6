package bearer_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/deadline/deadlinetest"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// TestCachedTokenEndsByEitherClock: a verified token in the cache has ended once the wall clock or the
// monotonic one says so.
func TestCachedTokenEndsByEitherClock(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	start := time.Now()
	token := m.token(t, map[string]any{"iat": start.Unix(), "exp": start.Add(10 * time.Minute).Unix()})
	for name, test := range map[string]struct {
		now   time.Time
		ended bool
	}{
		"9 min later":                        {start.Add(9 * time.Minute), false},
		"10 min later":                       {start.Add(10 * time.Minute), true},
		"suspended for 2 h":                  {deadlinetest.Suspend(start, 2*time.Hour), true},
		"11 min later, clock set back by 1h": {deadlinetest.Suspend(start.Add(11*time.Minute), -time.Hour), true},
		"clock set back, 1 min later":        {deadlinetest.Suspend(start.Add(time.Minute), -time.Minute), false},
	} {
		now := start
		v := m.verifier(t)
		v.CacheSize, v.Now = 10, func() time.Time { return now }
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		now = test.now
		_, err := v.Verify(t.Context(), token)
		if (err != nil) != test.ended || err != nil && oauth.AsError(err).Description != "the access token has expired" {
			t.Errorf("%s: %v, want ended: %t", name, err, test.ended)
		}
	}
}

// TestRevocationListAgesByEitherClock: after a suspend a list is as old as the wall clock says, and a
// clock that is set back makes none younger, nor longer valid than its exp.
func TestRevocationListAgesByEitherClock(t *testing.T) {
	start := time.Now()
	for name, test := range map[string]struct {
		now     time.Time
		life    time.Duration // of the list
		down    bool
		code    oauth.Code
		fetches int
	}{
		"1 s later":                              {start.Add(time.Second), time.Hour, true, "", 1},
		"suspended past the interval":            {deadlinetest.Suspend(start, 20*time.Second), time.Hour, false, "", 2},
		"suspended past MaxStale":                {deadlinetest.Suspend(start, 6*time.Minute), time.Hour, true, oauth.TemporarilyUnavailable, 2},
		"MaxStale later, clock set back":         {deadlinetest.Suspend(start.Add(6*time.Minute), -5*time.Minute-59*time.Second), time.Hour, true, oauth.TemporarilyUnavailable, 2},
		"exp later, clock set back":              {deadlinetest.Suspend(start.Add(3*time.Minute), -2*time.Minute-59*time.Second), 2 * time.Minute, true, oauth.TemporarilyUnavailable, 2},
		"exp later, clock set back, issuer well": {deadlinetest.Suspend(start.Add(3*time.Minute), -2*time.Minute-59*time.Second), 2 * time.Minute, false, "", 2},
	} {
		t.Run(name, func(t *testing.T) {
			now := start
			r := newRevoker(t, map[string]any{"iat": start.Unix(), "exp": start.Add(test.life).Unix()})
			v, list := r.verifier(t)
			v.Now = func() time.Time { return now }
			list.Now = v.Now
			token := r.mint.token(t, map[string]any{"iat": start.Unix(), "exp": start.Add(time.Hour).Unix()})
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			now, r.down = test.now, test.down
			_, err := v.Verify(t.Context(), token)
			if got := oauth.AsError(err); (err != nil) != (test.code != "") || err != nil && got.Code != test.code {
				t.Errorf("%v, want %q", err, test.code)
			}
			if got := r.count(); got != test.fetches {
				t.Errorf("%d fetches, want %d", got, test.fetches)
			}
		})
	}
}

// TestMisconfigurationIsTold: a Verifier that lacks a required field answers 500 to every request, also
// to one that would be refused with a good Verifier.
func TestMisconfigurationIsTold(t *testing.T) {
	for name, v := range map[string]func() *bearer.Verifier{
		"no Issuer":   func() *bearer.Verifier { return &bearer.Verifier{AnyAudience: true} },
		"no Audience": func() *bearer.Verifier { return &bearer.Verifier{Issuer: issuer} },
	} {
		for _, authorization := range [][]string{nil, {""}, {"Bearer"}, {"Bearer x"}, {"Basic YTpi"}, {"Bearer a", "Bearer b"}} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = authorization
			w := httptest.NewRecorder()
			v().Require()(http.NotFoundHandler()).ServeHTTP(w, r)
			if w.Code != http.StatusInternalServerError || w.Header().Get("WWW-Authenticate") != "" {
				t.Errorf("%s, %q: %d %v", name, authorization, w.Code, w.Header())
			}
			if _, err := v().VerifyRequest(r); oauth.AsError(err).Code != oauth.ServerError {
				t.Errorf("%s, %q: %v", name, authorization, err)
			}
		}
	}
}
