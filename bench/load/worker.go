package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/bench/tls13"
)

// worker is one connection and its answers.
type worker struct {
	round   *Round
	address string // to connect to
	dialer  net.Dialer
	// stopped is set when the round is interrupted.
	stopped atomic.Bool

	mu   sync.Mutex // guards changes of conn, which only the worker's goroutine makes
	conn net.Conn   // nil between connections

	// Owned by the worker's goroutine.
	stream  io.ReadWriter // conn, or TLS on it
	secure  *tls13.Conn   // nil without TLS
	ticket  *tls13.Ticket // for the next connection that is resumed
	full    int           // number of handshakes
	resumed int
	reader  *reader
	answers []Answer
	arena   []byte // memory for bodies
	last    time.Duration
	err     error
}

// prepare does what comes before the measurement.
func (w *worker) prepare(ctx context.Context) error {
	if w.round.Endpoint.tls == nil {
		return w.dial(ctx)
	}
	if !w.round.Endpoint.resumed || w.ticket != nil {
		return nil
	}
	defer w.close()
	if err := w.dialTCP(ctx); err != nil {
		return err
	}
	var err error
	if w.secure, err = w.round.Endpoint.tls.Connect(w.conn, nil); err != nil {
		return err
	}
	w.ticket, err = w.secure.AwaitTicket()
	return err
}

func (w *worker) dialTCP(ctx context.Context) error {
	conn, err := w.dialer.DialContext(ctx, "tcp", w.address)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn, w.stream = conn, conn
	patience := w.timeout()
	if w.round.Endpoint.tls == nil {
		patience += w.round.Duration
	}
	return conn.SetDeadline(time.Now().Add(patience))
}

// dial opens a connection, with TLS if the endpoint has it.
func (w *worker) dial(ctx context.Context) error {
	if err := w.dialTCP(ctx); err != nil {
		return err
	}
	if w.round.Endpoint.tls != nil {
		if err := w.handshake(); err != nil {
			return err
		}
	}
	w.reader.reset(w.stream)
	return nil
}

var (
	errNotResumed = errors.New("the server did not resume the session by its ticket: it made a full handshake")
	errResumed    = errors.New("the server resumed a session, where a full handshake was to be measured")
)

// handshake makes the handshake that the endpoint wants, and no other one.
func (w *worker) handshake() error {
	e := w.round.Endpoint
	secure, err := e.tls.Connect(w.conn, w.ticket)
	if err != nil {
		return err
	}
	w.secure, w.stream = secure, secure
	switch {
	case e.resumed && !secure.Resumed():
		return errNotResumed
	case !e.resumed && secure.Resumed():
		return errResumed
	case e.resumed:
		w.resumed++
	default:
		w.full++
	}
	return nil
}

func (w *worker) timeout() time.Duration {
	if w.round.Timeout > 0 {
		return w.round.Timeout
	}
	return time.Minute
}

func (w *worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.secure != nil {
		_ = w.secure.Close()
	} else if w.conn != nil {
		_ = w.conn.Close()
	}
	w.conn, w.secure = nil, nil
}

// interrupt stops the worker from another goroutine, even while it waits for a response.
func (w *worker) interrupt() {
	w.stopped.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.SetDeadline(time.Now())
	}
}

// work sends due requests until the schedule or the requests end.
func (w *worker) work(pacing *schedule, requests *queue) {
	defer w.close()
	for !w.stopped.Load() {
		due, more := pacing.next()
		if !more {
			return
		}
		index, request := requests.take()
		if request == nil {
			pacing.stop()
			return
		}
		retryable, err := w.exchange(pacing.begin, due, index, request)
		if err != nil && w.round.Broken && !w.stopped.Load() {
			w.close()
			w.answers = append(w.answers, Answer{Index: index, Body: []byte(err.Error()), At: time.Since(pacing.begin), Latency: time.Since(due)})
			err = nil
		}
		if err != nil {
			w.err = fmt.Errorf("request %d: %w", index, err)
			pacing.stop()
			return
		}
		if retryable && w.round.Again {
			requests.putBack(index)
		}
	}
}

// exchange sends one request and stores its answer. A request that was not sent may be sent again,
// also after an error.
func (w *worker) exchange(begin, due time.Time, index int, request []byte) (retryable bool, err error) {
	sent := time.Now()
	if w.conn == nil {
		if err := w.dial(context.Background()); err != nil {
			return true, err
		}
	}
	if _, err := w.stream.Write(request); err != nil {
		return false, err
	}
	answer, err := w.reader.response()
	if err != nil {
		return false, err
	}
	now := time.Now()
	w.last = now.Sub(begin)
	w.answers = append(w.answers, Answer{Index: index, Status: answer.status, Body: w.keep(answer.body), RetryAfter: answer.retryAfter,
		At: w.last, Latency: now.Sub(due), Served: now.Sub(sent)})
	if w.secure != nil && w.round.Endpoint.resumed {
		w.ticket = cmp.Or(w.secure.Ticket(), w.ticket)
	}
	if answer.last || w.secure != nil {
		w.close()
	}
	return answer.status == 429 || answer.status == 503, nil
}

// arenas is about how much memory all connections together reserve for bodies.
const arenas = 64 << 20

// keep copies a body to permanent memory.
func (w *worker) keep(body []byte) []byte {
	if cap(w.arena)-len(w.arena) < len(body) {
		size := min(max(arenas/w.round.Connections, 4<<10), 256<<10)
		w.arena = make([]byte, 0, max(size, len(body)))
	}
	begin := len(w.arena)
	w.arena = append(w.arena, body...)
	return w.arena[begin:len(w.arena):len(w.arena)]
}
