package admin_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/overload"
)

// TestFloodOfBadTokens: while others' tokens take the places of those that nobody knows, an
// administrator whose token was found good is served. A token is not good any more once it is
// refused.
func TestFloodOfBadTokens(t *testing.T) {
	w := newTestAPI(t)
	status := func(token string) int { return w.sendAs(token, "GET", "/issuers", "", nil).StatusCode }
	short := w.mint("auditor", adminapi.ScopeRead, time.Minute)
	if a, b := status(w.token), status(short); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("%d, %d", a, b)
	}
	for range 1000 { // over any rate of an address
		if got := status("bad"); got != http.StatusUnauthorized {
			t.Fatalf("a bad token: status %d", got)
		}
	}
	checks := w.api.Admission.Checks
	if n := checks.InUse(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
	for checks.Acquire() {
	}
	for token, want := range map[string]int{w.token: http.StatusOK, short: http.StatusOK, "bad": http.StatusServiceUnavailable, w.mint("robot", both, time.Hour): http.StatusServiceUnavailable} {
		resp := w.sendAs(token, "GET", "/issuers", "", nil)
		if resp.StatusCode != want || (want == http.StatusServiceUnavailable) != (resp.Header.Get("Retry-After") == "1") {
			t.Errorf("status %d, want %d; Retry-After %q", resp.StatusCode, want, resp.Header.Get("Retry-After"))
		}
	}
	w.wait(2 * time.Minute)
	if got := status(short); got != http.StatusServiceUnavailable {
		t.Errorf("a token that has expired: status %d", got)
	}
}

// TestRequestsAtOnce are bounded, and each place is given back.
func TestRequestsAtOnce(t *testing.T) {
	limits := overload.Default()
	limits.SetAtWork(1)
	var patient atomic.Int64
	w := newTestAPI(t, func(w *testAPI) {
		w.api.Admission = overload.NewAdmission(limits)
		w.api.ExtendDeadlines = func(http.ResponseWriter) { patient.Add(1) }
	})
	for range 3 {
		w.refused("GET", "/issuers/nobody/clients", "", http.StatusNotFound)
	}
	if n := patient.Load(); n != 3 {
		t.Errorf("%d of 3 requests with a good token got more time", n)
	}
	w.api.Admission.AtWork.Acquire()
	w.refused("GET", "/issuers", "", http.StatusServiceUnavailable, "too many requests")
	w.api.Admission.AtWork.Release()
	if resp := w.sendAs("bad", "GET", "/issuers", "", nil); resp.StatusCode != http.StatusUnauthorized || patient.Load() != 3 {
		t.Errorf("a bad token: status %d, %d got more time", resp.StatusCode, patient.Load())
	}
}
