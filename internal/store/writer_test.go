package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
)

func clock() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

func openTest(t *testing.T, path string, options Options) *DB {
	t.Helper()
	options.RowKey = rowauthtest.Key()
	if options.Now == nil {
		options.Now = clock
	}
	options.Create = true
	d, err := Open(t.Context(), "sqlite:"+path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func openNew(t *testing.T) *DB {
	t.Helper()
	return openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{})
}

func testEntry(n int) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindToken, Time: clock().Add(time.Duration(n) * time.Second), JTI: fmt.Sprint("jti-", n)}
}

func appendEntries(t *testing.T, d *DB, n int) {
	t.Helper()
	for i := range n {
		if err := d.Append(t.Context(), testEntry(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// pause keeps the writer busy until resume is called.
func pause(t *testing.T, d *DB) (resume func()) {
	t.Helper()
	paused, gate := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = d.writer.do(context.Background(), func(*tx) error {
			close(paused)
			<-gate
			return nil
		})
	})
	<-paused
	return func() {
		close(gate)
		wg.Wait()
	}
}

// queued waits until n appends wait for the writer.
func queued(d *DB, n int) {
	for len(d.writer.appends) < n {
		runtime.Gosched()
	}
}

// verified fails unless the ledger is whole and holds n entries from 1 on.
func verified(t *testing.T, d *DB, n int64) {
	t.Helper()
	report, err := d.Verify(t.Context(), nil)
	if err != nil || report.Broken != 0 || report.Last != n {
		t.Errorf("verify: %+v, %v; want %d entries", report, err, n)
	}
}

func count(t *testing.T, d *DB, query string) (n int64) {
	t.Helper()
	if err := d.reads.Row(t.Context(), query, nil, []any{&n}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAppendGroupCommit(t *testing.T) {
	const callers, keys = 300, 100
	d := openNew(t)
	resume := pause(t, d)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won, lost := map[useKey]string{}, map[string]useKey{}
	for i := range callers {
		wg.Go(func() {
			mine := fmt.Sprint("sealed ", i)
			u := ledger.Consumed{Value: useKey{byte(i % keys)}, Until: clock(), Sealed: []byte(mine)}
			err := d.Append(t.Context(), testEntry(i), u)
			mu.Lock()
			defer mu.Unlock()
			var used *ledger.ReplayedError
			switch {
			case err == nil:
				won[u.Value] = mine
			case errors.As(err, &used):
				lost[string(used.Sealed)] = u.Value
			default:
				t.Error(err)
			}
		})
	}
	queued(d, callers)
	resume()
	wg.Wait()
	if n := count(t, d, `SELECT count(*) FROM ledger_batch`); n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	if len(won) != keys || len(lost) != keys {
		t.Errorf("%d keys were won and %d lost, want %d", len(won), len(lost), keys)
	}
	for sealed, key := range lost {
		if won[key] != sealed {
			t.Errorf("key %d was won by %q, losers were told %q", key[0], won[key], sealed)
		}
	}
	verified(t, d, keys)
}

// TestLinger: where a commit takes long, a batch waits for as many as were answered by
// the last and wait already, and not for ever.
func TestLinger(t *testing.T) {
	for name, test := range map[string]struct {
		remote         bool
		took           time.Duration
		expected, want int
	}{
		"all come":         {true, time.Hour, 3, 3},
		"enough are there": {true, time.Hour, 1, 1},
		"nobody else came": {true, time.Microsecond, 3, 1},
		"in a file":        {false, time.Hour, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := &writer{appends: make(chan *engine.Append), timer: time.NewTimer(0), batch: []*engine.Append{{}},
				remote: test.remote, took: test.took, maxLinger: time.Hour, expected: test.expected}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range test.want - 1 {
					w.appends <- &engine.Append{}
				}
			}()
			w.linger()
			if len(w.batch) != test.want {
				t.Errorf("a batch of %d, want %d", len(w.batch), test.want)
			}
			if len(w.batch) == test.want {
				<-done
			}
		})
	}
}

// TestGather: a batch waits for the appends that are announced, for maxGather at most.
func TestGather(t *testing.T) {
	for name, test := range map[string]struct {
		announced, come int
		after           time.Duration
	}{
		"all that are announced come": {3, 3, 3 * time.Millisecond / 2},
		"none is announced":           {0, 0, 0},
		"one never comes":             {2, 1, maxGather},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writer{appends: make(chan *engine.Append), timer: time.NewTimer(0), now: time.Now}
				w.coming.Store(int64(test.announced))
				began := time.Now()
				go func() {
					for range test.come {
						time.Sleep(time.Millisecond / 2)
						w.coming.Add(-1)
						w.appends <- &engine.Append{}
					}
				}()
				batch := w.gather(&engine.Append{})
				if after := time.Since(began); len(batch) != 1+test.come || after != test.after {
					t.Errorf("a batch of %d after %s, want %d after %s", len(batch), after, 1+test.come, test.after)
				}
			})
		})
	}
}

func TestFullQueueIsBusy(t *testing.T) {
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Queue: 4})
	resume := pause(t, d)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if err := d.Append(t.Context(), testEntry(i)); err != nil {
				t.Error(err)
			}
		})
	}
	queued(d, 4)
	if err := d.Append(t.Context(), testEntry(4)); !errors.Is(err, ErrBusy) {
		t.Errorf("append to a full queue: %v", err)
	}
	resume()
	wg.Wait()
	verified(t, d, 4)
}

func TestCancelledAppendIsDropped(t *testing.T) {
	d := openNew(t)
	resume := pause(t, d)
	u := ledger.Consumed{Value: useKey{1}, Until: clock()}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- d.Append(ctx, testEntry(1), u) }()
	queued(d, 1)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller who has gone got %v", err)
	}
	resume()
	if err := d.Append(t.Context(), testEntry(2), u); err != nil {
		t.Errorf("the key was consumed for a caller who had gone: %v", err)
	}
	verified(t, d, 1)
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	resume := pause(t, d)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := d.Append(t.Context(), testEntry(i)); err != nil {
				t.Error(err)
			}
		})
	}
	queued(d, 10)
	d.Touch("d1", "bank", "k", clock())
	closed := make(chan error)
	go func() { closed <- d.Close() }()
	resume()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := d.Append(t.Context(), testEntry(0)); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed store: %v", err)
	}
	if _, err := d.Forget(t.Context(), clock()); !errors.Is(err, ErrClosed) {
		t.Errorf("forget in a closed store: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	again := openTest(t, path, Options{})
	verified(t, again, 10)
	if last, err := again.LastUsed(t.Context(), "d1", "bank"); err != nil || !last["k"].Equal(clock()) {
		t.Errorf("last used after Close: %v, %v", last, err)
	}
}

// TestWriterRecovers has commits fail in ways that a disk makes them fail.
func TestWriterRecovers(t *testing.T) {
	for name, pragmas := range map[string][2]string{
		"database full": {`PRAGMA max_page_count = 1`, `PRAGMA max_page_count = 1000000`},
		"read-only":     {`PRAGMA query_only = 1`, `PRAGMA query_only = 0`},
	} {
		t.Run(name, func(t *testing.T) {
			d := openNew(t)
			appendEntries(t, d, 3)
			set := func(pragma string) {
				if err := d.writer.do(t.Context(), func(tx *tx) error {
					_, err := tx.Exec(pragma)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			set(pragmas[0])
			big := testEntry(3)
			big.Object = incompressible(100_000)
			u := ledger.Consumed{Value: useKey{1}, Until: clock()}
			if err := d.Append(t.Context(), big, u); err == nil {
				t.Fatal("an append was acknowledged that cannot have been written")
			}
			if d.writer.committed.Load() != nil {
				t.Error("after a failed commit the store says that it can be written")
			}
			set(pragmas[1])
			if err := d.Append(t.Context(), big, u); err != nil {
				t.Errorf("after the disk can be written again: %v", err)
			}
			verified(t, d, 4)
			if err := d.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFailedBeginLeavesNothing: after a failed Begin the next transaction works.
func TestFailedBeginLeavesNothing(t *testing.T) {
	d := openNew(t)
	run := func(statement string) {
		t.Helper()
		if err := d.writer.do(t.Context(), func(tx *tx) error {
			_, err := tx.Exec(statement)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	run(`CREATE TRIGGER refuse BEFORE INSERT ON used_batch BEGIN SELECT RAISE(ABORT, 'not now'); END`)
	u := ledger.Consumed{Value: useKey{1}, Until: clock().Add(time.Minute)}
	if err := d.Append(t.Context(), testEntry(1), u); err == nil {
		t.Fatal("an assertion that could not be recorded is consumed")
	}
	run(`DROP TRIGGER refuse`)
	if err := d.Append(t.Context(), testEntry(1), u); err != nil {
		t.Error(err)
	}
	verified(t, d, 1)
}

func TestPingTriesToWrite(t *testing.T) {
	var later atomic.Int64 // which others read, too
	now := func() time.Time { return clock().Add(time.Duration(later.Load())) }
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Create: true, RowKey: rowauthtest.Key(), Now: now})
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("new store: %v", err)
	}
	later.Add(int64(time.Hour))
	if err := d.writer.do(t.Context(), func(tx *tx) error {
		_, err := tx.Exec(`PRAGMA query_only = 1`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("a moment after a commit: %v", err)
	}
	later.Add(int64(time.Hour))
	if err := d.Ping(t.Context()); err == nil {
		t.Error("a store that cannot be written answers a ping")
	}
}

// TestConsumedSurvivesRestart: values that were consumed before the store was closed are
// consumed after it is opened again, and are deleted when they expire, in memory and in the
// file.
func TestConsumedSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	uses := []ledger.Consumed{
		{Value: useKey{1}, Until: clock().Add(time.Minute)},
		{Value: useKey{2}, Until: clock().Add(time.Minute), Sealed: []byte("left")},
	}
	for _, u := range uses {
		if err := d.Append(t.Context(), testEntry(1), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, path, Options{})
	for _, u := range uses {
		err := d.Append(t.Context(), testEntry(1), u)
		if used := (*ledger.ReplayedError)(nil); !errors.As(err, &used) || string(used.Sealed) != string(u.Sealed) {
			t.Errorf("after the store was opened again: %v", err)
		}
	}
	if n, err := d.Forget(t.Context(), clock().Add(time.Hour)); n != 2 || err != nil {
		t.Errorf("%d are forgotten, %v", n, err)
	}
	if rows := count(t, d, `SELECT (SELECT count(*) FROM used_batch) + (SELECT count(*) FROM use_up)`); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, path, Options{}) // which knows what was forgotten before
	for _, u := range uses {
		if err := d.Append(t.Context(), testEntry(1), u); !errors.Is(err, engine.ErrForgotten) {
			t.Errorf("a forgotten assertion, by a clock that was set back: %v", err)
		}
		u.Until = clock().Add(2 * time.Hour)
		if err := d.Append(t.Context(), testEntry(1), u); err != nil {
			t.Errorf("an assertion that lives longer than what was forgotten: %v", err)
		}
	}
}

// incompressible is text that no packing makes much smaller.
func incompressible(size int) string {
	text := make([]byte, size*3/4)
	_, _ = rand.Read(text)
	return base64.StdEncoding.EncodeToString(text)
}

// TestLongLifetimeDoesNotDelayForget: values are deleted when they expire, also if another
// value of the same batch has a long lifetime.
func TestLongLifetimeDoesNotDelayForget(t *testing.T) {
	d := openNew(t)
	resume := pause(t, d)
	var wg sync.WaitGroup
	for i, life := range []time.Duration{time.Minute, time.Minute, time.Hour} {
		wg.Go(func() {
			if err := d.Append(t.Context(), testEntry(i), ledger.Consumed{Value: useKey{byte(i)}, Until: clock().Add(life)}); err != nil {
				t.Error(err)
			}
		})
	}
	queued(d, 3)
	resume()
	wg.Wait()
	if _, err := d.Forget(t.Context(), clock().Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if rows, size := count(t, d, `SELECT count(*) FROM used_batch`), count(t, d, `SELECT sum(length(keys)) FROM used_batch`); rows != 1 || size != 20 {
		t.Errorf("%d rows of %d bytes are left, want one assertion", rows, size)
	}
	late := clock().Add(2 * time.Hour)
	if err := d.Append(t.Context(), testEntry(4), ledger.Consumed{Value: useKey{1}, Until: late}); err != nil {
		t.Errorf("a value that is forgotten: %v", err)
	}
	replayed := (*ledger.ReplayedError)(nil)
	if err := d.Append(t.Context(), testEntry(4), ledger.Consumed{Value: useKey{2}, Until: late}); !errors.As(err, &replayed) {
		t.Errorf("a value that is not forgotten: %v", err)
	}
}
