package trial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"moneyer/bench/load"
	"moneyer/bench/subject"
)

const (
	// crowd is the number of connections in the overload test, enough that requests are sent when
	// they are due although others wait for their responses.
	crowd     = 8192
	addresses = 256 // number of local addresses
	excess    = 3   // multiple of the capacity
)

// crowdHere returns crowd, or fewer if this process may not open as many files.
func crowdHere() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return Compared
	}
	return int(min(crowd, limit.Cur/2))
}

// alone starts a server beside those of the trial, measures it, and stops it.
func (t *Trial) alone(ctx context.Context, s subject.Server, do func(*contender) error) (err error) {
	t.Progress.Say("starting %s", s.Name)
	c := &contender{server: s}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := t.raise(ctx, c); err != nil {
		return err
	}
	return do(c)
}

// sources returns local addresses for the callers.
func sources(network byte) []netip.Addr {
	all := make([]netip.Addr, addresses)
	for i := range all {
		all[i] = netip.AddrFrom4([4]byte{127, network, byte(i), 1})
	}
	return all
}

// Overload sends a server, with its default limits, three times the requests of its capacity. Then
// reference, which says for a library how a reference server with a limit is set up, gets the same
// load: see [Trial.beside].
func (t *Trial) Overload(ctx context.Context, s subject.Server, reference Reference, duration time.Duration) (*Overload, error) {
	var o *Overload
	var library subject.Library
	err := t.alone(ctx, s, func(c *contender) (err error) {
		library = c.setup.Signs
		r := newRow(c, &c.setup.Exchanges[0])
		if o, err = t.overload(ctx, r, duration); err != nil {
			return err
		}
		return t.recovery(ctx, r, o)
	})
	if err != nil {
		return nil, err
	}
	if err := t.beside(ctx, o, library, reference, duration); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		t.Fail("a reference under the same load: %v", err)
	}
	return o, nil
}

// capacity returns the rate that a row grants to the number of connections by which servers are
// compared, and the processor time for each in microseconds. Requests refused by limits are sent again.
func (t *Trial) capacity(ctx context.Context, r *row) (granted, cpu float64, err error) {
	for n := 500; ; n = int(granted*max(t.Duration, time.Second).Seconds()) + 1 {
		requests, err := r.requests(ctx, n)
		if err != nil {
			return 0, 0, err
		}
		round := &load.Round{Endpoint: r.endpoint, Connections: Compared, Duration: time.Minute, Requests: requests, Again: true}
		result, took, err := t.attend(r, func() (*load.Result, error) {
			defer load.Quiet()()
			return round.Closed(ctx)
		})
		if err != nil {
			return 0, 0, err
		}
		sorted := sortAnswers(result.Answers)
		if err := r.judge.Round(ctx, sorted.granted); err != nil {
			return 0, 0, err
		}
		warm := granted > 0
		granted = float64(len(sorted.granted)) / result.Elapsed.Seconds()
		if warm {
			return granted, microseconds(took) / float64(len(sorted.granted)), nil
		}
	}
}

func (t *Trial) overload(ctx context.Context, r *row, duration time.Duration) (*Overload, error) {
	capacity, cpu, err := t.capacity(ctx, r)
	if err != nil {
		return nil, err
	}
	due := excess * capacity
	t.Progress.Say("preparing %v at %.0f requests/s, %d times the capacity", duration, due, excess)
	connections := crowdHere()
	result, sorted, err := t.flood(ctx, r, connections, capacity, due, duration)
	if err != nil {
		return nil, err
	}
	seconds := result.Elapsed.Seconds()
	return &Overload{
		Kind: string(r.exchange.Kind), Connection: r.exchange.TLS.Kind(), Connections: connections, Seconds: seconds, Capacity: capacity, TokenCPU: cpu,
		Asked: float64(len(result.Answers)) / seconds, Due: due,
		Broken: float64(len(sorted.broken)) / seconds, FirstBroken: sorted.firstBroken(),
		Goodput: float64(len(sorted.granted)) / seconds, Refused: float64(len(sorted.refused)) / seconds,
		RetryAfter: sorted.retryAfter(), Other: len(sorted.other), FirstOther: sorted.firstOther(),
		P99: served(sorted.granted, 0.99), P99Refused: served(sorted.refused, 0.99), Busy: result.CPU.Seconds() / seconds,
	}, nil
}

// flood sends requests at a rate, with connections from many addresses, to a server that grants about
// as many as its capacity, and checks those that are granted.
func (t *Trial) flood(ctx context.Context, r *row, connections int, capacity, rate float64, duration time.Duration) (*load.Result, sorted, error) {
	requests, err := r.requests(ctx, int(1.3*capacity*duration.Seconds())+2*connections)
	if err != nil {
		return nil, sorted{}, err
	}
	round := &load.Round{Endpoint: r.endpoint, Connections: connections, Duration: duration, Requests: requests, Again: true, Sources: sources(1)}
	if r.exchange.TLS != nil {
		// A server may refuse a new connection without an answer.
		round.Broken, round.Timeout = true, 10*time.Second
	}
	result, err := open(ctx, round, rate)
	if err != nil {
		return nil, sorted{}, err
	}
	if result.Early && result.Elapsed < duration/2 {
		return nil, sorted{}, fmt.Errorf("requests ran out after %v: the capacity was found too low", result.Elapsed.Round(time.Millisecond))
	}
	s := sortAnswers(result.Answers)
	return result, s, r.judge.Round(ctx, s.granted)
}

// recovery requests half of the capacity some time later.
func (t *Trial) recovery(ctx context.Context, r *row, o *Overload) error {
	if err := settle(ctx, 5*time.Second); err != nil {
		return err
	}
	duration := max(t.Duration, 2*time.Second)
	requests, err := r.requests(ctx, int(o.Capacity/2*duration.Seconds())+1)
	if err != nil {
		return err
	}
	round := &load.Round{Endpoint: r.endpoint, Connections: Compared, Duration: duration, Requests: requests, Sources: sources(1)}
	result, err := open(ctx, round, o.Capacity/2)
	if err != nil {
		return err
	}
	granted := sortAnswers(result.Answers).granted
	o.After = share(granted, result)
	o.P99After = microseconds(load.Quantile(load.Latencies(granted), 0.99)) / 1000
	return nil
}

// Noisy makes one client request twice the capacity while all others request a quarter of it. The
// server's first exchange is that of the noisy client, the second that of the others.
func (t *Trial) Noisy(ctx context.Context, s subject.Server, clients int, limit float64, duration time.Duration) (*Noisy, error) {
	n := &Noisy{Clients: clients, Limit: limit}
	return only(n, t.alone(ctx, s, func(c *contender) error {
		if len(c.setup.Exchanges) < 2 {
			return fmt.Errorf("%s has no exchange of other clients", s.Name)
		}
		noisy, others := newRow(c, &c.setup.Exchanges[0]), newRow(c, &c.setup.Exchanges[1])
		capacity, _, err := t.capacity(ctx, others)
		if err != nil {
			return err
		}
		return t.noise(ctx, n, noisy, others, capacity, duration)
	}))
}

// only returns found if err is nil.
func only[T any](found *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return found, nil
}

// The connections of the noisy client, and of each other one.
const (
	noisyConnections  = 256
	othersConnections = 4
)

func (t *Trial) noise(ctx context.Context, n *Noisy, noisy, others *row, capacity float64, duration time.Duration) error {
	n.Asked, n.Others = 2*capacity, capacity/4
	loud, err := noisy.requests(ctx, int(2*n.Limit*(duration.Seconds()+2))+noisyConnections)
	if err != nil {
		return err
	}
	calm, err := others.requests(ctx, int(n.Others*duration.Seconds())+1)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	var loudResult *load.Result
	go func() {
		round := &load.Round{Endpoint: noisy.endpoint, Connections: noisyConnections, Duration: duration, Requests: loud, Again: true, Sources: sources(2)}
		var err error
		loudResult, err = round.Open(ctx, n.Asked)
		done <- err
	}()
	round := &load.Round{Endpoint: others.endpoint, Connections: othersConnections * n.Clients, Duration: duration, Requests: calm, Sources: sources(3)}
	result, err := open(ctx, round, n.Others)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	calmly := sortAnswers(result.Answers)
	granted, got := calmly.granted, sortAnswers(loudResult.Answers).granted
	due := float64(len(result.Answers) + result.Unsent)
	n.OthersRefused, n.OthersUnsent = float64(len(calmly.refused))/due, float64(result.Unsent)/due
	if err := errors.Join(others.judge.Round(ctx, granted), noisy.judge.Round(ctx, got)); err != nil {
		return err
	}
	n.Got = float64(len(got)) / loudResult.Elapsed.Seconds()
	n.Sent = float64(len(loudResult.Answers)) / loudResult.Elapsed.Seconds()
	n.OthersGot = share(granted, result)
	n.OthersP99 = microseconds(load.Quantile(load.Latencies(granted), 0.99)) / 1000
	return nil
}

// share returns the granted share of the requests that were due.
func share(granted []load.Answer, result *load.Result) float64 {
	return float64(len(granted)) / float64(len(result.Answers)+result.Unsent)
}

// sorted holds answers by their outcome.
type sorted struct{ granted, refused, broken, other []load.Answer }

func sortAnswers(answers []load.Answer) (s sorted) {
	for _, a := range answers {
		switch a.Status {
		case http.StatusOK:
			s.granted = append(s.granted, a)
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			s.refused = append(s.refused, a)
		case 0:
			s.broken = append(s.broken, a)
		default:
			s.other = append(s.other, a)
		}
	}
	return s
}

// retryAfter returns the share of the refusals with Retry-After.
func (s *sorted) retryAfter() float64 {
	if len(s.refused) == 0 {
		return 0
	}
	count := 0
	for _, a := range s.refused {
		if a.RetryAfter {
			count++
		}
	}
	return float64(count) / float64(len(s.refused))
}

func (s *sorted) firstOther() string {
	if len(s.other) == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", s.other[0].Status, s.other[0].Body)
}

func (s *sorted) firstBroken() string {
	if len(s.broken) == 0 {
		return ""
	}
	return string(s.broken[0].Body)
}

// served returns a quantile of the latency since sending, in milliseconds.
func served(answers []load.Answer, q float64) float64 {
	times := make([]load.Answer, len(answers))
	copy(times, answers)
	for i := range times {
		times[i].Latency = times[i].Served
	}
	return microseconds(load.Quantile(load.Latencies(times), q)) / 1000
}
