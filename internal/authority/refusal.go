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

// refuse names the client in the refusal and has it recorded.
func (a *Authority) refuse(issuer *Issuer, req *Request, c *caller, now time.Time, err error) error {
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
	a.Refusals.record(entry)
	return e
}

// Refusals writes refusals of known clients to the ledger, each by itself up to
// a rate; beyond it they are counted, so that a flood neither fills the disk nor
// slows minting. Flush, called every second, does the writing. The refused never
// wait for the ledger: an answer that takes as long as a commit would tell a
// stranger that the client it named exists. Nothing was handed out, so a crash
// loses no more than a second of refusals.
type Refusals struct {
	ledger Ledger
	rate   *limit.Limiter[struct{}]

	mu      sync.Mutex
	waiting []*Entry // at most maxWaiting
	counted int64
}

// maxWaiting bounds the refusals that wait for Flush one by one.
const maxWaiting = 256

// NewRefusals makes the recorder.
func NewRefusals(ledger Ledger, rate limit.Rate) *Refusals {
	return &Refusals{ledger: ledger, rate: limit.New[struct{}](rate, 1)}
}

func (r *Refusals) record(entry *Entry) {
	_, ok := r.rate.Take(struct{}{}, entry.Time)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok && len(r.waiting) < maxWaiting {
		r.waiting = append(r.waiting, entry)
	} else {
		r.counted++
	}
}

// Flush writes what was refused since the last call: each entry that waits, and
// one that tells how many were counted. What cannot be written stays counted.
func (r *Refusals) Flush(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	waiting, counted := r.waiting, r.counted
	r.waiting, r.counted = nil, 0
	r.mu.Unlock()
	err := r.write(ctx, waiting, &counted)
	if counted > 0 {
		countErr := r.ledger.Append(ctx, &Entry{Kind: EntryRefusals, Time: now.UTC(), Count: counted}, nil)
		if countErr != nil {
			r.mu.Lock()
			r.counted += counted
			r.mu.Unlock()
		}
		err = errors.Join(err, countErr)
	}
	return err
}

// write appends the entries at once, so that they share a commit, and counts
// those that failed.
func (r *Refusals) write(ctx context.Context, entries []*Entry, failed *int64) error {
	errs := make([]error, len(entries))
	var wg sync.WaitGroup
	for i, entry := range entries {
		wg.Go(func() { errs[i] = r.ledger.Append(ctx, entry, nil) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			*failed++
		}
	}
	return errors.Join(errs...)
}
