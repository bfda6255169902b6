package authority

import (
	"context"
	"errors"
	"sync"
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

// refuse names the client in the refusal and records it. The refusal stands
// even when the ledger is down: nothing is handed out, so nothing can be lost.
func (a *Authority) refuse(ctx context.Context, issuer *Issuer, req *Request, c *caller, now time.Time, err error) error {
	e := oauth.AsError(err)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		refusal.Client = c.name()
	}
	if c.name() == "" || e.Code == oauth.TemporarilyUnavailable || e.Code == oauth.ServerError {
		return e
	}
	entry := &Entry{Kind: EntryRefusal, Time: now.UTC(), Issuer: issuer.Name, Client: c.name(), Correlation: req.Correlation,
		Credential: c.credential, Code: string(e.Code)}
	if refusal != nil {
		entry.Rule, entry.Expected, entry.Found = refusal.Rule, refusal.Expected, refusal.Found
	}
	if recordErr := a.Refusals.record(ctx, entry); recordErr != nil {
		return unavailable(errors.Join(err, recordErr))
	}
	return e
}

// Refusals writes refusals of known clients to the ledger, each by itself up to
// a rate. Beyond it they are counted, and Flush, called every second, writes one
// entry that tells how many: a flood neither fills the disk nor slows minting.
type Refusals struct {
	ledger Ledger
	rate   *limit.Limiter[struct{}]

	mu      sync.Mutex
	counted int64
}

// NewRefusals makes the recorder.
func NewRefusals(ledger Ledger, rate limit.Rate) *Refusals {
	return &Refusals{ledger: ledger, rate: limit.New[struct{}](rate, 1)}
}

func (r *Refusals) record(ctx context.Context, entry *Entry) error {
	if _, ok := r.rate.Take(struct{}{}, entry.Time); ok {
		return r.ledger.Append(ctx, entry, nil)
	}
	r.mu.Lock()
	r.counted++
	r.mu.Unlock()
	return nil
}

// Flush writes what was counted since the last call; nothing when that is
// nothing. What cannot be written stays counted.
func (r *Refusals) Flush(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	count := r.counted
	r.counted = 0
	r.mu.Unlock()
	if count == 0 {
		return nil
	}
	err := r.ledger.Append(ctx, &Entry{Kind: EntryRefusals, Time: now.UTC(), Count: count}, nil)
	if err != nil {
		r.mu.Lock()
		r.counted += count
		r.mu.Unlock()
	}
	return err
}
