package daemon

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// trialInterval is how often the store is tried.
	trialInterval = 250 * time.Millisecond
	// trialTime bounds one trial.
	trialTime = time.Second
	// maxTrialAge is how long an outcome is believed: a store that keeps a trial waiting for
	// longer is not healthy.
	maxTrialAge = 3 * time.Second
)

// health is the outcome of the last trial of the store. /readyz and the metrics are answered from
// it, so that no number of callers reaches the store.
type health struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

// get returns why the store takes no writes, or nil.
func (h *health) get(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil && now.Sub(h.at) > maxTrialAge {
		return errors.New("the store has not answered a trial for " + now.Sub(h.at).Round(time.Second).String())
	}
	return h.err
}

func (h *health) set(err error, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err, h.at = err, at
}

// try tries the store once.
func (s *state) try(ctx context.Context, ping func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	if err := ping(bounded); ctx.Err() == nil {
		s.health.set(err, s.now())
	}
}
