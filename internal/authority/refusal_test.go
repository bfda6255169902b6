package authority_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// refuse has the client refused once, in a way that names it.
func (h *fixture) refuse(t *testing.T) {
	t.Helper()
	s := h.spec()
	s.key = strangerKey
	token, err := h.exchange(grantRequest(s.String()))
	refusalOf(t, token, err)
}

func TestRefusalsOfKnownClientsAreRecorded(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.refuse(t)
	want := ledger.Entry{
		Kind: ledger.KindRefusal, Time: noon, Issuer: "d1", Client: clientID, Correlation: "corr-1", Credential: kid,
		Code: "invalid_grant", Rule: "signature", Expected: `a signature by the private half of the key registered as "key-1"`,
		Found: "64 bytes that the key does not verify",
	}
	if len(h.ledger.entries) != 1 || h.ledger.entries[0] != want {
		t.Errorf("recorded %+v, want %+v", h.ledger.entries, want)
	}
	h.flush(t)
	if len(h.ledger.entries) != 1 {
		t.Error("the refusal is recorded twice")
	}
}

// The record of a refusal takes no longer than the request may: the refused waits for it.
func TestRefusalIsRecordedWithinTheRequest(t *testing.T) {
	h := newFixture(t, "thales-d1")
	deadlines := &deadlineLedger{memoryLedger: h.ledger}
	h.Refusals = authority.NewRefusals(deadlines, unlimited)
	s := h.spec()
	s.key = strangerKey
	end := time.Now().Add(time.Second) // less than a record may take by itself
	ctx, cancel := context.WithDeadline(t.Context(), end)
	cancel() // who hangs up does not get out of it
	token, err := h.Exchange(ctx, h.issuer, grantRequest(s.String()))
	refusalOf(t, token, err)
	if len(deadlines.seen) != 1 || !deadlines.seen[0].Equal(end) {
		t.Errorf("the record had until %v, want %v", deadlines.seen, end)
	}
}

// deadlineLedger notes until when each append may take.
type deadlineLedger struct {
	*memoryLedger
	seen []time.Time
}

func (l *deadlineLedger) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	end, _ := ctx.Deadline()
	l.seen = append(l.seen, end)
	return l.memoryLedger.Append(ctx, e, consumed...)
}

// Strangers are recorded too: else the time of a commit would tell who exists.
func TestRefusalsOfStrangersAreRecorded(t *testing.T) {
	h := newFixture(t, "oauth2")
	s := h.spec()
	s.claims["iss"] = "NOBODY0000"
	requests := []*authority.Request{
		grantRequest(s.String()), grantRequest("no JWT"), grantRequest(""), {GrantType: "password"},
		{GrantType: oauth.ClientCredentials, Credentials: []authority.Credential{{Method: oauth.AuthPost, ID: "NOBODY0000", Secret: "x"}}},
	}
	for i, req := range requests {
		token, err := h.exchange(req)
		if _, refusal := refusalOf(t, token, err); refusal.Client != "" {
			t.Errorf("the refusal names %q", refusal.Client)
		}
		if len(h.ledger.entries) != i+1 || h.ledger.entries[i].Client != "" || h.ledger.entries[i].Kind != ledger.KindRefusal {
			t.Errorf("recorded %+v", h.ledger.entries)
		}
	}
}

// A flood from one address hides neither the refusals of other addresses nor those of
// clients. In it nobody waits for a commit, whether the client exists or not: else its
// time would tell who exists.
func TestAFloodHidesNoOthersAndTellsOfNoClient(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Refusals = authority.NewRefusals(h.ledger, overload.Rate{PerSecond: 1, Burst: 40})
	s := h.spec()
	s.key = strangerKey
	wrongKey := s.String()
	refused := func(from netip.Addr, assertion, scope string) (recorded bool) {
		t.Helper()
		before := len(h.ledger.of(ledger.KindRefusal))
		req := grantRequest(assertion)
		req.Address, req.Scope = from, scope
		token, err := h.exchange(req)
		refusalOf(t, token, err)
		return len(h.ledger.of(ledger.KindRefusal)) > before
	}
	for range 100 {
		refused(strangersAddress, "no JWT", "")
	}
	if n := len(h.ledger.of(ledger.KindRefusal)); n != 20 {
		t.Errorf("one address had %d refusals recorded, want half of the budget", n)
	}
	for name, assertion := range map[string]string{"nobody": "no JWT", "a client": wrongKey} {
		if refused(strangersAddress, assertion, "") {
			t.Errorf("the answer for %s waits for a commit in the flood", name)
		}
	}
	if !refused(ownersAddress, wrongKey, "") {
		t.Error("the flood hides the refusal of another address")
	}
	if !refused(strangersAddress, h.assertion(), "no:such:scope") {
		t.Error("the flood hides the refusal of a client")
	}
	h.flush(t)
	h.wantCounted(t, 82)
}

// Trouble of ours is no refusal of the client.
func TestTroubleIsNotRecorded(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Keyring = keyring{}
	token, err := h.exchange(grantRequest(h.assertion()))
	refusalOf(t, token, err)
	h.flush(t)
	if len(h.ledger.entries) != 0 {
		t.Errorf("recorded %+v", h.ledger.entries)
	}
}

func TestTheRefusalNamesItsClient(t *testing.T) {
	h := newFixture(t, "thales-d1")
	s := h.spec()
	s.key = strangerKey
	_, err := h.exchange(grantRequest(s.String()))
	if _, refusal := refusalOf(t, nil, err); refusal.Client != clientID {
		t.Errorf("the refusal names %q", refusal.Client)
	}
	for _, part := range []string{"invalid_grant", "rule signature", "expected a signature", "found 64 bytes", "(signed with another private key"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the log does not say %q: %v", part, err)
		}
	}
}

func TestRefusalsBeyondTheRateAreCounted(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Refusals = authority.NewRefusals(h.ledger, overload.Rate{PerSecond: 2, Burst: 4}) // half of it for one address
	for range 7 {
		h.refuse(t)
	}
	h.flush(t)
	if n := len(h.ledger.of(ledger.KindRefusal)); n != 2 {
		t.Errorf("%d are recorded one by one, want 2", n)
	}
	h.wantCounted(t, 5)
	h.now = h.now.Add(time.Second)
	h.refuse(t)
	h.flush(t)
	if n := len(h.ledger.of(ledger.KindRefusal)); n != 3 {
		t.Errorf("%d are recorded one by one a second later, want 3", n)
	}
	h.wantCounted(t, 5)
}

// wantCounted looks for one entry that counts so many.
func (h *fixture) wantCounted(t *testing.T, n int64) {
	t.Helper()
	counted := h.ledger.of(ledger.KindRefusals)
	if len(counted) != 1 || counted[0].Count != n || counted[0].Client != "" || counted[0].Issuer != "d1" {
		t.Errorf("counted %+v, want one entry of %d", counted, n)
	}
}

func TestAFailingLedgerKeepsTheCount(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Refusals = authority.NewRefusals(h.ledger, overload.Rate{PerSecond: 1, Burst: 1})
	down := errors.New("disk full")
	h.ledger.err = down
	for range 3 {
		h.refuse(t)
	}
	for range 2 {
		if err := h.Refusals.Flush(t.Context(), h.now); !errors.Is(err, down) {
			t.Fatalf("Flush says %v", err)
		}
	}
	h.ledger.err = nil
	h.flush(t)
	h.wantCounted(t, 3)
}

// A ledger that is down changes no refusal: it would tell which clients exist.
func TestARefusalStandsWhenTheLedgerIsDown(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.ledger.err = errors.New("disk full")
	s := h.spec()
	s.key = strangerKey
	token, err := h.exchange(grantRequest(s.String()))
	if e, _ := refusalOf(t, token, err); e.Code != oauth.InvalidGrant {
		t.Errorf("told %s", e.Code)
	}
}

// What a stranger sends reaches a log bounded, whole characters only, and not at
// all when it looks like a credential.
func TestShorten(t *testing.T) {
	long := strings.Repeat("é", 40)
	for in, want := range map[string]string{
		"":                      "",
		"ACMEGW0001":            "ACMEGW0001",
		strings.Repeat("a", 64): strings.Repeat("a", 64),
		strings.Repeat("a", 65): strings.Repeat("a", 64) + "...",
		"x" + long:              "x" + long[:62] + "...",
		"mns_AbCdEf":            "something like a credential",
		"4111111111111111":      "411111******1111",
		strings.Repeat("a", 49) + "4111111111111111":           strings.Repeat("a", 49) + "411111******111...",
		strings.Repeat("a", 52) + "4111 1111 1111 1111 and on": strings.Repeat("a", 52) + "4111 11** **...",
		"APIKEY mnk_AbCdEf":          "something like a credential",
		"eyJhbGciOiJFUzI1NiJ9.e30.x": "something like a credential",
	} {
		if got := registry.Excerpt(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// errLedger fails for one kind of entry only.
type errLedger struct {
	*memoryLedger
	kind ledger.Kind
}

func (l errLedger) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if e.Kind == l.kind {
		return errors.New("disk full")
	}
	return l.memoryLedger.Append(ctx, e, consumed...)
}

// An entry that cannot be written by itself is counted.
func TestUnwrittenRefusalsAreCounted(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.Refusals = authority.NewRefusals(errLedger{h.ledger, ledger.KindRefusal}, unlimited)
	h.refuse(t)
	h.refuse(t)
	h.flush(t)
	h.wantCounted(t, 2)
}

// TestRateBeforeEvidence: what the registry would be asked for costs the client's rate
// first, and what it may not have spends it.
func TestRateBeforeEvidence(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.ClientRate = overload.NewLimiter[authority.ClientName](overload.Rate{PerSecond: 1, Burst: 1}, 64)
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	req.Scope = "nobody:has:this"
	for _, want := range []oauth.Code{oauth.InvalidScope, oauth.RateLimited} {
		token, err := h.exchange(req)
		if e, _ := refusalOf(t, token, err); e.Code != want {
			t.Errorf("%s, want %s", e.Code, want)
		}
	}
}
