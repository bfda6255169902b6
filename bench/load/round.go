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

// A Round is one measurement of one endpoint. With TLS each request has a new connection, and
// Connections is the number of requests at once.
type Round struct {
	Endpoint    *Endpoint
	Connections int
	Duration    time.Duration
	// Requests are sent in order, each once. The round ends early if they run out.
	Requests [][]byte
	// Repeat starts again with the first request instead.
	Repeat bool
	// Again sends a request again, later, if it was refused with a status that allows a
	// retry: 429 or 503. Its assertion was not consumed.
	Again bool
	// Addresses, if any, are connected to in turn instead of the endpoint's: those of equal servers.
	Addresses []string
	// Sources are the local addresses, used in turn; none means the system's choice.
	Sources []netip.Addr
	// Timeout of one response; 0 means a minute.
	Timeout time.Duration
	// Broken takes connections that end before an answer, or do not come about within Timeout, as
	// answers with status 0 and the reason as their body. Otherwise the first one ends the round.
	Broken bool
}

// An Answer is the result of one request.
type Answer struct {
	// Index of the request.
	Index int
	// Status is 0 if no answer came.
	Status int
	Body   []byte
	// RetryAfter: the response has that header field.
	RetryAfter bool
	// At is when the response was complete, since the beginning of the round.
	At time.Duration
	// Latency counts from the instant at which the request was due, which in a closed round is when
	// it was sent; Served from when it was sent.
	Latency, Served time.Duration
}

// A Result is the result of a round.
type Result struct {
	// Answers, by connection and then in order.
	Answers []Answer
	// Elapsed from the first request to the last answer.
	Elapsed time.Duration
	// Early: the requests ran out before the end of the round.
	Early bool
	// Unsent is the number of requests that were due in an open round but not sent by its end.
	Unsent int
	// CPU time of this process.
	CPU time.Duration
	// Full and Resumed are the numbers of handshakes, of which there is one for each answer over TLS.
	Full, Resumed int
}

// Rate returns the answers per second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(len(r.Answers)) / r.Elapsed.Seconds()
}

// Closed makes each connection send its next request after the last response.
func (r *Round) Closed(ctx context.Context) (*Result, error) {
	requests := newQueue(r)
	return r.run(ctx, requests, func(begin time.Time) *schedule {
		return &schedule{begin: begin, end: begin.Add(r.Duration)}
	})
}

// Open sends at a rate per second. If all connections wait for responses, requests are sent late,
// which counts as latency.
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

// Quiet disables garbage collection, which would count as the server's latency, until restore is
// called. The garbage of a round is bounded.
func Quiet() (restore func()) {
	runtime.GC()
	collect, bound := debug.SetGCPercent(-1), debug.SetMemoryLimit(6<<30)
	return func() {
		debug.SetGCPercent(collect)
		debug.SetMemoryLimit(bound)
	}
}

// run connects, runs all connections by the schedule, and collects the answers.
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
		result.Full += w.full
		result.Resumed += w.resumed
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return result, firstOf(err)
}

// firstOf drops equal errors of other connections.
func firstOf(err error) error {
	var many interface{ Unwrap() []error }
	for errors.As(err, &many) && len(many.Unwrap()) > 0 {
		err = many.Unwrap()[0]
	}
	return err
}

// connect opens every connection before the measurement. With TLS there are none yet, but for the one
// whose ticket begins the resumed ones.
func (r *Round) connect(ctx context.Context) ([]*worker, error) {
	workers := make([]*worker, r.Connections)
	for i := range workers {
		w := &worker{round: r, address: r.Endpoint.Address, reader: newReader(nil)}
		if len(r.Addresses) > 0 {
			w.address = r.Addresses[i%len(r.Addresses)]
		}
		w.dialer.Timeout = w.timeout()
		if len(r.Sources) > 0 {
			w.dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.Sources[i%len(r.Sources)], 0))
		}
		if i > 0 && r.Endpoint.resumed {
			w.ticket = workers[0].ticket
		}
		if err := w.prepare(ctx); err != nil {
			for _, before := range workers[:i] {
				before.close()
			}
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, r.Connections, err)
		}
		workers[i] = w
	}
	return workers, nil
}
