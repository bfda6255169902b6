package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// A Round is one measurement of one endpoint.
type Round struct {
	Endpoint    *Endpoint
	Connections int
	Duration    time.Duration
	// Requests are sent in order, each once. When they run out the round ends early.
	Requests [][]byte
	// Repeat lets the requests be sent again and again instead.
	Repeat bool
	// Again lets a request be sent once more, later, when it was refused with a
	// status that is worth a retry: 429 or 503. What it asks for was not used up.
	Again bool
	// Sources are the addresses to connect from, in turn; none means the system's choice.
	Sources []netip.Addr
	// Timeout of one answer; 0 means a minute.
	Timeout time.Duration
}

// An Answer is what came of one request.
type Answer struct {
	// Index of the request.
	Index  int
	Status int
	Body   []byte
	// RetryAfter tells whether the answer has that field.
	RetryAfter bool
	// At is when the answer was there, since the round began.
	At time.Duration
	// Latency from the instant at which the request was due, which in a closed
	// round is when it was sent; Served from when it was sent.
	Latency, Served time.Duration
}

// A Result is what a round found.
type Result struct {
	// Answers, by connection and then in order.
	Answers []Answer
	// Elapsed from the first request to the last answer.
	Elapsed time.Duration
	// Early tells that the requests ran out before the time was up.
	Early bool
	// Unsent counts the requests that were due in an open round and not sent when it ended.
	Unsent int
	// CPU that this process took.
	CPU time.Duration
}

// Rate is the answers per second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(len(r.Answers)) / r.Elapsed.Seconds()
}

// Closed lets each connection send its next request when the last was answered.
func (r *Round) Closed(ctx context.Context) (*Result, error) {
	requests := newQueue(r)
	return r.run(ctx, requests, func(begin time.Time) *schedule {
		return &schedule{begin: begin, end: begin.Add(r.Duration)}
	})
}

// Open sends at a rate per second. Connections that all wait for answers make
// requests late, which counts as latency.
func (r *Round) Open(ctx context.Context, rate float64) (*Result, error) {
	if rate <= 0 {
		return nil, fmt.Errorf("a rate of %v per second", rate)
	}
	var pacing *schedule
	result, err := r.run(ctx, newQueue(r), func(begin time.Time) *schedule {
		pacing = newPacing(begin, r.Duration, rate, r.Connections)
		return pacing
	})
	if err != nil {
		return nil, err
	}
	result.Unsent = pacing.unsent()
	return result, nil
}

// Quiet puts off the collection of garbage, which would count as the server's
// latency, until restore is called. What rounds make meanwhile is bounded.
func Quiet() (restore func()) {
	runtime.GC()
	collect, bound := debug.SetGCPercent(-1), debug.SetMemoryLimit(6<<30)
	return func() {
		debug.SetGCPercent(collect)
		debug.SetMemoryLimit(bound)
	}
}

// run connects, lets every connection work by the schedule, and gathers the answers.
func (r *Round) run(ctx context.Context, requests *queue, plan func(begin time.Time) *schedule) (*Result, error) {
	workers, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	cpu, begin := processorTime(), time.Now()
	pacing := plan(begin)
	stop := context.AfterFunc(ctx, func() {
		for _, w := range workers {
			w.interrupt()
		}
	})
	defer stop()
	var running sync.WaitGroup
	for _, w := range workers {
		running.Go(func() { w.work(pacing, requests) })
	}
	running.Wait()
	result := &Result{Early: requests.ranOut(), CPU: processorTime() - cpu}
	for _, w := range workers {
		err = errors.Join(err, w.err)
		result.Answers = append(result.Answers, w.answers...)
		result.Elapsed = max(result.Elapsed, w.last)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return result, firstOf(err)
}

// firstOf leaves out the same trouble of the other connections.
func firstOf(err error) error {
	var many interface{ Unwrap() []error }
	for errors.As(err, &many) && len(many.Unwrap()) > 0 {
		err = many.Unwrap()[0]
	}
	return err
}

// connect makes every connection before the clock runs.
func (r *Round) connect(ctx context.Context) ([]*worker, error) {
	workers := make([]*worker, r.Connections)
	for i := range workers {
		w := &worker{round: r}
		if len(r.Sources) > 0 {
			w.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.Sources[i%len(r.Sources)], 0))
		}
		if err := w.dial(ctx); err != nil {
			for _, before := range workers[:i] {
				before.close()
			}
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, r.Connections, err)
		}
		workers[i] = w
	}
	return workers, nil
}
