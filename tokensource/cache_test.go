package tokensource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/deadline/deadlinetest"
	"moneyer/oauth"
	"moneyer/tokensource"
)

func TestThousandCallersOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(10 * time.Minute)
		answer := e.answer
		e.answer = func(n int, req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return answer(n, req)
		}
		s := withSecret(e)
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(func() {
				if token := mustToken(t, s); token.AccessToken != "token-1" {
					t.Errorf("got %q", token.AccessToken)
				}
			})
		}
		callers.Wait()
		if e.count() != 1 {
			t.Errorf("%d exchanges", e.count())
		}
	})
}

// A token that ended while the machine was suspended is not handed out, nor one whose life a wall clock
// that was set back would lengthen.
func TestTokenEndsByEitherClock(t *testing.T) {
	start := time.Now()
	for name, now := range map[string]time.Time{
		"suspended for 2 h":            deadlinetest.Suspend(start, 2*time.Hour),
		"11 min later, clock set back": deadlinetest.Suspend(start.Add(11*time.Minute), -time.Hour),
	} {
		for _, answer := range []string{
			`{"access_token": "token-%d", "token_type": "Bearer", "expires_in": 600}`,
			`{"access_token": "token-%d", "token_type": "Bearer", "expires_at": ` + strconv.FormatInt(start.Unix()+600, 10) + `}`,
		} {
			e := &endpoint{answer: func(n int, _ *http.Request) (*http.Response, error) {
				if n > 1 {
					return reply(http.StatusOK, `{"access_token": "token-2", "token_type": "Bearer", "expires_in": 600}`), nil
				}
				return reply(http.StatusOK, fmt.Sprintf(answer, n)), nil
			}}
			s := withSecret(e)
			clock := start
			s.Now = func() time.Time { return clock }
			mustToken(t, s)
			clock = now
			if token := mustToken(t, s); token.AccessToken != "token-2" {
				t.Errorf("%s: got %q, which ended, from %s", name, token.AccessToken, answer)
			}
		}
	}
}

func TestRenewalInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 1000 * time.Second
		e := numbered(life)
		s := withSecret(e)
		mustToken(t, s)
		time.Sleep(life*70/100 - time.Second)
		mustToken(t, s)
		synctest.Wait()
		if e.count() != 1 {
			t.Fatal("renewed before 70 % of its life")
		}
		time.Sleep(life*15/100 + time.Second)
		if token := mustToken(t, s); token.AccessToken != "token-1" {
			t.Errorf("a caller waited for %q", token.AccessToken)
		}
		synctest.Wait()
		if token := mustToken(t, s); token.AccessToken != "token-2" || e.count() != 2 {
			t.Errorf("%q after %d exchanges", token.AccessToken, e.count())
		}
	})
}

func TestRenewalIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(1000 * time.Second)
		sources := make([]*tokensource.Source, 200)
		for i := range sources {
			sources[i] = withSecret(e)
			mustToken(t, sources[i])
		}
		time.Sleep(775 * time.Second) // half of 70 to 85 %
		for _, s := range sources {
			mustToken(t, s)
		}
		synctest.Wait()
		if renewed := e.count() - len(sources); renewed < 50 || renewed > 150 {
			t.Errorf("%d of 200 renewed", renewed)
		}
	})
}

func TestOldTokenServesWhileTheEndpointIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		e := numbered(1000 * time.Second)
		answer := e.answer
		e.answer = func(n int, req *http.Request) (*http.Response, error) {
			if n > 1 {
				return nil, down
			}
			return answer(n, req)
		}
		s := withSecret(e)
		start := time.Now()
		for time.Since(start) < 990*time.Second {
			if token := mustToken(t, s); time.Until(token.Expiry) <= 10*time.Second {
				t.Fatal("handed out with less than 10 s left")
			}
			time.Sleep(time.Second)
		}
		if n := e.count(); n < 5 || n > 150 {
			t.Errorf("%d tries in the last 300 s", n)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, down) {
			t.Errorf("with less than 10 s left: %v", err)
		}
	})
}

func TestShortLivedTokenIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(5 * time.Second)
		s := withSecret(e)
		mustToken(t, s)
		time.Sleep(4499 * time.Millisecond)
		if mustToken(t, s); e.count() != 1 {
			t.Error("more than a tenth was left")
		}
		synctest.Wait()
		time.Sleep(10 * time.Second)
		if mustToken(t, s).AccessToken != "token-3" {
			t.Error("an old token")
		}
	})
}

func TestCallerLeavesAndTheExchangeGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(time.Hour)
		answer := e.answer
		e.answer = func(n int, req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(5 * time.Second):
				return answer(n, req)
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}
		s := withSecret(e)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if mustToken(t, s); e.count() != 1 {
			t.Errorf("%d exchanges", e.count())
		}
	})
}

func TestFailureAnswersForASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := always(401, `{"error":"invalid_client"}`)
		s := withSecret(e)
		for range 100 {
			if _, err := s.Token(t.Context()); oauth.AsError(err).Code != oauth.InvalidClient {
				t.Fatal(err)
			}
		}
		if e.count() != 1 {
			t.Errorf("%d requests within one second", e.count())
		}
		time.Sleep(1200 * time.Millisecond)
		if _, err := s.Token(t.Context()); err == nil || e.count() != 2 {
			t.Errorf("%v after %d requests", err, e.count())
		}
	})
}

func TestRetryAfterHoldsForAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := always(503, "", "Retry-After", "86400")
		s := withSecret(e)
		for range 59 {
			if _, err := s.Token(t.Context()); oauth.AsError(err).RetryAfter != 24*time.Hour {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if e.count() != 1 {
			t.Errorf("%d requests", e.count())
		}
		time.Sleep(8 * time.Second)
		if _, err := s.Token(t.Context()); err == nil || e.count() != 2 {
			t.Errorf("%v after %d requests", err, e.count())
		}
	})
}

func TestEachRequestHasItsToken(t *testing.T) {
	e := always(200, "")
	e.answer = func(n int, _ *http.Request) (*http.Response, error) {
		return reply(200, fmt.Sprintf(`{"accessToken":"token-%d"}`, n)), nil
	}
	s := sourceFor(t, "thales-etp")
	s.HTTPClient = e.client()
	requests := []tokensource.Request{
		{},
		{Params: url.Values{"merchantId": {"m2"}}},
		{Params: url.Values{"tokens": {"t1"}}},
		{Params: url.Values{"merchantId": {"m2"}, "tokens": {"t2", "t1"}}},
	}
	for range 2 {
		for i, r := range requests {
			token, err := s.TokenFor(t.Context(), r)
			if want := fmt.Sprintf("token-%d", i+1); err != nil || token.AccessToken != want {
				t.Errorf("request %d: %q, %v", i, token.AccessToken, err)
			}
		}
	}
	if s.Params.Get("merchantId") != "demo-merchant" {
		t.Error("the Source was changed")
	}
	same := tokensource.Request{Scope: s.Scope, Params: s.Params, Correlation: "other"}
	if token, err := s.TokenFor(t.Context(), same); err != nil || token.AccessToken != "token-1" {
		t.Errorf("the same by other words: %v, %v", token, err)
	}
}

func TestKeysOfTheCacheAreDistinct(t *testing.T) {
	e := numbered(time.Hour)
	s := sourceFor(t, "thales-d1")
	s.HTTPClient = e.client()
	for i, r := range []tokensource.Request{{}, {Subject: "a"}, {Audience: "a"}, {Subject: "a", Audience: "a"}, {Subject: "a&aud=a"}} {
		token, err := s.TokenFor(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("token-%d", i+1); token.AccessToken != want {
			t.Errorf("%+v got %s", r, token.AccessToken)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(time.Hour)
		s := withSecret(e)
		s.CacheSize = 2
		get := func(word string) string {
			time.Sleep(time.Millisecond)
			token, err := s.TokenFor(t.Context(), tokensource.Request{Scope: oauth.Scope{word}})
			if err != nil {
				t.Fatal(err)
			}
			return token.AccessToken
		}
		get("a")
		get("b")
		get("a")
		get("c") // b goes
		if got := get("a"); got != "token-1" {
			t.Errorf("a is %s", got)
		}
		if got := get("b"); got != "token-4" {
			t.Errorf("b is %s", got)
		}
	})
}

// What is being fetched is not evicted: its callers would start another exchange.
func TestCacheKeepsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(time.Hour)
		answer := e.answer
		e.answer = func(n int, req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return answer(n, req)
		}
		s := withSecret(e)
		s.CacheSize = 1
		var callers sync.WaitGroup
		for _, word := range []string{"a", "b", "a", "b"} {
			callers.Go(func() {
				if _, err := s.TokenFor(t.Context(), tokensource.Request{Scope: oauth.Scope{word}}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		if e.count() != 2 {
			t.Errorf("%d exchanges for two requests", e.count())
		}
	})
}

func TestDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(time.Hour)
		s := withSecret(e)
		first := mustToken(t, s)
		if !s.Discard(first) {
			t.Fatal("not discarded")
		}
		if !s.Discard(first) {
			t.Error("another can be had")
		}
		second := mustToken(t, s)
		if second.AccessToken != "token-2" || !s.Discard(first) || mustToken(t, s) != second {
			t.Error("the second was thrown away for the first")
		}
		if s.Discard(second) {
			t.Error("twice within a second")
		}
		time.Sleep(time.Second)
		if !s.Discard(second) || mustToken(t, s).AccessToken != "token-3" {
			t.Error("not after a second")
		}
		loose, err := s.Fetch(t.Context())
		if err != nil || s.Discard(loose) {
			t.Error("discarded what was not kept")
		}
	})
}

// An API that refuses every token does not cost the platform a token for each
// call; one that takes them again is taken at its word.
func TestDiscardPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := numbered(24 * time.Hour)
		s := withSecret(e)
		discards := func(span time.Duration) (pauses []time.Duration) {
			last := time.Now()
			for end := last.Add(span); time.Now().Before(end); time.Sleep(70 * time.Millisecond) {
				if s.Discard(mustToken(t, s)) {
					pauses = append(pauses, time.Since(last).Round(time.Second))
					last = time.Now()
				}
			}
			return pauses
		}
		const second = time.Second
		want := []time.Duration{0, second, 2 * second, 4 * second, 8 * second, 16 * second, 32 * second, time.Minute, time.Minute}
		if got := discards(200 * second); !slices.Equal(got, want) {
			t.Errorf("discarded after %v, want %v", got, want)
		}
		time.Sleep(2*time.Minute + second)
		if got := discards(2 * second); !slices.Equal(got, want[:2]) {
			t.Errorf("discarded after %v, when a token had served for two minutes", got)
		}
	})
}

// A discarded token does not come back when the endpoint is down.
func TestDiscardedTokenIsGone(t *testing.T) {
	e := numbered(time.Hour)
	answer := e.answer
	e.answer = func(n int, req *http.Request) (*http.Response, error) {
		if n > 1 {
			return reply(400, `{"error":"invalid_scope"}`), nil
		}
		return answer(n, req)
	}
	s := withSecret(e)
	s.Discard(mustToken(t, s))
	if _, err := s.Token(t.Context()); oauth.AsError(err).Code != oauth.InvalidScope {
		t.Error(err)
	}
}

func TestOwnClock(t *testing.T) {
	now := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	e := numbered(10 * time.Minute)
	s := withSecret(e)
	s.Now = func() time.Time { return now }
	if token := mustToken(t, s); !token.Expiry.Equal(now.Add(10 * time.Minute)) {
		t.Errorf("expiry %s", token.Expiry)
	}
	now = now.Add(9*time.Minute + 51*time.Second)
	if token := mustToken(t, s); token.AccessToken != "token-2" {
		t.Errorf("got %s", token.AccessToken)
	}
}
