package bearer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// fromNoon is a clock that shows noon now and goes on from there.
func fromNoon() func() time.Time {
	start := time.Now()
	return func() time.Time { return noon.Add(time.Since(start)) }
}

// list signs a revocation list that was made at noon for a day, but for the
// changes; nil takes a member away.
func (m *mint) list(t testing.TB, changes map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": issuer, "iat": noon.Unix(), "exp": noon.Add(24 * time.Hour).Unix(),
		"before": 0, "jti": []string{}, "kid": []string{}, "claim": []string{},
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return m.document(t, "revocations+jwt", string(payload))
}

func (m *mint) document(t testing.TB, typ, payload string) string {
	t.Helper()
	signed, err := m.signer.As(typ).SignDocument([]byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func revokes(jtis ...string) map[string]any { return map[string]any{"jti": jtis} }

// revoker is an issuer that publishes a revocation list.
type revoker struct {
	*publisher
	mint       *mint
	list, etag string
	takes      time.Duration // to answer
	age        string        // header Age of the answers
	down       bool
	conditions []string // If-None-Match of each request
}

func newRevoker(t testing.TB, changes map[string]any) *revoker {
	t.Helper()
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	r := &revoker{publisher: &publisher{}, mint: m, list: m.list(t, changes)}
	r.answer = func(req *http.Request) (*http.Response, error) {
		condition := req.Header.Get("If-None-Match")
		r.conditions = append(r.conditions, condition)
		select {
		case <-time.After(r.takes):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		switch {
		case r.down:
			return nil, errors.New("connection refused")
		case r.etag == "":
			return reply(200, r.list), nil
		case r.etag == condition:
			return reply(304, "", "Age", r.age), nil
		}
		return reply(200, r.list, "ETag", r.etag, "Age", r.age), nil
	}
	return r
}

// verifier asks the issuer for its list, by a clock that starts at noon.
func (r *revoker) verifier(t testing.TB) (*bearer.Verifier, *bearer.RevocationList) {
	t.Helper()
	v := r.mint.verifier(t)
	v.Now = fromNoon()
	list := &bearer.RevocationList{Issuer: issuer, Keys: v.Keys, HTTPClient: &http.Client{Transport: r}, Now: v.Now}
	v.Revocations = list
	return v, list
}

// calls is an API that gets one good token again and again.
type calls struct {
	t     *testing.T
	v     *bearer.Verifier
	token string
}

// want makes a call that must end with code, empty for a good token, after a wait.
func (c *calls) want(code oauth.Code, waits time.Duration) {
	c.t.Helper()
	start := time.Now()
	got, err := c.v.Verify(c.t.Context(), c.token)
	if waited := time.Since(start); waited != waits {
		c.t.Errorf("waited %s, want %s", waited, waits)
	}
	switch {
	case code == "" && err != nil:
		c.t.Errorf("refused: %v", err)
	case code != "" && (err == nil || got != nil || oauth.AsError(err).Code != code):
		c.t.Errorf("got %v, %v, want %s", got, err, code)
	}
}

// fetches waits for what goes on without a caller, and counts.
func (r *revoker) fetches(t *testing.T, want int) {
	t.Helper()
	synctest.Wait()
	if got := r.count(); got != want {
		t.Errorf("%d fetches, want %d", got, want)
	}
}

// A call waits for a list that is older than Interval; one that is older than
// half of that is asked for anew while calls go on.
func TestRevocationListIsPolled(t *testing.T) {
	for _, interval := range []time.Duration{0, 40 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRevoker(t, nil)
			r.takes = time.Second
			v, list := r.verifier(t)
			list.Interval = interval
			if interval == 0 {
				interval = 10 * time.Second
			}
			start := time.Now()
			at := func(d time.Duration) { time.Sleep(time.Until(start.Add(d))) }
			api := &calls{t, v, r.mint.token(t, nil)}

			api.want("", time.Second) // the first waits
			r.list = r.mint.list(t, revokes("id-1"))
			at(interval/2 - time.Millisecond)
			api.want("", 0)
			r.fetches(t, 1)
			at(interval / 2) // after it was asked for, not after it came
			api.want("", 0)
			r.fetches(t, 2)
			api.want("", 0) // while it is under way
			at(interval/2 + time.Second)
			synctest.Wait()
			api.want(oauth.InvalidToken, 0)
			r.fetches(t, 2)

			r.list = r.mint.list(t, nil)
			at(interval/2 + interval - time.Millisecond)
			api.want(oauth.InvalidToken, 0)
			time.Sleep(time.Second)
			r.fetches(t, 3)
			api.want("", 0)

			r.list = r.mint.list(t, revokes("id-1"))
			at(interval/2 + 2*interval - time.Millisecond)
			api.want(oauth.InvalidToken, time.Second) // at the interval it waits
			r.fetches(t, 4)
		})
	}
}

func TestRevocationListByETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, revokes("id-2"))
		r.etag = `"one"`
		v, list := r.verifier(t)
		list.MaxStale = 15 * time.Second
		good := &calls{t, v, r.mint.token(t, nil)}
		revoked := &calls{t, v, r.mint.token(t, map[string]any{"jti": "id-2"})}
		for range 5 { // 304 confirms: nothing is stale
			good.want("", 0)
			revoked.want(oauth.InvalidToken, 0)
			time.Sleep(10 * time.Second)
		}
		r.etag, r.list = `"two"`, r.mint.list(t, revokes("id-1"))
		good.want(oauth.InvalidToken, 0)
		revoked.want("", 0)
		time.Sleep(10 * time.Second)
		good.want(oauth.InvalidToken, 0)
		r.etag = "" // whoever answers now has none
		time.Sleep(10 * time.Second)
		good.want(oauth.InvalidToken, 0)
		time.Sleep(10 * time.Second)
		good.want(oauth.InvalidToken, 0)
		want := []string{"", `"one"`, `"one"`, `"one"`, `"one"`, `"one"`, `"two"`, `"two"`, ""}
		if !slices.Equal(r.conditions, want) {
			t.Errorf("If-None-Match %q, want %q", r.conditions, want)
		}
	})
}

// 304 to a request without condition confirms nothing.
func TestUnchangedFromNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.answer = func(*http.Request) (*http.Response, error) { return reply(304, ""), nil }
		v, _ := r.verifier(t)
		(&calls{t, v, r.mint.token(t, nil)}).want(oauth.TemporarilyUnavailable, 0)
	})
}

// An issuer whose ETag tells of what it revoked, and not of exp, says 304 until
// the list ends: it is asked without condition before that.
func TestRevocationListThatIsAboutToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		v, _ := r.verifier(t)
		sign := func() {
			r.list = r.mint.list(t, map[string]any{"iat": v.Now().Unix(), "exp": v.Now().Add(time.Minute).Unix()})
		}
		sign()
		r.etag = `"same"`
		api := &calls{t, v, r.mint.token(t, nil)}
		for range 300 {
			api.want("", 0)
			time.Sleep(time.Second)
			synctest.Wait()
			sign()
		}
		whole := slices.DeleteFunc(r.conditions, func(etag string) bool { return etag != "" })
		if n := r.count(); n != 60 || len(whole) != 6 {
			t.Errorf("asked %d times, %d times for the whole list", n, len(whole))
		}
	})
}

// At exp a list is asked for anew, however young it is.
func TestRevocationListEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, map[string]any{"exp": noon.Add(2 * time.Second).Unix()})
		v, _ := r.verifier(t)
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want("", 0)
		time.Sleep(2*time.Second - time.Millisecond)
		api.want("", 0)
		r.fetches(t, 1)
		time.Sleep(time.Millisecond)
		api.want(oauth.TemporarilyUnavailable, 0)
		r.fetches(t, 2)
		r.list = r.mint.list(t, nil)
		time.Sleep(time.Second)
		api.want("", 0)
		r.fetches(t, 3)
	})
}

// While the issuer is down the last list serves until MaxStale, and no token
// passes from then on; when the issuer is back, so are the tokens.
func TestIssuerOfRevocationsIsDown(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Hour} { // refused at once, or hanging
		for _, stale := range []time.Duration{0, time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				r := newRevoker(t, revokes("id-2"))
				v, list := r.verifier(t)
				list.MaxStale, v.CacheSize = stale, 10
				if stale == 0 {
					stale = 5 * time.Minute
				}
				start := time.Now()
				good := &calls{t, v, r.mint.token(t, nil)}
				revoked := &calls{t, v, r.mint.token(t, map[string]any{"jti": "id-2"})}
				good.want("", 0)
				r.down, r.takes = true, takes
				waited := time.Duration(0)
				for time.Since(start) < stale-time.Second {
					before := time.Now()
					if _, err := v.Verify(t.Context(), good.token); err != nil {
						t.Fatalf("after %s: %v", time.Since(start), err)
					}
					waited += time.Since(before)
					revoked.want(oauth.InvalidToken, 0)
					time.Sleep(250 * time.Millisecond)
				}
				if waited > 10*time.Second {
					t.Errorf("calls waited %s for an issuer that is known to be down", waited)
				}
				seconds := int(stale / time.Second)
				if n := r.count(); n > seconds || takes == 0 && n < seconds*8/10 {
					t.Errorf("asked %d times in %s", n, stale)
				}
				time.Sleep(time.Until(start.Add(stale)))
				for range 8 {
					_, err := v.Verify(t.Context(), good.token)
					if e := oauth.AsError(err); e.Code != oauth.TemporarilyUnavailable || e.RetryAfter != time.Second {
						t.Errorf("after MaxStale: %v, retry after %s", err, e.RetryAfter)
					}
					time.Sleep(250 * time.Millisecond)
				}
				r.down, r.takes = false, 0
				time.Sleep(15 * time.Second)
				good.want("", 0)
				revoked.want(oauth.InvalidToken, 0)
			})
		}
	}
}

// What an issuer says of its own age counts, whether the list is sent anew or not,
// and makes nobody poll more often.
func TestRevocationListOfAge(t *testing.T) {
	for age, lasts := range map[string]time.Duration{"": 5 * time.Minute, "x": 5 * time.Minute, "-9": 5 * time.Minute, "100": 200 * time.Second, "290": 10 * time.Second} {
		for _, etag := range []string{`"1"`, `W/"2"`} {
			synctest.Test(t, func(t *testing.T) {
				r := newRevoker(t, nil)
				r.etag, r.age = `"1"`, ""
				v, _ := r.verifier(t)
				api := &calls{t, v, r.mint.token(t, nil)}
				api.want("", 0)
				time.Sleep(10 * time.Second)
				r.age, r.etag = age, etag // unchanged, or sent anew
				api.want("", 0)
				api.want("", 0)
				r.fetches(t, 2)
				r.down = true
				confirmed := time.Now()
				time.Sleep(lasts - time.Millisecond)
				api.want("", 0)
				time.Sleep(time.Until(confirmed.Add(lasts)))
				api.want(oauth.TemporarilyUnavailable, 0)
			})
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.etag, r.age = `"1"`, "300" // older than MaxStale from the start
		v, _ := r.verifier(t)
		(&calls{t, v, r.mint.token(t, nil)}).want(oauth.TemporarilyUnavailable, 0)
	})
}

// An issuer that failed once, long ago, is waited for again.
func TestWaitsAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		v, _ := r.verifier(t)
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want("", 0)
		r.down = true
		time.Sleep(10 * time.Second)
		api.want("", 0)
		r.down, r.takes = false, time.Second
		r.list = r.mint.list(t, revokes("id-1"))
		time.Sleep(20 * time.Second)
		api.want(oauth.InvalidToken, time.Second)
		r.fetches(t, 3)
	})
}

// The first list is asked for once a second, not once a call, and not never.
func TestFirstRevocationListFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.down = true
		v, _ := r.verifier(t)
		api := &calls{t, v, r.mint.token(t, nil)}
		for range 50 {
			api.want(oauth.TemporarilyUnavailable, 0)
			time.Sleep(100 * time.Millisecond)
		}
		r.fetches(t, 5)
		r.down = false
		api.want("", 0)
		r.fetches(t, 6)
	})
}

// A MaxStale below the half of Interval makes polls more frequent, not tokens fail.
func TestMaxStaleBelowInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		v, list := r.verifier(t)
		list.MaxStale = 2 * time.Second
		api := &calls{t, v, r.mint.token(t, nil)}
		for range 10 {
			api.want("", 0)
			time.Sleep(time.Second)
		}
		r.fetches(t, 5)
		r.takes = 3 * time.Second // which is too old when it comes
		time.Sleep(time.Second)
		api.want(oauth.TemporarilyUnavailable, 3*time.Second)
		if _, err := list.Revoked(t.Context(), &bearer.Claims{}); err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("got %v", err)
		}
	})
}

// A list is never replaced by one that was made before it.
func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := func(seconds int64, jtis ...string) map[string]any {
			return map[string]any{"iat": noon.Unix() + seconds, "jti": append([]string{}, jtis...)}
		}
		r := newRevoker(t, made(0, "id-1"))
		v, list := r.verifier(t)
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want(oauth.InvalidToken, 0)
		r.list = r.mint.list(t, made(-1))
		time.Sleep(10 * time.Second)
		api.want(oauth.InvalidToken, 0)
		time.Sleep(5 * time.Minute)
		_, err := list.Revoked(t.Context(), &bearer.Claims{})
		if err == nil || !strings.Contains(err.Error(), "older than the one at hand") {
			t.Errorf("got %v", err)
		}
		r.list = r.mint.list(t, made(0))
		time.Sleep(time.Second)
		api.want("", 0) // two lists of one second
		r.list = r.mint.list(t, made(1, "id-1"))
		time.Sleep(10 * time.Second)
		api.want(oauth.InvalidToken, 0)
	})
}

// TestListOfTheFuture: an issuer whose clock leaps ahead for a minute locks nobody out, and
// what it publishes then makes no revoked token good.
func TestListOfTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(after time.Duration, jtis ...string) map[string]any {
			made := noon.Add(after)
			return map[string]any{"iat": made.Unix(), "exp": made.Add(24 * time.Hour).Unix(), "jti": append([]string{}, jtis...)}
		}
		r := newRevoker(t, at(0, "id-1"))
		v, list := r.verifier(t)
		good := &calls{t, v, r.mint.token(t, map[string]any{"jti": "id-2"})}
		revoked := &calls{t, v, r.mint.token(t, nil)}
		good.want("", 0)
		revoked.want(oauth.InvalidToken, 0)

		r.list = r.mint.list(t, at(365*24*time.Hour))
		time.Sleep(time.Minute)
		good.want("", 0)
		revoked.want(oauth.InvalidToken, 0)
		if _, err := list.Revoked(t.Context(), &bearer.Claims{}); err != nil {
			t.Error(err)
		}

		r.list = r.mint.list(t, at(2*time.Minute, "id-1", "id-2")) // in the past by then
		time.Sleep(2 * time.Minute)
		good.want(oauth.InvalidToken, 0)

		// clocks that differ within the leeway
		r.list = r.mint.list(t, at(4*time.Minute, "id-1"))
		time.Sleep(20 * time.Second)
		good.want("", 0)
		r.list = r.mint.list(t, at(4*time.Minute-time.Second, "id-1", "id-2"))
		time.Sleep(10 * time.Second)
		good.want("", 0) // older than the one at hand
	})
}

// TestBothClocksLeap: a list of a leap that the verifier's own clock took part in is replaced
// by the first one that is made afterwards.
func TestBothClocksLeap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const leap = 12 * time.Hour
		r := newRevoker(t, map[string]any{"iat": noon.Add(leap).Unix(), "exp": noon.Add(leap + 24*time.Hour).Unix()})
		v, list := r.verifier(t)
		right, off := list.Now, leap
		list.Now = func() time.Time { return right().Add(off) }
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want("", 0)
		off = 0
		r.list = r.mint.list(t, revokes("id-1"))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		api.want(oauth.InvalidToken, 0)
	})
}

func TestThousandCallersOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.takes = time.Second
		_, list := r.verifier(t)
		for round := range 3 {
			var callers sync.WaitGroup
			for i := range 1000 {
				callers.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond / 2)
					if revoked, err := list.Revoked(t.Context(), &bearer.Claims{}); revoked || err != nil {
						t.Errorf("%t, %v", revoked, err)
					}
				})
			}
			callers.Wait()
			r.fetches(t, round+1)
			time.Sleep(10 * time.Second)
		}
	})
}

func TestCallerLeavesAndTheListComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.takes = 5 * time.Second
		v, _ := r.verifier(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := v.Verify(ctx, r.mint.token(t, nil))
		if !errors.Is(err, context.DeadlineExceeded) || oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
			t.Error(err)
		}
		(&calls{t, v, r.mint.token(t, nil)}).want("", 4*time.Second)
		r.fetches(t, 1)
	})
}

func TestHangingIssuerOfRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		r.takes = time.Hour
		v, _ := r.verifier(t)
		(&calls{t, v, r.mint.token(t, nil)}).want(oauth.TemporarilyUnavailable, 10*time.Second)
	})
}

// What a token says is matched exactly, and only what it says.
func TestRevocationNames(t *testing.T) {
	minute := noon.Add(-time.Minute).Unix() // iat of the token
	claim := func(name, value string, before int64) map[string]any {
		return map[string]any{"claim": []map[string]any{
			{"claim": "other", "value": "x", "before": minute + 9},
			{"claim": name, "value": "another", "before": minute + 9},
			{"claim": name, "value": value, "before": before},
			{"claim": name, "value": value, "before": 1}, // the later holds
		}}
	}
	list := func(members ...any) map[string]any {
		all := map[string]any{}
		for i := 0; i < len(members); i += 2 {
			all[members[i].(string)] = members[i+1]
		}
		return all
	}
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	nameless := m.as(t, jose.ES256, "", "at+jwt")
	for _, test := range []struct {
		name    string
		list    map[string]any
		token   string
		revoked bool
	}{
		{"an empty list", nil, m.token(t, nil), false},
		{"a list of nothing", list("before", nil, "jti", nil, "kid", nil, "claim", nil), m.token(t, nil), false},
		{"jti", revokes("id-0", "id-1"), m.token(t, nil), true},
		{"another jti", revokes("ID-1", "id-", "id-11"), m.token(t, nil), false},
		{"jti that needs no spelling", list("jti", json.RawMessage(`["id\u002d1"]`)), m.token(t, nil), true},
		{"a jti is no kid", revokes("k1"), m.token(t, nil), false},
		{"kid", list("kid", []string{"k0", "k1"}), m.token(t, nil), true},
		{"another kid", list("kid", []string{"K1", "k11", "id-1"}), m.token(t, nil), false},
		{"no jti, and an empty one revoked", revokes(""), m.token(t, map[string]any{"jti": nil}), false},
		{"an empty jti, and an empty one revoked", revokes(""), m.token(t, map[string]any{"jti": ""}), false},
		{"no jti, and others revoked", revokes("id-1"), m.token(t, map[string]any{"jti": nil}), false},
		{"no kid, and an empty one revoked", list("kid", []string{""}), nameless.token(t, nil), false},
		{"no kid, and others revoked", list("kid", []string{"k1"}), nameless.token(t, nil), false},
		{"before", list("before", minute+1), m.token(t, nil), true},
		{"not before", list("before", minute), m.token(t, nil), false},
		{"no iat, before", list("before", 1), m.token(t, map[string]any{"iat": nil}), true},
		{"no iat, no before", nil, m.token(t, map[string]any{"iat": nil}), false},
		{"no iat, claim before", claim("sub", "client-1", 1), m.token(t, map[string]any{"iat": nil}), true},
		{"no iat, another claim", claim("sub", "client-2", minute), m.token(t, map[string]any{"iat": nil}), false},
		{"iat of 1970, before", list("before", 1), m.token(t, map[string]any{"iat": 0}), true},
		{"iat of 1970, no before", nil, m.token(t, map[string]any{"iat": 0}), false},
		{"claim", claim("client_id", "client-1", minute+1), m.token(t, nil), true},
		{"claim, not before", claim("client_id", "client-1", minute), m.token(t, nil), false},
		{"claim of another value", claim("client_id", "client-11", minute+1), m.token(t, nil), false},
		{"claim of another spelling", claim("client_ID", "client-1", minute+1), m.token(t, nil), false},
		{"claim that is not there", claim("azp", "client-1", minute+1), m.token(t, nil), false},
		{"aud is the client (boltpay)", claim("aud", "client-1", minute+1), m.token(t, map[string]any{"aud": "client-1"}), true},
		{"aud holds the client", claim("aud", "client-1", minute+1), m.token(t, map[string]any{"aud": []string{"a", "client-1", "b"}}), true},
		{"aud holds others", claim("aud", "client-1", minute+1), m.token(t, map[string]any{"aud": []string{"a", "b"}}), false},
		{"an array that holds more than strings", claim("roles", "admin", minute+1), m.token(t, map[string]any{"roles": []any{1, nil, "admin"}}), true},
		{"an array of arrays", claim("roles", "admin", minute+1), m.token(t, map[string]any{"roles": []any{[]string{"admin"}}}), false},
		{"a claim of another type", claim("level", "1", minute+1), m.token(t, map[string]any{"level": 1}), false},
		{"a claim within another", claim("role", "admin", minute+1), m.token(t, map[string]any{"x": map[string]any{"role": "admin"}}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &revoker{publisher: publishes(func() string { return m.list(t, test.list) }), mint: m}
			v, revocations := r.verifier(t)
			v.AnyAudience, v.Audience, v.Now, revocations.Now = true, nil, atNoon, atNoon
			_, err := v.Verify(t.Context(), test.token)
			if revoked := err != nil && oauth.AsError(err).Code == oauth.InvalidToken; revoked != test.revoked || err != nil && !revoked {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Claims that no Verifier made may lack what they say: then nobody can tell.
func TestRevokedOfClaimsWithoutPayload(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	claim := []map[string]any{{"claim": "aud", "value": "x", "before": 1}}
	r := &revoker{publisher: publishes(func() string { return m.list(t, map[string]any{"claim": claim}) }), mint: m}
	_, list := r.verifier(t)
	if revoked, err := list.Revoked(t.Context(), &bearer.Claims{Audience: []string{"x"}}); err == nil {
		t.Errorf("revoked: %t", revoked)
	}
}

// A token that was verified before, and is in the cache, is reached at once.
func TestRevocationReachesTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		v, _ := r.verifier(t)
		v.CacheSize = 100
		keys, lookups := v.Keys, 0
		v.Keys = bearer.KeyFunc(func(ctx context.Context, kid string) (bearer.Key, error) {
			lookups++
			return keys.Key(ctx, kid)
		})
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want("", 0)
		api.want("", 0)
		r.list = r.mint.list(t, revokes("id-1"))
		time.Sleep(10 * time.Second)
		api.want(oauth.InvalidToken, 0)
		if lookups != 1 {
			t.Errorf("verified %d times", lookups)
		}
	})
}

// A list that is signed by a new key makes RemoteKeys ask for it.
func TestRevocationListByANewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRevoker(t, nil)
		set, fresh := jwks(r.mint), newMint(t, jose.EdDSA, "k2", "at+jwt")
		lists := r.answer
		r.answer = func(req *http.Request) (*http.Response, error) {
			switch req.URL.Path {
			case "/revocations":
				return lists(req)
			case "/jwks":
				return reply(200, set), nil
			}
			return reply(200, fmt.Sprintf(`{"issuer":%q,"jwks_uri":"%[1]s/jwks"}`, issuer)), nil
		}
		v, list := r.verifier(t)
		list.Keys = nil // those of the issuer, by the list's own client
		api := &calls{t, v, r.mint.token(t, nil)}
		api.want("", 0)
		r.fetches(t, 3)
		time.Sleep(2 * time.Minute)
		set, r.list = jwks(r.mint, fresh), fresh.list(t, revokes("id-1"))
		api.want(oauth.InvalidToken, 0)
		r.fetches(t, 6)
		want := issuer + "/revocations " + issuer + "/.well-known/oauth-authorization-server " + issuer + "/jwks"
		if got := strings.Join(r.asked[:3], " "); got != want || strings.Join(r.asked[3:], " ") != want {
			t.Errorf("asked %s", r.asked)
		}
	})
}

func TestWhereTheListIs(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for _, test := range []struct{ issuer, url, want string }{
		{issuer, "", issuer + "/revocations"},
		{issuer + "/", "", issuer + "/revocations"},
		{issuer + "/tenant/a", "", issuer + "/tenant/a/revocations"},
		{issuer, "https://cdn.example/list", "https://cdn.example/list"},
	} {
		var accept string
		r := &revoker{publisher: &publisher{}, mint: m}
		r.answer = func(req *http.Request) (*http.Response, error) {
			accept = req.Header.Get("Accept")
			return reply(200, m.list(t, map[string]any{"iss": test.issuer})), nil
		}
		_, list := r.verifier(t)
		list.Issuer, list.URL = test.issuer, test.url
		if _, err := list.Revoked(t.Context(), &bearer.Claims{}); err != nil {
			t.Error(err)
		}
		if got := strings.Join(r.asked, " "); got != test.want || accept != "application/revocations+jwt" {
			t.Errorf("asked %s for %s", got, accept)
		}
	}
}

// badLists are lists that no API may believe.
func badLists(t *testing.T, m *mint) map[string]struct {
	answer func() *http.Response
	want   string
} {
	t.Helper()
	stranger, elsewhere := newMint(t, jose.ES256, "k1", "at+jwt"), newMint(t, jose.ES256, "k9", "at+jwt")
	good := m.list(t, nil)
	type bad = struct {
		answer func() *http.Response
		want   string
	}
	list := func(text, want string) bad {
		return bad{func() *http.Response { return reply(200, text) }, want}
	}
	with := func(name string, value any, want string) bad {
		return list(m.list(t, map[string]any{name: value}), want)
	}
	claim := func(members, want string) bad { return with("claim", json.RawMessage("["+members+"]"), want) }
	return map[string]bad{
		"at exp":                    with("exp", noon.Unix(), "has expired"),
		"long after exp":            with("exp", 1, "has expired"),
		"of the future":             with("iat", noon.Add(10*time.Minute).Unix(), "is in the future"),
		"no exp":                    with("exp", nil, "no iat or no exp"),
		"no iat":                    with("iat", nil, "no iat or no exp"),
		"exp as a string":           with("exp", "9999999999", "want an integer"),
		"another issuer":            with("iss", issuer+"/", "iss is"),
		"no issuer":                 with("iss", nil, "iss is"),
		"an access token":           list(m.token(t, nil), "typ is"),
		"an assertion":              list(m.as(t, jose.ES256, "k1", "JWT").token(t, nil), "typ is"),
		"a list under another typ":  list(m.document(t, "at+jwt", `{}`), "typ is"),
		"no typ":                    list(m.document(t, "", `{}`), "typ is"),
		"a stranger's signature":    list(stranger.list(t, nil), "signature does not verify"),
		"another payload":           list(swap(good, m.list(t, revokes("x"))), "signature does not verify"),
		"a key that is not there":   list(elsewhere.list(t, nil), "no such key"),
		"a member nobody knows":     with("client", []string{"x"}, `unknown member "client"`),
		"a member of another case":  with("JTI", []string{"x"}, `unknown member "JTI"`),
		"a member twice":            list(m.document(t, "revocations+jwt", `{"jti":["x"],"jti":[]}`), "twice"),
		"a jti that is none":        with("jti", []any{"a", 1}, "want a string"),
		"one jti":                   with("jti", "id-1", "want an array"),
		"no jtis at all":            with("jti", json.RawMessage("null"), "want an array"),
		"one kid":                   with("kid", "k1", "want an array"),
		"before 1970":               with("before", -1, "out of range"),
		"before in words":           with("before", "now", "want an integer"),
		"a claim that is none":      claim(`"sub"`, "want an object"),
		"one claim":                 with("claim", map[string]any{}, "want an array"),
		"a claim without name":      claim(`{"value":"x","before":1}`, "without name"),
		"a claim without value":     claim(`{"claim":"sub","before":1}`, "without name, value"),
		"a claim without instant":   claim(`{"claim":"sub","value":"x"}`, "value or instant"),
		"a claim with more to it":   claim(`{"claim":"sub","value":"x","before":1,"after":1}`, `unknown member "after"`),
		"a claim of another type":   claim(`{"claim":"sub","value":1,"before":1}`, "want a string"),
		"no JSON":                   list(m.document(t, "revocations+jwt", "x"), "want an object"),
		"no JWS":                    list(`{"jti":[]}`, "strict compact JWS"),
		"nothing":                   list("", "strict compact JWS"),
		"a line break":              list(good+"\n", "strict compact JWS"),
		"over 4 MiB":                list(good+strings.Repeat("A", jose.MaxDocument), "more than 4096 KiB"),
		"a web page":                {func() *http.Response { return reply(200, good, "Content-Type", "text/html") }, "web page"},
		"a redirect":                {func() *http.Response { return reply(302, good, "Location", "https://evil.example/") }, "answered 302"},
		"not found":                 {func() *http.Response { return reply(404, good) }, "answered 404"},
		"no content":                {func() *http.Response { return reply(204, good) }, "answered 204"},
		"out of service":            {func() *http.Response { return reply(503, good) }, "answered 503"},
		"unchanged, without a base": {func() *http.Response { return reply(304, "") }, "answered 304"},
	}
}

// As the first list a bad one lets no token pass; as a later one it changes
// nothing.
func TestRevocationListsThatAreRefused(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for name, bad := range badLists(t, m) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				good := m.list(t, revokes("id-2"))
				r := &revoker{publisher: &publisher{}, mint: m}
				refuse := func(*http.Request) (*http.Response, error) { return bad.answer(), nil }
				r.answer = refuse
				v, _ := r.verifier(t)
				_, err := v.Verify(t.Context(), m.token(t, nil))
				if err == nil || oauth.AsError(err).Code != oauth.TemporarilyUnavailable || !strings.Contains(err.Error(), bad.want) {
					t.Errorf("got %v, want %s", err, bad.want)
				}

				r.answer = func(*http.Request) (*http.Response, error) { return reply(200, good), nil }
				v, list := r.verifier(t)
				api := &calls{t, v, m.token(t, nil)}
				revoked := &calls{t, v, m.token(t, map[string]any{"jti": "id-2"})}
				api.want("", 0)
				r.answer = refuse
				time.Sleep(10 * time.Second)
				api.want("", 0)
				revoked.want(oauth.InvalidToken, 0)
				time.Sleep(5 * time.Minute)
				if _, err := list.Revoked(t.Context(), &bearer.Claims{}); err == nil || !strings.Contains(err.Error(), bad.want) {
					t.Errorf("after MaxStale: %v", err)
				}
				for _, url := range r.asked {
					if url != issuer+"/revocations" {
						t.Errorf("asked %s", url)
					}
				}
			})
		})
	}
}

// What would make a RevocationList believe too much, or panic, is refused.
func TestRevocationListSettings(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	for name, test := range map[string]struct {
		set  func(*bearer.RevocationList)
		want string
	}{
		"no issuer":  {func(l *bearer.RevocationList) { l.Issuer = "" }, "Issuer is not set"},
		"plain http": {func(l *bearer.RevocationList) { l.URL = "http://issuer.example/revocations" }, "must be an https URL"},
		"no URL":     {func(l *bearer.RevocationList) { l.URL = "https://%zz" }, "invalid URL"},
		"a key source without a key": {func(l *bearer.RevocationList) {
			l.Keys = bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return bearer.Key{}, nil })
		}, "zero Key"},
		"a key source that is down": {func(l *bearer.RevocationList) {
			l.Keys = bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return bearer.Key{}, errors.New("down") })
		}, "down"},
	} {
		r := &revoker{publisher: publishes(func() string { return m.list(t, map[string]any{"iss": nil}) }), mint: m}
		_, list := r.verifier(t)
		list.URL = issuer + "/revocations"
		test.set(list)
		if _, err := list.Revoked(t.Context(), &bearer.Claims{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A list is signed by the key that signs tokens: typ keeps it from being one.
func TestRevocationListIsNoAccessToken(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	all := claims(nil)
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range [][]string{nil, {"JWT"}, {"JWT", "at+jwt", ""}} {
		v := m.verifier(t)
		v.Typ = typ
		_, err := v.Verify(t.Context(), m.document(t, "revocations+jwt", string(payload)))
		if err == nil || !strings.Contains(err.Error(), `typ is "revocations+jwt"`) {
			t.Errorf("typ %q: %v", typ, err)
		}
	}
}

// A list of the length that an issuer signs is read.
func TestLongRevocationList(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	r := &revoker{publisher: publishes(func() string { return m.list(t, revokes(manyIDs(100_000)...)) }), mint: m}
	v, list := r.verifier(t)
	v.Now, list.Now = atNoon, atNoon
	if _, err := v.Verify(t.Context(), m.token(t, nil)); err != nil {
		t.Error(err)
	}
	_, err := v.Verify(t.Context(), m.token(t, map[string]any{"jti": "id-0000000099999"}))
	if err == nil || oauth.AsError(err).Code != oauth.InvalidToken {
		t.Errorf("got %v", err)
	}
}

func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%013d", i)
	}
	return ids
}
