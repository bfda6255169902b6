package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"sync/atomic"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/turn"
)

const (
	// maxBatch bounds the appends of one transaction.
	maxBatch = 1024
	// leastEnough is the smallest crowd that need not wait for more.
	leastEnough = 16
	// longestTurn is how long a batch waits for the turn.
	longestTurn = 10 * time.Millisecond
)

// writer is the one goroutine that writes. It alone uses the write connection,
// so a transaction never waits for another and the chain has one end.
type writer struct {
	now     func() time.Time
	appends chan *appending
	changes chan *changing
	quit    chan struct{} // closed by stop
	stopped chan struct{} // closed when the goroutine has ended
	// committed is when the last transaction succeeded, in Unix milliseconds; 0
	// after one that failed.
	committed atomic.Int64
	// turn lets come who is ready to be read, and then writes to came. crowd is
	// written when enough appends wait, a number that doubles as long as they come
	// before the turn does, and else is halved.
	turn        *turn.Turn
	came, crowd chan struct{}
	enough      atomic.Int64

	// Owned by the goroutine.
	asked    bool // for a turn that has not come
	patience *time.Timer
	session  session
	head     head
	batch    []*appending
	used     *used
	packer   *packer
}

// head is the end of the chain. It is read from the database whenever it is not
// certain: at the start and after each transaction that failed.
type head struct {
	known bool
	seq   int64
	hash  [sha256.Size]byte
	// unsure are the assertions that a transaction used up whose COMMIT failed. It
	// did commit if the database's chain ends with hash.
	unsure []byte
}

// appending is an append that waits for its commit.
type appending struct {
	line line
	use  *authority.Use
	gone <-chan struct{} // the caller's ctx.Done()
	done chan error      // takes one answer without blocking

	lost error // set when the assertion was used before, or cannot be remembered
}

// changing is another transaction that waits for its commit.
type changing struct {
	change func(*tx) error
	done   chan error // takes one answer without blocking
}

func newWriter(database *database, options Options, used *used, packer *packer) (w *writer, err error) {
	w = &writer{
		now:     options.Now,
		appends: make(chan *appending, options.Queue),
		changes: make(chan *changing),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
		session: session{db: database.writes, begin: database.begin},
		used:    used,
		packer:  packer,
		came:    make(chan struct{}, 1),

		patience: time.NewTimer(0),
		crowd:    make(chan struct{}, 1),
	}
	w.enough.Store(leastEnough)
	if w.turn, err = turn.New(func() { w.came <- struct{}{} }); err != nil {
		return nil, err
	}
	go w.run()
	return w, nil
}

// stop lets the writer commit what waits and returns when it has ended.
func (w *writer) stop() {
	close(w.quit)
	<-w.stopped
}

// append queues an entry and waits for its commit. It returns nil, a
// *authority.UsedError, ErrBusy or ErrClosed (nothing was recorded), ctx.Err()
// or the failure of the commit (the outcome is unknown).
func (w *writer) append(ctx context.Context, l line, use *authority.Use) error {
	a := &appending{line: l, use: use, gone: ctx.Done(), done: make(chan error, 1)}
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
	if int64(len(w.appends)) >= w.enough.Load() {
		select {
		case w.crowd <- struct{}{}:
		default:
		}
	}
	return w.wait(ctx, a.done)
}

// do runs change in a transaction of its own and waits for its commit. When
// change fails nothing is written and its error is returned.
func (w *writer) do(ctx context.Context, change func(*tx) error) error {
	c := &changing{change: change, done: make(chan error, 1)}
	select {
	case w.changes <- c:
		return w.wait(ctx, c.done)
	case <-ctx.Done():
		return ctx.Err()
	case <-w.stopped:
		return ErrClosed
	}
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
	defer w.session.drop()
	defer func() { _ = w.turn.Close() }()
	for {
		select {
		case a := <-w.appends:
			w.commit(w.gather(a))
		case c := <-w.changes:
			c.done <- w.transact(c.change)
		case <-w.quit:
			w.drain()
			return
		}
	}
}

// drain commits what was queued before the writer was stopped.
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

// gather takes the appends that wait, first included, but for those whose callers
// have gone. Before, it lets all come who are ready to be read now, so that they
// share the commit; or, in a crowd, enough of them: the others keep the processors
// busy while the disk is.
func (w *writer) gather(first *appending) []*appending {
	w.batch = first.join(w.batch[:0])
	if !w.asked {
		w.asked = w.turn.Ask() == nil
	}
	if w.asked {
		w.patience.Reset(longestTurn)
		select {
		case <-w.patience.C:
		case <-w.came:
			w.asked = false
			w.enough.Store(max(w.enough.Load()/2, leastEnough))
		case <-w.crowd:
			w.enough.Store(min(w.enough.Load()*2, maxBatch/4))
		}
	}
	for len(w.batch) < maxBatch {
		select {
		case a := <-w.appends:
			w.batch = a.join(w.batch)
		default:
			return w.batch
		}
	}
	return w.batch
}

// join puts a into the batch, unless its caller has gone and waits for no answer.
func (a *appending) join(batch []*appending) []*appending {
	select {
	case <-a.gone:
		return batch
	default:
		return append(batch, a)
	}
}

// commit records a batch in one transaction and answers each caller.
func (w *writer) commit(batch []*appending) {
	if len(batch) == 0 {
		return
	}
	err := w.transact(func(t *tx) error {
		if err := t.useUp(batch); err != nil {
			return err
		}
		lines := make([]line, 0, len(batch))
		for _, a := range batch {
			if a.lost == nil {
				lines = append(lines, a.line)
			}
		}
		return t.record(lines)
	})
	for _, a := range batch {
		switch {
		case err != nil:
			a.done <- err
		case a.lost != nil:
			a.done <- a.lost
		default:
			a.done <- nil
		}
	}
	clear(batch)
}

// transact runs change in one transaction. What change asked to have forgotten
// is forgotten before transact returns, whether the commit succeeded or not.
func (w *writer) transact(change func(*tx) error) error {
	t := &tx{session: &w.session, head: w.head, used: w.used, packer: w.packer}
	err := t.run(change)
	for _, forget := range t.forget {
		forget()
	}
	w.head = t.head
	if err != nil {
		w.head.known = false
		w.committed.Store(0)
		return err
	}
	w.committed.Store(w.now().UnixMilli())
	return nil
}

// tx is one transaction of the writer. It cannot be cancelled: a statement cut
// short would leave its outcome unknown.
type tx struct {
	session *session
	head    head
	forget  []func()
	used    *used
	packer  *packer
	usedUp  []byte // the assertions that the transaction uses up, packed
}

func (t *tx) run(change func(*tx) error) error {
	if err := t.session.open(); err != nil {
		return err
	}
	if _, err := t.exec(t.session.begin); err != nil {
		t.session.drop()
		return err
	}
	err := t.readHead()
	if err == nil {
		err = change(t)
	}
	if err == nil {
		if _, err = t.exec("COMMIT"); err == nil {
			return t.used.addAll(t.usedUp)
		}
		t.head.unsure = t.usedUp
	}
	if _, rollback := t.exec("ROLLBACK"); rollback != nil {
		t.session.drop() // SQLite has rolled back by itself, or the connection is broken
	}
	return err
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	s, err := t.session.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads one row into dest; no row is sql.ErrNoRows.
func (t *tx) row(query string, args, dest []any) error {
	s, err := t.session.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	return s.QueryRowContext(context.Background(), args...).Scan(dest...)
}

// list reads every row of query.
func (t *tx) list(query string, args []any, scan func(scan func(...any) error) error) error {
	s, err := t.session.statement(query) //nolint:sqlclosecheck // kept until the session is dropped
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// session is the write connection with its statements, each prepared once. It is
// dropped when the connection can no longer be trusted, and opened anew.
type session struct {
	db         *sql.DB
	begin      string
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func (s *session) open() error {
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Conn(context.Background())
	if err != nil {
		return err
	}
	s.conn, s.statements = conn, map[string]*sql.Stmt{}
	return nil
}

func (s *session) statement(query string) (*sql.Stmt, error) {
	if statement, ok := s.statements[query]; ok {
		return statement, nil
	}
	statement, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.statements[query] = statement
	return statement, nil
}

// drop closes the connection for good instead of giving it back to the pool.
func (s *session) drop() {
	if s.conn == nil {
		return
	}
	for _, statement := range s.statements {
		_ = statement.Close()
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = s.conn.Close()
	s.conn, s.statements = nil, nil
}
