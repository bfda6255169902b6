package wholelife

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"moneyer/internal/ledger"
)

const (
	// recoveryLimit is how long after an outage calls may still fail.
	recoveryLimit = 5 * time.Second
	// usable is how long the partner may use a token, counted from its request: more than a tenth
	// of the lifetime must be left. The request is recorded shortly after the Source read the
	// clock.
	usable     = lifetime * 9 / 10
	seenBehind = 500 * time.Millisecond
	// renewedAfter is when the Source starts to renew a token, at the earliest.
	renewedAfter = lifetime * 7 / 10
	// listAge is the minimum time for which the server publishes a revocation list.
	listAge = time.Second
	// An exchange is tried four times, which takes at least exchangeTime, including the second for
	// which a failure is cached.
	tries        = 4
	exchangeTime = 1875 * time.Millisecond
)

// history is everything that happened.
type history struct {
	began, ended time.Time
	events       []event
	outages      []outage
	revoked      []revocation
	ledger       []ledger.Entry // of tokens
	fetches      int            // key fetches that the API needs
	recovery     time.Duration  // the longest recovery after an outage of the network
}

// outage is a period in which the server was unreachable.
type outage struct {
	Cause      string
	Start, End time.Time
}

// revocation is the revocation of a token, which the partner got with a credential, or of a client.
type revocation struct {
	JTI, Credential, Client string
	Acknowledged            time.Time
}

func (r *revocation) matches(e *event) bool { return e.JTI == r.JTI || e.Client == r.Client }

// late returns how long after the revocation of its token a call was accepted.
func (r *revocation) late(e *event) time.Duration {
	if !r.matches(e) {
		return 0
	}
	return e.Start.Sub(r.Acknowledged)
}

// unexpired reports whether the token of a call had not expired.
func (e *event) unexpired() bool { return e.Start.Before(e.Expiry.Add(leeway)) }

// of selects events.
func (s *history) of(kind string, status int) []*event {
	var found []*event
	for i := range s.events {
		if e := &s.events[i]; e.Kind == kind && (status == 0 || e.Status == status) {
			found = append(found, e)
		}
	}
	return found
}

// violations returns everything that must not happen, at most five of each kind.
func (s *history) violations() (all []string) {
	for _, check := range []func() []string{s.checkCalls, s.checkEnds, s.checkRevocations, s.checkLedger, s.checkSources, s.checkTries, s.checkKeys} {
		found := check()
		all = append(all, found[:min(len(found), 5)]...)
	}
	return all
}

func addf(to *[]string, format string, args ...any) {
	*to = append(*to, fmt.Sprintf(format, args...))
}

// checkCalls: a call may fail only if that was unavoidable.
func (s *history) checkCalls() (c []string) {
	tokens := s.of(asked, http.StatusOK)
	for _, e := range s.of(called, 0) {
		excused := func(o outage) bool { return o.excuses(e, tokens) }
		if e.Status != http.StatusOK && !slices.ContainsFunc(s.outages, excused) {
			addf(&c, "a call of %s failed at %s without an excuse: status %d, %s", stamp(e.Start), stamp(e.End), e.Status, e.Error)
		}
	}
	return c
}

// excuses reports whether an outage explains a failed call: during the outage, or shortly after, a
// call may report that the token endpoint is unreachable if no token was left, and the API may
// respond 503 if its revocation list was stale.
func (o *outage) excuses(e *event, tokens []*event) bool {
	if e.End.Before(o.Start) || e.Start.After(o.End.Add(recoveryLimit)) {
		return false
	}
	blind := e.Status == http.StatusServiceUnavailable && e.End.After(o.Start.Add(maxStale-interval))
	return blind || e.Unreachable && !slices.ContainsFunc(tokens, func(token *event) bool {
		return token.End.Before(e.Start) && token.Start.Add(usable-seenBehind).After(e.End)
	})
}

// checkEnds: no token is accepted after its expiry; tokens were presented after it.
func (s *history) checkEnds() (c []string) {
	for _, e := range s.of(accepted, 0) {
		if !e.unexpired() {
			addf(&c, "the API accepted token %s at %s, which expired at %s", e.JTI, stamp(e.Start), stamp(e.Expiry))
		}
	}
	if !slices.ContainsFunc(s.of(probed, http.StatusUnauthorized), func(e *event) bool { return !e.unexpired() }) {
		addf(&c, "no token was presented after its expiry and refused")
	}
	return c
}

// bound returns how long after a revocation a token may be accepted: the API's interval, the
// minimum age of a list, and the time that the server took to respond.
func (s *history) bound() time.Duration {
	var slowest time.Duration
	for _, e := range s.of(fetched, 0) {
		if e.Error == "" {
			slowest = max(slowest, e.End.Sub(e.Start))
		}
	}
	return interval + listAge + slowest
}

// checkRevocations: no revoked token is accepted after the bound; each was presented, and refused
// before its expiry.
func (s *history) checkRevocations() (c []string) {
	inTime, bound := false, s.bound()
	for i := range s.revoked {
		r := &s.revoked[i]
		for _, e := range s.of(accepted, 0) {
			if late := r.late(e); late > bound {
				addf(&c, "the API accepted token %s of client %s %s after it was revoked; the bound is %s", e.JTI, e.Client, late, bound)
			}
		}
		inTime = inTime || slices.ContainsFunc(s.of(probed, http.StatusUnauthorized), func(e *event) bool {
			return r.matches(e) && e.unexpired() && e.Start.After(r.Acknowledged)
		})
	}
	if !inTime {
		addf(&c, "no revoked token was presented and refused before its expiry")
	}
	return c
}

// checkLedger: every token that was seen is in the ledger once and unchanged, and the ledger has no
// others but those whose response was lost.
func (s *history) checkLedger() (c []string) {
	recorded := map[string]*ledger.Entry{}
	for i := range s.ledger {
		if e := &s.ledger[i]; recorded[e.JTI] != nil {
			addf(&c, "the ledger has token %s twice", e.JTI)
		} else {
			recorded[e.JTI] = e
		}
	}
	for _, e := range slices.Concat(s.of(accepted, 0), s.of(asked, http.StatusOK)) {
		if r := recorded[e.JTI]; r == nil {
			addf(&c, "token %s is not in the ledger", e.JTI)
		} else if r.Client != e.Client || r.SigningKid != e.Kid || !r.Expires.Equal(e.Expiry) {
			addf(&c, "token %s is in the ledger with other values: %+v", e.JTI, *r)
		}
	}
	answered, all := len(s.of(asked, http.StatusOK)), len(s.of(asked, 0))
	if n := len(s.ledger); n < answered || n > all {
		addf(&c, "the ledger has %d tokens; %d requests were made, of which %d were answered", n, all, answered)
	}
	return c
}

// checkSources: each Source has one request at a time, and no more requests than renewals and
// revocations require.
func (s *history) checkSources() (c []string) {
	bySource := map[string][]*event{}
	for _, e := range s.of(asked, 0) {
		bySource[e.Credential] = append(bySource[e.Credential], e)
	}
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		requests := bySource[source]
		tokens := 0
		for _, e := range requests {
			if e.Flights > 1 {
				addf(&c, "%s had %d requests under way at %s", source, e.Flights, stamp(e.Start))
			}
			if e.Status == http.StatusOK {
				tokens++
			}
		}
		span := requests[len(requests)-1].Start.Sub(requests[0].Start)
		if most := 1 + int((span+seenBehind)/renewedAfter) + s.revokedOf(source); tokens > most {
			addf(&c, "%s got %d tokens in %s, where %d are enough", source, tokens, span, most)
		}
	}
	return c
}

// revokedOf counts the revoked tokens that a Source used.
func (s *history) revokedOf(source string) (n int) {
	for i := range s.revoked {
		if s.revoked[i].Credential == source {
			n++
		}
	}
	return n
}

// checkTries: token requests fail only in outages, and not often.
func (s *history) checkTries() (c []string) {
	failed, most := 0, 0
	for _, e := range s.of(asked, 0) {
		if e.Status != http.StatusOK {
			failed++
		}
	}
	for _, o := range s.outages {
		most += tries * (2 + int(o.End.Sub(o.Start)/exchangeTime))
	}
	if failed > most {
		addf(&c, "%d requests for tokens failed, where %d are enough", failed, most)
	}
	return c
}

// checkKeys: the API fetched keys no more often than necessary.
func (s *history) checkKeys() (c []string) {
	n := 0
	for _, e := range s.of(fetched, 0) {
		if e.isKeys() {
			n++
		}
	}
	if n != s.fetches {
		addf(&c, "the API fetched keys %d times, want %d", n, s.fetches)
	}
	return c
}

// figures summarizes the history.
func (s *history) figures() string {
	var failed int
	for _, e := range s.of(called, 0) {
		if e.Status != http.StatusOK {
			failed++
		}
	}
	kids := map[string]bool{}
	for _, e := range s.of(accepted, 0) {
		kids[e.Kid] = true
	}
	var latest time.Duration
	for i := range s.revoked {
		for _, e := range s.of(accepted, 0) {
			latest = max(latest, s.revoked[i].late(e))
		}
	}
	var lines strings.Builder
	fmt.Fprintf(&lines, "%s: %d calls, of which %d failed, %d accepted by the API with tokens of %d signing keys\n",
		s.ended.Sub(s.began).Round(time.Millisecond), len(s.of(called, 0)), failed, len(s.of(accepted, 0)), len(kids))
	fmt.Fprintf(&lines, "%d tokens in the ledger, %d arrived in %d requests; the API fetched keys %d times\n",
		len(s.ledger), len(s.of(asked, http.StatusOK)), len(s.of(asked, 0)), s.fetches)
	fmt.Fprintf(&lines, "%d revocations, a token was accepted at most %s after, limit %s; recovery after a network outage %s\n",
		len(s.revoked), latest.Round(time.Millisecond), s.bound().Round(time.Millisecond), s.recovery.Round(time.Millisecond))
	for _, o := range s.outages {
		n, first := s.failedIn(o)
		fmt.Fprintf(&lines, "%s at %s for %s: %d calls failed %s\n", o.Cause, stamp(o.Start), o.End.Sub(o.Start).Round(time.Millisecond), n, first)
	}
	return lines.String()
}

// failedIn counts the calls that an outage excuses, and describes the first one.
func (s *history) failedIn(o outage) (n int, first string) {
	tokens := s.of(asked, http.StatusOK)
	for _, e := range s.of(called, 0) {
		if e.Status != http.StatusOK && o.excuses(e, tokens) {
			if n++; n == 1 {
				first = fmt.Sprintf("(first at %s: status %d %s)", stamp(e.End), e.Status, e.Error)
			}
		}
	}
	return n, first
}

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.000") }
