package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"moneyer/internal/overload"
)

// lineBudget is a slog.Handler that bounds the lines of each message, so that nothing
// that callers cause fills the log's disk. The next line that is written says how many
// were left out before it. Messages must be constant texts.
//
// It does not know addresses: refusals have budgets of their own (server.RefusalLog) and
// do not pass through it.
type lineBudget struct {
	slog.Handler
	*budgetOfLines
}

// budgetOfLines is shared by the handlers that are derived from one.
type budgetOfLines struct {
	now     func() time.Time
	limiter *overload.Limiter[string] // by message
	mu      sync.Mutex
	leftOut map[string]int64 // by message; under mu
}

func newLineBudget(h slog.Handler, rate overload.Rate, now func() time.Time) lineBudget {
	const messages = 1 << 10
	return lineBudget{h, &budgetOfLines{now: now, limiter: overload.NewLimiter[string](rate, messages), leftOut: map[string]int64{}}}
}

// Handle implements slog.Handler.
func (b lineBudget) Handle(ctx context.Context, r slog.Record) error {
	_, ok := b.limiter.Take(r.Message, b.now())
	b.mu.Lock()
	n := b.leftOut[r.Message]
	if ok {
		delete(b.leftOut, r.Message)
	} else {
		b.leftOut[r.Message] = n + 1
	}
	b.mu.Unlock()
	if !ok {
		return nil
	}
	if n > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int64("left_out", n))
	}
	return b.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (b lineBudget) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineBudget{b.Handler.WithAttrs(attrs), b.budgetOfLines}
}

// WithGroup implements slog.Handler.
func (b lineBudget) WithGroup(name string) slog.Handler {
	return lineBudget{b.Handler.WithGroup(name), b.budgetOfLines}
}
