package wholelife

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// at is an instant of a story that was made up.
func at(seconds float64) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// goodStory has a token that is revoked, another one that takes its place and
// ends in an outage, and a third one.
func goodStory() *story {
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
	return &story{
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

// TestJudge shows that each of his rules can be broken.
func TestJudge(t *testing.T) {
	find := func(s *story, kind string, n int) *event { return s.of(kind, 0)[n] }
	add := func(s *story, e event) { s.events = append(s.events, e) }
	for name, test := range map[string]struct {
		spoil func(*story)
		want  string
	}{
		"nothing":                       {func(*story) {}, ""},
		"an error without an outage":    {func(s *story) { s.outages[0].Start = at(6.1) }, "that should not have: status 0, reset"},
		"an error long after an outage": {func(s *story) { s.outages[0].End = at(2.1); find(s, called, 1).Start = at(7.2) }, "that should not have"},
		"another error in an outage":    {func(s *story) { find(s, called, 1).Unreachable = false }, "that should not have"},
		"an error beside a good token":  {func(s *story) { find(s, called, 1).Start, find(s, called, 1).End = at(3), at(3.5) }, "that should not have"},
		"a refusal":                     {func(s *story) { find(s, called, 0).Status = http.StatusUnauthorized }, "status 401"},
		"503 without an outage":         {func(s *story) { find(s, called, 0).Status = http.StatusServiceUnavailable }, "status 503"},
		"503 early in an outage": {func(s *story) {
			add(s, event{Kind: called, Start: at(2.1), End: at(2.1), Status: http.StatusServiceUnavailable})
		}, "status 503"},
		"503 late in an outage": {func(s *story) {
			add(s, event{Kind: called, Start: at(5.6), End: at(5.6), Status: http.StatusServiceUnavailable})
		}, ""},
		"a token after its end":          {func(s *story) { find(s, accepted, 3).Start = at(6) }, "accepted token two"},
		"no token was shown after it":    {func(s *story) { find(s, probed, 1).Start = at(5.9) }, "no token was shown after its end"},
		"a revoked token":                {func(s *story) { find(s, accepted, 1).Start = at(3.2) }, "2.2s after it was revoked; the bound is 1.6s"},
		"a revoked token after its end":  {func(s *story) { find(s, accepted, 1).Start = at(4.5) }, "3.5s after it was revoked"},
		"a token of a revoked client":    {func(s *story) { s.revoked[0] = revocation{Client: "a", Acknowledged: at(1)} }, "after it was revoked"},
		"a revocation that was not seen": {func(s *story) { find(s, probed, 0).Start = at(0.9) }, "no revoked token was shown"},
		"a token without an entry":       {func(s *story) { s.ledger = s.ledger[1:] }, "token one is not in the ledger"},
		"a token twice":                  {func(s *story) { s.ledger = append(s.ledger, s.ledger[0]) }, "the ledger has token one twice"},
		"another client's token":         {func(s *story) { s.ledger[0].Client = "b" }, "with other words"},
		"another key's token":            {func(s *story) { s.ledger[0].SigningKid = "k" }, "with other words"},
		"another end":                    {func(s *story) { s.ledger[0].Expires = at(5) }, "with other words"},
		"tokens that nobody asked for": {func(s *story) {
			s.ledger = append(s.ledger, ledger.Entry{JTI: "x"}, ledger.Entry{JTI: "y"})
		}, "the ledger has 5 tokens; 4 requests were made, of which 3 were answered"},
		"a token lost on its way":   {func(s *story) { s.ledger = append(s.ledger, ledger.Entry{JTI: "x"}) }, ""},
		"two requests at once":      {func(s *story) { find(s, asked, 1).Flights = 2 }, "had 2 requests under way"},
		"too many tokens":           {func(s *story) { s.revoked[0].Credential = ""; find(s, asked, 3).Start = at(5) }, "a/k got 3 tokens in 5s, where 2 are enough"},
		"too many tries":            {func(s *story) { s.storm(17) }, "17 requests for tokens failed, where 16 are enough"},
		"as many tries as are due":  {func(s *story) { s.storm(16) }, ""},
		"keys fetched too often":    {func(s *story) { add(s, s.events[0]) }, "the API fetched keys 2 times, want 1"},
		"keys that were not needed": {func(s *story) { s.fetches = 2 }, "the API fetched keys 1 times, want 2"},
	} {
		s := goodStory()
		test.spoil(s)
		got := strings.Join(s.judge(), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: the judge says %q, want %q", name, got, test.want)
		}
	}
}

// storm lets n requests for tokens fail.
func (s *story) storm(n int) {
	lost := *s.of(asked, 0)[2]
	for range n - 1 {
		s.events = append(s.events, lost)
	}
}
