package wholelife

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// at returns an instant of a made-up history.
func at(seconds float64) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// goodHistory has a token that is revoked, its successor, which expires in an outage, and a third
// one.
func goodHistory() *history {
	one := event{Kind: asked, Start: at(0), End: at(0.01), Status: http.StatusOK, Credential: "a/k", Flights: 1, JTI: "one", Kid: "s", Client: "a", Expiry: at(4)}
	two, three, lost := one, one, one
	two.JTI, two.Start, two.End, two.Expiry = "two", at(1.2), at(1.3), at(5)
	three.JTI, three.Start, three.End, three.Expiry = "three", at(7), at(7.1), at(11)
	lost = event{Kind: asked, Start: at(5), End: at(6), Credential: "a/k", Flights: 1, Error: "reset"}
	pass := func(token event, start float64) event {
		return event{Kind: accepted, Start: at(start), JTI: token.JTI, Kid: token.Kid, Client: token.Client, Expiry: token.Expiry}
	}
	entry := func(token event) ledger.Entry {
		return ledger.Entry{JTI: token.JTI, Client: token.Client, SigningKid: token.Kid, Expires: token.Expiry}
	}
	return &history{
		began: at(0), ended: at(8), fetches: 1,
		events: []event{
			{Kind: fetched, URL: "http://issuer/jwks.json", Start: at(0), End: at(0.1), Status: http.StatusOK},
			one, pass(one, 0.2), pass(one, 1.1),
			{Kind: probed, JTI: "one", Client: "a", Start: at(1.2), End: at(1.2), Status: http.StatusUnauthorized, Expiry: at(4)},
			two, pass(two, 1.4), pass(two, 5.9),
			{Kind: called, Start: at(1.3), End: at(1.4), Status: http.StatusOK},
			{Kind: probed, JTI: "two", Client: "a", Start: at(6.1), End: at(6.1), Status: http.StatusUnauthorized, Expiry: at(5)},
			lost,
			{Kind: called, Start: at(5), End: at(6), Error: "reset", Unreachable: true},
			three, pass(three, 7.2),
		},
		outages: []outage{{"cut", at(2), at(6.5)}},
		revoked: []revocation{{JTI: "one", Credential: "a/k", Acknowledged: at(1)}},
		ledger:  []ledger.Entry{entry(one), entry(two), entry(three)},
	}
}

// TestViolations: each rule detects a violation.
func TestViolations(t *testing.T) {
	find := func(s *history, kind string, n int) *event { return s.of(kind, 0)[n] }
	add := func(s *history, e event) { s.events = append(s.events, e) }
	for name, test := range map[string]struct {
		spoil func(*history)
		want  string
	}{
		"nothing":                       {func(*history) {}, ""},
		"an error without an outage":    {func(s *history) { s.outages[0].Start = at(6.1) }, "without an excuse: status 0, reset"},
		"an error long after an outage": {func(s *history) { s.outages[0].End = at(2.1); find(s, called, 1).Start = at(7.2) }, "without an excuse"},
		"another error in an outage":    {func(s *history) { find(s, called, 1).Unreachable = false }, "without an excuse"},
		"an error with a valid token":   {func(s *history) { find(s, called, 1).Start, find(s, called, 1).End = at(3), at(3.5) }, "without an excuse"},
		"a refusal":                     {func(s *history) { find(s, called, 0).Status = http.StatusUnauthorized }, "status 401"},
		"503 without an outage":         {func(s *history) { find(s, called, 0).Status = http.StatusServiceUnavailable }, "status 503"},
		"503 early in an outage": {func(s *history) {
			add(s, event{Kind: called, Start: at(2.1), End: at(2.1), Status: http.StatusServiceUnavailable})
		}, "status 503"},
		"503 late in an outage": {func(s *history) {
			add(s, event{Kind: called, Start: at(5.6), End: at(5.6), Status: http.StatusServiceUnavailable})
		}, ""},
		"a token after its expiry":         {func(s *history) { find(s, accepted, 3).Start = at(6) }, "accepted token two"},
		"no token was presented after it":  {func(s *history) { find(s, probed, 1).Start = at(5.9) }, "no token was presented after its expiry"},
		"a revoked token":                  {func(s *history) { find(s, accepted, 1).Start = at(3.2) }, "2.2s after it was revoked; the bound is 1.6s"},
		"a revoked token after its expiry": {func(s *history) { find(s, accepted, 1).Start = at(4.5) }, "3.5s after it was revoked"},
		"a token of a revoked client":      {func(s *history) { s.revoked[0] = revocation{Client: "a", Acknowledged: at(1)} }, "after it was revoked"},
		"a revocation that was not seen":   {func(s *history) { find(s, probed, 0).Start = at(0.9) }, "no revoked token was presented"},
		"a token without an entry":         {func(s *history) { s.ledger = s.ledger[1:] }, "token one is not in the ledger"},
		"a token twice":                    {func(s *history) { s.ledger = append(s.ledger, s.ledger[0]) }, "the ledger has token one twice"},
		"another client's token":           {func(s *history) { s.ledger[0].Client = "b" }, "with other values"},
		"another key's token":              {func(s *history) { s.ledger[0].SigningKid = "k" }, "with other values"},
		"another expiry":                   {func(s *history) { s.ledger[0].Expires = at(5) }, "with other values"},
		"tokens that nobody asked for": {func(s *history) {
			s.ledger = append(s.ledger, ledger.Entry{JTI: "x"}, ledger.Entry{JTI: "y"})
		}, "the ledger has 5 tokens; 4 requests were made, of which 3 were answered"},
		"a token lost on its way":   {func(s *history) { s.ledger = append(s.ledger, ledger.Entry{JTI: "x"}) }, ""},
		"two requests at once":      {func(s *history) { find(s, asked, 1).Flights = 2 }, "had 2 requests under way"},
		"too many tokens":           {func(s *history) { s.revoked[0].Credential = ""; find(s, asked, 3).Start = at(5) }, "a/k got 3 tokens in 5s, where 2 are enough"},
		"too many tries":            {func(s *history) { s.addFailures(17) }, "17 requests for tokens failed, where 16 are enough"},
		"as many tries as allowed":  {func(s *history) { s.addFailures(16) }, ""},
		"keys fetched too often":    {func(s *history) { add(s, s.events[0]) }, "the API fetched keys 2 times, want 1"},
		"keys that were not needed": {func(s *history) { s.fetches = 2 }, "the API fetched keys 1 times, want 2"},
	} {
		s := goodHistory()
		test.spoil(s)
		got := strings.Join(s.violations(), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: violations %q, want %q", name, got, test.want)
		}
	}
}

// addFailures adds n failed token requests.
func (s *history) addFailures(n int) {
	lost := *s.of(asked, 0)[2]
	for range n - 1 {
		s.events = append(s.events, lost)
	}
}
