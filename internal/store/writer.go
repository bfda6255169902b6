package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

const (
	// maxBatch bounds the appends of one transaction.
	maxBatch = 1024
	// maxGather bounds how long a batch waits for what is about to come: while more requests come
	// than can be answered, something always is, and the whole batch would wait for it.
	maxGather = 4 * time.Millisecond
	// idleYield is longer than a yield takes while nothing else is ready to run.
	idleYield = 30 * time.Microsecond
	// maxLinger bounds how long a batch waits for the callers that were answered last.
	maxLinger = 10 * time.Millisecond
)

// writer is the only goroutine that uses the write connection, so transactions of this
// process do not wait for each other, and the chain has one end.
type writer struct {
	now     func() time.Time
	appends chan *engine.Append
	changes chan *changing
	quit    chan struct{} // closed by stop
	stopped chan struct{} // closed when the goroutine has ended
	// seen is the newest revision of the registry that this process knows.
	seen atomic.Int64
	// committed is the time of the last successful transaction; nil after a failed one.
	// failed is the error of the last append, if none and no other transaction has
	// succeeded since.
	committed atomic.Pointer[time.Time]
	failed    atomic.Pointer[error]
	// coming is the number of appends that are announced but not queued yet.
	coming atomic.Int64
	// changed is called with the possible changes of a transaction before its callers are
	// answered.
	changed func([]engine.Change)

	// Owned by the goroutine.
	timer   *time.Timer
	session engine.Session
	batch   []*engine.Append
	packer  *history.Packer
	rows    *rowauth.Key
	// remote reports whether a commit waits for other machines; took is the duration of
	// the last batch, and expected the number of appends that it answered or left queued.
	remote    bool
	took      time.Duration
	maxLinger time.Duration
	expected  int
}

// changing is a queued transaction other than an append.
type changing struct {
	change func(*tx) error
	gone   <-chan struct{}
	done   chan error // has room for one answer
}

func newWriter(session engine.Session, remote bool, options Options, packer *history.Packer, changed func([]engine.Change)) *writer {
	w := &writer{
		now:       options.Now,
		appends:   make(chan *engine.Append, options.Queue),
		changes:   make(chan *changing),
		quit:      make(chan struct{}),
		stopped:   make(chan struct{}),
		session:   session,
		remote:    remote,
		maxLinger: maxLinger,
		changed:   changed,
		packer:    packer,
		rows:      options.RowKey,
		timer:     time.NewTimer(0),
	}
	go w.run()
	return w
}

// stop commits the queued appends and returns when the writer has ended.
func (w *writer) stop() {
	close(w.quit)
	<-w.stopped
}

// append queues an entry and waits for its commit. It returns nil, a *ledger.ReplayedError,
// ErrBusy or ErrClosed (nothing was recorded), ctx.Err() or the error of the commit (the
// outcome is unknown).
func (w *writer) append(ctx context.Context, l engine.Line, consumed []ledger.Consumed) error {
	a := &engine.Append{Line: l, Consumed: consumed, Gone: ctx.Done(), Done: make(chan error, 1)}
	select {
	case <-w.quit:
		return ErrClosed
	default:
	}
	select {
	case w.appends <- a:
	default:
		return ErrBusy
	}
	return w.wait(ctx, a.Done)
}

// do runs change in a transaction of its own and waits for its commit. If change fails,
// nothing is written and do returns its error.
func (w *writer) do(ctx context.Context, change func(*tx) error) error {
	c := &changing{change: change, gone: ctx.Done(), done: make(chan error, 1)}
	select {
	case w.changes <- c:
		return w.wait(ctx, c.done)
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		return ErrClosed
	}
}

// attempt runs change like do, and returns the outcome of its last attempt, of which none
// begins after limit.
func (w *writer) attempt(limit time.Duration, change func(*tx) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := &changing{change: change, gone: ctx.Done(), done: make(chan error, 1)}
	select {
	case w.changes <- c:
		return w.wait(context.Background(), c.done)
	case <-w.stopped:
		return ErrClosed
	}
}

// Change implements engine.Writer.
func (w *writer) Change(ctx context.Context, change func(engine.Exec) error) error {
	return w.do(ctx, func(t *tx) error { return change(t.Exec) })
}

func (w *writer) wait(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
	}
	select {
	case err := <-done:
		return err
	default:
		return ErrClosed
	}
}

func (w *writer) run() {
	defer close(w.stopped)
	defer w.session.Leave()
	for {
		select {
		case a := <-w.appends:
			w.commit(w.gather(a))
		case c := <-w.changes:
			c.done <- w.runChange(c)
		case <-w.quit:
			w.drain()
			return
		}
	}
}

// runChange runs a change. It commits queued appends between the attempts to lock the
// registry, while another process has it locked.
func (w *writer) runChange(c *changing) error {
	for try := 0; ; try++ {
		err := w.transact(func() *tx { return &tx{} }, c.change, func() bool { return waits(c.gone) })
		if !errors.Is(err, engine.ErrContended) || !w.rest(try) || !waits(c.gone) {
			return err
		}
		select {
		case a := <-w.appends:
			w.commit(w.gather(a))
		default:
		}
	}
}

// drain commits the appends that were queued before the writer was stopped.
func (w *writer) drain() {
	for {
		select {
		case a := <-w.appends:
			w.commit(w.gather(a))
		default:
			return
		}
	}
}

// gather returns a batch of first and the queued appends, without those whose callers have
// gone. It yields until nothing else is ready to run, so that requests join the batch that have all
// they need, and waits for those that are announced; for at most maxGather in all.
func (w *writer) gather(first *engine.Append) []*engine.Append {
	w.batch = join(w.batch[:0], first)
	began := w.now()
	at := began
	for busy := true; busy && len(w.batch) < maxBatch && at.Sub(began) < maxGather; {
		runtime.Gosched()
		yielded := at
		at = w.now()
		busy = w.take() || at.Sub(yielded) > idleYield
	}
	w.await(maxGather-at.Sub(began), func() bool { return w.coming.Load() <= 0 })
	w.linger()
	return w.batch
}

// await extends the batch until there is enough, for no longer than limit.
func (w *writer) await(limit time.Duration, enough func() bool) {
	if limit <= 0 || enough() {
		return
	}
	w.timer.Reset(limit)
	for len(w.batch) < maxBatch && !enough() {
		select {
		case a := <-w.appends:
			w.batch = join(w.batch, a)
		case <-w.timer.C:
			return
		case <-w.quit:
			return
		}
	}
}

// take adds the queued appends to the batch, and reports whether there were any.
func (w *writer) take() (some bool) {
	for len(w.batch) < maxBatch {
		select {
		case a := <-w.appends:
			w.batch, some = join(w.batch, a), true
		default:
			return some
		}
	}
	return some
}

// linger extends a batch if a commit waits for other machines. It waits for the callers
// that were answered last, which are likely to append again and otherwise need a commit of
// their own. It takes at most a quarter of a commit's time.
func (w *writer) linger() {
	if w.remote {
		w.await(min(w.took/4, w.maxLinger), func() bool { return len(w.batch) >= w.expected })
	}
}

// join adds a to the batch, unless its caller has gone.
func join(batch []*engine.Append, a *engine.Append) []*engine.Append {
	if !waits(a.Gone) {
		return batch
	}
	return append(batch, a)
}

// waits reports whether a caller is still waiting.
func waits(gone <-chan struct{}) bool {
	select {
	case <-gone:
		return false
	default:
		return true
	}
}

// commit records a batch in one transaction and answers each caller.
func (w *writer) commit(batch []*engine.Append) {
	if len(batch) == 0 {
		return
	}
	wanted := func() bool {
		batch = slices.DeleteFunc(batch, func(a *engine.Append) bool {
			gone := !waits(a.Gone)
			if gone {
				a.Done <- context.Canceled // not recorded, as the next attempt leaves it out
			}
			return gone
		})
		return len(batch) > 0
	}
	began := w.now()
	err := w.transact(func() *tx { return &tx{Tx: engine.Tx{Batch: batch}} }, (*tx).appendAll, wanted)
	if err != nil {
		w.failed.Store(&err)
	}
	w.took, w.expected = w.now().Sub(began), len(batch)+len(w.appends)
	for _, a := range batch {
		switch {
		case err != nil:
			a.Done <- err
		case a.Lost != nil:
			a.Done <- a.Lost
		default:
			a.Done <- nil
		}
	}
	clear(batch)
}

// fresh reports whether the last transaction succeeded, a moment ago.
func (w *writer) fresh() bool {
	at := w.committed.Load()
	return at != nil && engine.Staleness(w.now(), *at) < freshFor
}

// appendAll records the appends of the batch that are not lost.
func (t *tx) appendAll() error {
	lines := make([]engine.Line, 0, len(t.Batch))
	for _, a := range t.Batch {
		if a.Lost == nil {
			lines = append(lines, a.Line)
		}
	}
	return t.recordLines(lines)
}

// transact runs change in one transaction. It drops the changed objects from the cache
// before it returns, whether the commit succeeded or not. After a temporary failure, such
// as a lost connection, it retries as long as a caller waits. If the outcome of a commit is
// unknown, it first finds out whether the transaction committed.
func (w *writer) transact(fresh func() *tx, change func(*tx) error, wanted func() bool) error {
	for try := 0; ; try++ {
		t := fresh()
		t.Session, t.packer, t.rows, t.seen = w.session, w.packer, w.rows, w.seen.Load()
		err := t.run(change)
		if doubtful := (*engine.Doubt)(nil); errors.As(err, &doubtful) {
			err = w.settle(t, doubtful, wanted)
		}
		if len(t.Changes) > 0 {
			w.changed(t.Changes)
		}
		if err == nil {
			w.see(t.revision)
			now := w.now()
			w.committed.Store(&now)
			w.failed.Store(nil)
			return nil
		}
		w.committed.Store(nil)
		if !w.session.Passing(err) || !w.rest(try) || !wanted() {
			return err
		}
	}
}

// see notes a revision of the registry that was committed.
func (w *writer) see(revision int64) {
	for {
		seen := w.seen.Load()
		if revision <= seen || w.seen.CompareAndSwap(seen, revision) {
			return
		}
	}
}

// settle finds out whether a transaction committed, and returns nil if it did.
func (w *writer) settle(t *tx, doubtful *engine.Doubt, wanted func() bool) error {
	for try := 0; ; try++ {
		committed, err := w.session.Settle(&t.Tx)
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return engine.ErrLost
		case !w.session.Passing(err) || !w.rest(try) || !wanted():
			return doubtful
		}
	}
}

// rest waits before the next attempt. It reports whether the writer goes on.
func (w *writer) rest(try int) bool {
	const first, longest = 5 * time.Millisecond, 100 * time.Millisecond
	w.timer.Reset(min(first<<min(try, 10), longest))
	select {
	case <-w.timer.C:
		return true
	case <-w.quit:
		return false
	}
}
