package authority

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"moneyer/internal/limit"
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

// Error tells the whole.
func (r *Refusal) Error() string {
	s := "rule " + r.Rule + ": expected " + r.Expected + ", found " + r.Found
	if r.Hint != "" {
		s += " (" + r.Hint + ")"
	}
	return s
}

// recordTimeout bounds how long a refusal waits for its record. Who hangs up
// does not get out of it.
const recordTimeout = 2 * time.Second

// refuse names the client in the refusal and has it recorded. The refusal stands
// also when the ledger is down: nothing is handed out.
func (a *Authority) refuse(ctx context.Context, issuer *Issuer, req *Request, c *caller, now time.Time, err error) error {
	e := oauth.AsError(err)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		refusal.Client = c.name()
	}
	if e.Code == oauth.TemporarilyUnavailable || e.Code == oauth.ServerError {
		return e
	}
	entry := &Entry{Kind: EntryRefusal, Time: now.UTC(), Issuer: issuer.Name, Client: c.name(), Correlation: req.Correlation,
		Code: string(e.Code)}
	if c != nil {
		entry.Credential = c.credential
	}
	if refusal != nil {
		entry.Rule, entry.Expected, entry.Found = refusal.Rule, refusal.Expected, refusal.Found
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	a.Refusals.record(ctx, entry)
	return e
}

// Refusals writes refusals to the ledger, each by itself up to a rate, durable
// before the refused hears of it. Beyond the rate they are counted, and Flush,
// called every second, writes one entry that tells how many: a flood neither
// fills the disk nor slows minting.
//
// Strangers' refusals are written like those of known clients: an answer that
// took a commit longer would tell that the client exists. They have a rate of
// their own, so that strangers do not crowd out what is said of clients.
type Refusals struct {
	ledger          Ledger
	known, stranger *limit.Limiter[struct{}]
	counted         atomic.Int64
}

// NewRefusals makes the recorder, with the rate for each of clients and strangers.
func NewRefusals(ledger Ledger, rate limit.Rate) *Refusals {
	return &Refusals{ledger: ledger, known: limit.New[struct{}](rate, 1), stranger: limit.New[struct{}](rate, 1)}
}

// record writes the entry, or counts it.
func (r *Refusals) record(ctx context.Context, entry *Entry) {
	rate := r.known
	if entry.Client == "" {
		rate = r.stranger
	}
	if _, ok := rate.Take(struct{}{}, entry.Time); ok && r.ledger.Append(ctx, entry, nil) == nil {
		return
	}
	r.counted.Add(1)
}

// Flush writes how many were counted since the last call, if any. What cannot be
// written stays counted.
func (r *Refusals) Flush(ctx context.Context, now time.Time) error {
	counted := r.counted.Swap(0)
	if counted == 0 {
		return nil
	}
	err := r.ledger.Append(ctx, &Entry{Kind: EntryRefusals, Time: now.UTC(), Count: counted}, nil)
	if err != nil {
		r.counted.Add(counted)
	}
	return err
}
