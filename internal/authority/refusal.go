package authority

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// recordTimeout bounds how long a refusal waits for its record, as the end of the
// request's deadline does. A caller that hangs up does not prevent the record.
const recordTimeout = 2 * time.Second

// refuse names the client in the refusal and has it recorded. The refusal stands
// also when the ledger is unavailable: no token is returned.
func (a *Authority) refuse(ctx context.Context, t *attempt, err error) error {
	e := oauth.AsError(err)
	var refusal *evidence.Refusal
	if errors.As(err, &refusal) {
		refusal.Client, refusal.Subject, refusal.Proven = t.clientName(), t.subject, t.proven && refusal.Rule != evidence.OneUse
	}
	if e.Code == oauth.TemporarilyUnavailable || e.Code == oauth.ServerError {
		return e
	}
	entry := &ledger.Entry{Kind: ledger.KindRefusal, Time: t.now.UTC(), Issuer: t.issuer.Name, Client: t.clientName(),
		Correlation: t.req.Correlation, Credential: recorded(t.credentials), Subject: t.subject, Code: string(e.Code)}
	proven := ""
	if refusal != nil {
		entry.Rule, entry.Expected, entry.Found = refusal.Rule, refusal.Expected, refusal.Found
		proven = refusal.ProvenClient()
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if end, ok := ctx.Deadline(); ok {
		recording, cancel = context.WithDeadline(recording, end)
		defer cancel()
	}
	a.Refusals.record(recording, entry, proven, t.req.Address)
	return e
}

// Refusals writes refusals to the ledger. Within the budgets of overload.Refusals each has
// an entry of its own, durable before the caller is answered. Those beyond are counted,
// and Flush, called every few seconds, writes one entry for each issuer with the count: a
// flood neither fills the disk nor slows minting.
//
// Which of both it is decides whether the answer waits for a commit. Of a caller that
// proved nothing it depends on the issuer and the caller's address alone, and not on what
// the request names: the time of an answer must not show that a client exists.
type Refusals struct {
	ledger  Ledger
	budgets *overload.Refusals
}

// NewRefusals makes the recorder, with the rate of each budget.
func NewRefusals(ledger Ledger, rate overload.Rate) *Refusals {
	return &Refusals{ledger: ledger, budgets: overload.NewRefusals(rate)}
}

// record writes the entry or counts it. proven is the client that the caller proved to
// be, and "" for none.
func (r *Refusals) record(ctx context.Context, entry *ledger.Entry, proven string, address netip.Addr) {
	if !r.budgets.Take(entry.Issuer, proven, address, entry.Time) {
		return
	}
	if r.ledger.Append(ctx, entry) != nil {
		r.budgets.Count(entry.Issuer, 1)
	}
}

// Flush writes how many refusals of each issuer were counted since the last call, if any.
// What cannot be written stays counted.
func (r *Refusals) Flush(ctx context.Context, now time.Time) error {
	var errs []error
	r.budgets.EachCounted(func(issuer string, n int64) {
		err := r.ledger.Append(ctx, &ledger.Entry{Kind: ledger.KindRefusals, Time: now.UTC(), Issuer: issuer, Count: n})
		if err != nil {
			r.budgets.Count(issuer, n)
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}
