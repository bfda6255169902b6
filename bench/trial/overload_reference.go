package trial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

// A Reference sets up a reference server that does the work of the server under overload, at most so
// often a second, and answers the rest with an empty 503.
type Reference func(library subject.Library, perSecond int) (subject.Server, error)

// besideTime is the longest that the reference gets the load.
const besideTime = 20 * time.Second

// beside measures what the refusals of an overload would leave of the capacity if each of them were the
// answer of an empty handler. The processor time of such an answer is measured, with the same kind of
// connection: as many tokens are lost as would have taken that time. A reference that grants what is
// left, and answers the rest so, gets the same load.
func (t *Trial) beside(ctx context.Context, o *Overload, library subject.Library, reference Reference, duration time.Duration) error {
	if reference == nil {
		return nil
	}
	if err := t.refusal(ctx, o, library, reference); err != nil {
		return fmt.Errorf("what an empty handler's answer costs: %w", err)
	}
	o.Left = max(0, o.Capacity-o.Refused*o.EmptyCPU/o.TokenCPU)
	if o.Left < 1 {
		return nil
	}
	s, err := reference(library, int(o.Left))
	if err != nil {
		return err
	}
	return t.alone(ctx, s, func(c *contender) error {
		r := newRow(c, &c.setup.Exchanges[0])
		result, sorted, err := t.flood(ctx, r, o.Connections, o.Left, o.Due, min(duration, besideTime))
		if err != nil {
			return err
		}
		seconds := result.Elapsed.Seconds()
		o.Beside = &OverloadReference{Server: s.Name, Asked: float64(len(result.Answers)) / seconds, Goodput: float64(len(sorted.granted)) / seconds,
			Refused: float64(len(sorted.refused)) / seconds, Broken: float64(len(sorted.broken)) / seconds, P99: served(sorted.granted, 0.99)}
		return nil
	})
}

// refusal measures the processor time of an empty 503.
func (t *Trial) refusal(ctx context.Context, o *Overload, library subject.Library, reference Reference) error {
	s, err := reference(library, 0)
	if err != nil {
		return err
	}
	return t.alone(ctx, s, func(c *contender) error {
		r := newRow(c, &c.setup.Exchanges[0])
		for _, duration := range []time.Duration{100 * time.Millisecond, max(t.Duration, time.Second)} { // the first one warms up
			if o.EmptyCPU, err = t.refuse(ctx, r, duration); err != nil {
				return err
			}
		}
		return nil
	})
}

// refuse returns the processor time of each answer of a server that refuses everything, in
// microseconds.
func (t *Trial) refuse(ctx context.Context, r *row, duration time.Duration) (float64, error) {
	requests, err := r.requests(ctx, Compared)
	if err != nil {
		return 0, err
	}
	round := &load.Round{Endpoint: r.endpoint, Connections: Compared, Duration: duration, Requests: requests, Repeat: true}
	result, cpu, err := t.attend(r, func() (*load.Result, error) {
		defer load.Quiet()()
		return round.Closed(ctx)
	})
	if err != nil {
		return 0, err
	}
	for _, a := range result.Answers {
		if a.Status != http.StatusServiceUnavailable {
			return 0, fmt.Errorf("the reference answers %d, and grants what it should refuse", a.Status)
		}
	}
	if len(result.Answers) == 0 {
		return 0, errors.New("not one answer")
	}
	return microseconds(cpu) / float64(len(result.Answers)), nil
}
