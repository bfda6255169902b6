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
	// recoveryLimit is how long after an outage calls may still go wrong.
	recoveryLimit = 5 * time.Second
	// usable is how long the partner may use a token, from when it asked for it:
	// more than a tenth of the life must be left. The request is seen a moment
	// after the Source took the time.
	usable     = lifetime * 9 / 10
	seenBehind = 500 * time.Millisecond
	// renewedAfter is when it begins to renew one, at the earliest.
	renewedAfter = lifetime * 7 / 10
	// listAge is how long the server publishes a list of revocations at least.
	listAge = time.Second
	// An exchange is tried four times, which takes no less than exchangeTime with
	// the second that a failure is held.
	tries        = 4
	exchangeTime = 1875 * time.Millisecond
)

// story is all that happened.
type story struct {
	began, ended time.Time
	events       []event
	outages      []outage
	revoked      []revocation
	ledger       []ledger.Entry // of tokens
	fetches      int            // of keys that the API needs
	recovery     time.Duration  // the longest, after a cut
}

// outage is a time in which the server could not be reached.
type outage struct {
	Cause      string
	Start, End time.Time
}

// revocation of a token, which the partner had by a credential, or of a client.
type revocation struct {
	JTI, Credential, Client string
	Acknowledged            time.Time
}

func (r *revocation) names(e *event) bool { return e.JTI == r.JTI || e.Client == r.Client }

// late is how long after the revocation of its token a call passed.
func (r *revocation) late(e *event) time.Duration {
	if !r.names(e) {
		return 0
	}
	return e.Start.Sub(r.Acknowledged)
}

// early tells whether the token of a call was good for its time.
func (e *event) early() bool { return e.Start.Before(e.Expiry.Add(leeway)) }

// of selects events.
func (s *story) of(kind string, status int) []*event {
	var found []*event
	for i := range s.events {
		if e := &s.events[i]; e.Kind == kind && (status == 0 || e.Status == status) {
			found = append(found, e)
		}
	}
	return found
}

// judge says all that should not have been.
func (s *story) judge() (complaints []string) {
	for _, judge := range []func() []string{s.judgeCalls, s.judgeEnds, s.judgeRevocations, s.judgeLedger, s.judgeSources, s.judgeTries, s.judgeKeys} {
		found := judge()
		complaints = append(complaints, found[:min(len(found), 5)]...)
	}
	return complaints
}

func complain(to *[]string, format string, args ...any) {
	*to = append(*to, fmt.Sprintf(format, args...))
}

// judgeCalls: a call goes wrong only when it could not be spared.
func (s *story) judgeCalls() (c []string) {
	tokens := s.of(asked, http.StatusOK)
	for _, e := range s.of(called, 0) {
		excused := func(o outage) bool { return o.excuses(e, tokens) }
		if e.Status != http.StatusOK && !slices.ContainsFunc(s.outages, excused) {
			complain(&c, "a call of %s failed at %s that should not have: status %d, %s", stamp(e.Start), stamp(e.End), e.Status, e.Error)
		}
	}
	return c
}

// excuses: in an outage, or so soon after that nobody knows yet, a call may say
// that the token endpoint is unreachable, when none of the tokens was left; and
// the API may say that it cannot judge, when its list had been unconfirmed for too
// long.
func (o *outage) excuses(e *event, tokens []*event) bool {
	if e.End.Before(o.Start) || e.Start.After(o.End.Add(recoveryLimit)) {
		return false
	}
	blind := e.Status == http.StatusServiceUnavailable && e.End.After(o.Start.Add(maxStale-interval))
	return blind || e.Unreachable && !slices.ContainsFunc(tokens, func(token *event) bool {
		return token.End.Before(e.Start) && token.Start.Add(usable-seenBehind).After(e.End)
	})
}

// judgeEnds: no token passes beyond its end; tokens were shown after it.
func (s *story) judgeEnds() (c []string) {
	for _, e := range s.of(accepted, 0) {
		if !e.early() {
			complain(&c, "the API accepted token %s at %s, which ended at %s", e.JTI, stamp(e.Start), stamp(e.Expiry))
		}
	}
	if !slices.ContainsFunc(s.of(probed, http.StatusUnauthorized), func(e *event) bool { return !e.early() }) {
		complain(&c, "no token was shown after its end and refused")
	}
	return c
}

// bound is how long after a revocation a token may pass: the API's interval, the
// least age of a list, and the time that the server took to answer.
func (s *story) bound() time.Duration {
	var slowest time.Duration
	for _, e := range s.of(fetched, 0) {
		if e.Error == "" {
			slowest = max(slowest, e.End.Sub(e.Start))
		}
	}
	return interval + listAge + slowest
}

// judgeRevocations: no revoked token passes after the bound; each was shown, and
// refused before its end.
func (s *story) judgeRevocations() (c []string) {
	inTime, bound := false, s.bound()
	for i := range s.revoked {
		r := &s.revoked[i]
		for _, e := range s.of(accepted, 0) {
			if late := r.late(e); late > bound {
				complain(&c, "the API accepted token %s of client %s %s after it was revoked; the bound is %s", e.JTI, e.Client, late, bound)
			}
		}
		inTime = inTime || slices.ContainsFunc(s.of(probed, http.StatusUnauthorized), func(e *event) bool {
			return r.names(e) && e.early() && e.Start.After(r.Acknowledged)
		})
	}
	if !inTime {
		complain(&c, "no revoked token was shown and refused before its end")
	}
	return c
}

// judgeLedger: every token that anybody saw is in the ledger as it was, once, and
// the ledger has no more than those and the ones that were lost on their way.
func (s *story) judgeLedger() (c []string) {
	recorded := map[string]*ledger.Entry{}
	for i := range s.ledger {
		if e := &s.ledger[i]; recorded[e.JTI] != nil {
			complain(&c, "the ledger has token %s twice", e.JTI)
		} else {
			recorded[e.JTI] = e
		}
	}
	for _, e := range slices.Concat(s.of(accepted, 0), s.of(asked, http.StatusOK)) {
		if r := recorded[e.JTI]; r == nil {
			complain(&c, "token %s is not in the ledger", e.JTI)
		} else if r.Client != e.Client || r.SigningKid != e.Kid || !r.Expires.Equal(e.Expiry) {
			complain(&c, "token %s is in the ledger with other words: %+v", e.JTI, *r)
		}
	}
	answered, all := len(s.of(asked, http.StatusOK)), len(s.of(asked, 0))
	if n := len(s.ledger); n < answered || n > all {
		complain(&c, "the ledger has %d tokens; %d requests were made, of which %d were answered", n, all, answered)
	}
	return c
}

// judgeSources: each Source asks one request at a time, and no more often than
// its tokens need to be renewed or were revoked.
func (s *story) judgeSources() (c []string) {
	bySource := map[string][]*event{}
	for _, e := range s.of(asked, 0) {
		bySource[e.Credential] = append(bySource[e.Credential], e)
	}
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		requests := bySource[source]
		tokens := 0
		for _, e := range requests {
			if e.Flights > 1 {
				complain(&c, "%s had %d requests under way at %s", source, e.Flights, stamp(e.Start))
			}
			if e.Status == http.StatusOK {
				tokens++
			}
		}
		span := requests[len(requests)-1].Start.Sub(requests[0].Start)
		if most := 1 + int((span+seenBehind)/renewedAfter) + s.revokedOf(source); tokens > most {
			complain(&c, "%s got %d tokens in %s, where %d are enough", source, tokens, span, most)
		}
	}
	return c
}

// revokedOf counts the tokens in use by a Source that were revoked.
func (s *story) revokedOf(source string) (n int) {
	for i := range s.revoked {
		if s.revoked[i].Credential == source {
			n++
		}
	}
	return n
}

// judgeTries: requests fail in outages only, and not many.
func (s *story) judgeTries() (c []string) {
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
		complain(&c, "%d requests for tokens failed, where %d are enough", failed, most)
	}
	return c
}

// judgeKeys: the API asked for keys no more often than it needed to.
func (s *story) judgeKeys() (c []string) {
	n := 0
	for _, e := range s.of(fetched, 0) {
		if e.isKeys() {
			n++
		}
	}
	if n != s.fetches {
		complain(&c, "the API fetched keys %d times, want %d", n, s.fetches)
	}
	return c
}

// figures sums the story up.
func (s *story) figures() string {
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
	fmt.Fprintf(&lines, "%d revocations, a token passed at most %s after, of %s; recovery after a cut %s\n",
		len(s.revoked), latest.Round(time.Millisecond), s.bound().Round(time.Millisecond), s.recovery.Round(time.Millisecond))
	for _, o := range s.outages {
		n, first := s.failedIn(o)
		fmt.Fprintf(&lines, "%s at %s for %s: %d calls failed %s\n", o.Cause, stamp(o.Start), o.End.Sub(o.Start).Round(time.Millisecond), n, first)
	}
	return lines.String()
}

// failedIn counts the calls that an outage excuses, and tells what the first said.
func (s *story) failedIn(o outage) (n int, first string) {
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
