package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
)

// handClock is a clock that is set by hand.
type handClock struct{ at atomic.Pointer[time.Time] }

func (c *handClock) now() time.Time { return *c.at.Load() }

func (c *handClock) set(t time.Time) { c.at.Store(&t) }

// TestClockBehindTheLedger: a store whose newest entry is of the future is not to be served
// until the clock is right, or an operator accepts the entry. Only a newer one counts then.
func TestClockBehindTheLedger(t *testing.T) {
	for name, url := range map[string]string{"SQLite": newFile(t), "PostgreSQL": PostgresForTests.NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			var now handClock
			now.set(clock())
			open := func() (*DB, []Finding) {
				d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: now.now})
				must(t, err)
				t.Cleanup(func() { _ = d.Close() })
				return d, guardByHand(t, d)
			}
			entry := func() *ledger.Entry {
				return &ledger.Entry{Kind: ledger.KindAdmin, Time: now.now(), Action: "store.accept"}
			}
			d, _ := open()
			now.set(now.now().AddDate(1, 0, 0))
			must(t, d.Append(t.Context(), entry(), ledger.Consumed{Value: useKey{1}, Until: now.now().Add(time.Minute)}))
			_, err := d.Forget(t.Context(), now.now().Add(time.Hour))
			must(t, err)
			must(t, d.Close())

			now.set(clock())
			d, found := open()
			wantFinding(t, found, "newest entry", Bad, "of 20")
			wantFinding(t, found, "consumed assertions", Bad, "are refused")
			if err := d.Distrusted(); !errors.Is(err, ErrAhead) {
				t.Errorf("%v", err)
			}
			now.set(now.now().AddDate(1, 0, 0).Add(-engine.ClockLeeway))
			if err := d.Distrusted(); err != nil {
				t.Errorf("when the clock is right: %v", err)
			}
			now.set(clock())
			if err := d.Append(t.Context(), entry(), ledger.Consumed{Value: useKey{2}, Until: now.now().Add(time.Minute)}); !errors.Is(err, engine.ErrForgotten) {
				t.Errorf("an assertion: %v", err)
			}
			must(t, d.Accept(t.Context(), testGuard, entry()))
			must(t, d.Close())
			d, found = open()
			if err := d.Distrusted(); err != nil || len(found) != 0 {
				t.Errorf("after it was accepted: %v, %v", found, err)
			}
			must(t, d.Append(t.Context(), entry(), ledger.Consumed{Value: useKey{2}, Until: now.now().Add(time.Minute)}))
			now.set(now.now().AddDate(2, 0, 0))
			must(t, d.Append(t.Context(), entry()))
			must(t, d.Close())
			now.set(clock())
			if d, _ = open(); !errors.Is(d.Distrusted(), ErrAhead) {
				t.Errorf("a newer entry of the future: %v", d.Distrusted())
			}
		})
	}
}

// TestDatabaseRefusesAfterRollback: the replica that notices that its database went back makes
// it refuse the assertions of that time, so that it does after the restart, too.
func TestDatabaseRefusesAfterRollback(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	guardByHand(t, d)
	appendEntries(t, d, 3)
	if back, err := d.refuseAfterRollback(t.Context(), false); back || err != nil {
		t.Errorf("%v, %v", back, err)
	}
	conn := connectTo(t, url)
	mustExec(t, conn, `UPDATE ledger_chain SET seq = 2, hash = (SELECT last FROM ledger_batch WHERE first_seq = 2)`)
	mustExec(t, conn, `DELETE FROM ledger_batch WHERE first_seq = 3`)
	if err := d.Append(t.Context(), testEntry(4)); err == nil {
		t.Error("an append to a database that went back")
	}
	if back, err := d.refuseAfterRollback(t.Context(), false); !back || err != nil {
		t.Errorf("%v, %v", back, err)
	}
	again := startReplica(t, url, Options{})
	soon := ledger.Consumed{Value: useKey{7}, Until: time.Now().Add(horizon / 2)}
	if err := again.Append(context.Background(), testEntry(5), soon); !errors.Is(err, engine.ErrForgotten) {
		t.Errorf("an assertion that may have been used: %v", err)
	}
	appendEntries(t, again, 1)
}
