package authority

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// Refusal is what the log and the ledger know about a refusal and the caller
// does not: the rule, what it wanted, what it found. It holds no secret.
type Refusal struct {
	Rule     string `json:"rule"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	// Hint names the likely mistake; often empty.
	Hint string `json:"hint,omitempty"`
	// Client is the known client that was named, proven or not; often empty.
	Client string `json:"-"`
}

// Error says everything.
func (r *Refusal) Error() string {
	s := "rule " + r.Rule + ": expected " + r.Expected + ", found " + r.Found
	if r.Hint != "" {
		s += " (" + r.Hint + ")"
	}
	return s
}

// recordTimeout bounds how long a refusal waits for its record, as the end of the
// request's deadline does. A caller that hangs up does not prevent the record.
const recordTimeout = 2 * time.Second

// refuse names the client in the refusal and has it recorded. The refusal stands
// also when the ledger is unavailable: no token is returned.
func (a *Authority) refuse(ctx context.Context, t *attempt, err error) error {
	e := oauth.AsError(err)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		refusal.Client = t.clientName()
	}
	if e.Code == oauth.TemporarilyUnavailable || e.Code == oauth.ServerError {
		return e
	}
	entry := &ledger.Entry{Kind: ledger.KindRefusal, Time: t.now.UTC(), Issuer: t.issuer.Name, Client: t.clientName(),
		Correlation: t.req.Correlation, Credential: recorded(t.credentials), Code: string(e.Code)}
	if refusal != nil {
		entry.Rule, entry.Expected, entry.Found = refusal.Rule, refusal.Expected, refusal.Found
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		recording, cancel = context.WithDeadline(recording, end)
		defer cancel()
	}
	a.Refusals.record(recording, entry)
	return e
}

// Refusals writes refusals to the ledger. Up to a rate each has an entry of its own,
// durable before the caller is answered. Beyond the rate they are counted, and Flush,
// called every second, writes one entry with the count: a flood neither fills the disk
// nor slows minting.
//
// One rate for all decides whether the answer waits for the commit: an answer that
// takes a commit longer must not show that the client exists, not even in a flood of
// unknown callers. Refusals of known clients beyond it have a rate of their own, which
// unknown callers do not spend, and are written by the next Flush.
type Refusals struct {
	ledger     Ledger
	all, known *overload.Limiter[struct{}]
	counted    atomic.Int64

	mu   sync.Mutex
	late []*ledger.Entry // for the next Flush; under mu
}

// NewRefusals makes the recorder, with the rate for all and for clients.
func NewRefusals(ledger Ledger, rate overload.Rate) *Refusals {
	return &Refusals{ledger: ledger, all: overload.NewLimiter[struct{}](rate, 1), known: overload.NewLimiter[struct{}](rate, 1)}
}

// record writes the entry, keeps it for Flush, or counts it.
func (r *Refusals) record(ctx context.Context, entry *ledger.Entry) {
	keep := false
	if entry.Client != "" {
		_, keep = r.known.Take(struct{}{}, entry.Time)
	}
	_, now := r.all.Take(struct{}{}, entry.Time)
	switch {
	case now && r.ledger.Append(ctx, entry) == nil:
	case keep && !now:
		r.mu.Lock()
		r.late = append(r.late, entry)
		r.mu.Unlock()
	default:
		r.counted.Add(1)
	}
}

// Flush writes what was kept since the last call, and how many were counted, if
// any. What cannot be written is counted.
func (r *Refusals) Flush(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	late := r.late
	r.late = nil
	r.mu.Unlock()
	for i, entry := range late {
		if err := r.ledger.Append(ctx, entry); err != nil {
			r.counted.Add(int64(len(late) - i))
			return err
		}
	}
	counted := r.counted.Swap(0)
	if counted == 0 {
		return nil
	}
	err := r.ledger.Append(ctx, &ledger.Entry{Kind: ledger.KindRefusals, Time: now.UTC(), Count: counted})
	if err != nil {
		r.counted.Add(counted)
	}
	return err
}
