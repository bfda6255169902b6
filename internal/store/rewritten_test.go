package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
	"moneyer/internal/store/postgres"
)

// forge writes the ledger anew without its checkpoints, as one can who writes the database
// and has no key: all hashes are right. It leaves the row of each chain's end to the caller.
func forge(t *testing.T, d *DB, exec func(query string, args ...any)) (heads []ledger.Head) {
	t.Helper()
	chains, err := history.Chains(t.Context(), d.reads)
	if err != nil {
		t.Fatal(err)
	}
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chains {
		var kept []engine.Line
		err := d.ledger.Batches(t.Context(), c.First, c.LastBatch, func(b *history.Batch) error {
			for _, text := range b.Lines {
				e, err := (&ledger.Record{Line: text}).Entry()
				if err != nil {
					return err
				}
				if e.Kind != ledger.KindCheckpoint {
					kept = append(kept, engine.Line{Text: text, At: e.Time.UnixMilli()})
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		exec(`DELETE FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`, c.First, c.LastBatch)
		head := ledger.Head{Seq: ledger.Numbered(c.Number, 0)}
		for i := range kept {
			r := packer.Row(&head, kept[i:i+1])
			exec(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
				r.First, r.Count, r.TimeMin, r.TimeMax, r.Previous, r.Last, r.Marks, r.Lines)
		}
		heads = append(heads, head)
	}
	return heads
}

func mustSign(t *testing.T, d *DB, sign ledger.Signer) []ledger.Head {
	t.Helper()
	heads, err := d.Checkpoint(t.Context(), sign)
	if err != nil || len(heads) == 0 {
		t.Fatalf("%d heads, %v", len(heads), err)
	}
	return heads
}

// writer's clock for tests.
type hands struct{ minutes atomic.Int64 }

func (h *hands) now() time.Time { return clock().Add(time.Duration(h.minutes.Load()) * time.Minute) }

func (h *hands) record(t *testing.T, d *DB) {
	t.Helper()
	if err := d.Append(t.Context(), &ledger.Entry{Kind: ledger.KindToken, Time: h.now(), JTI: fmt.Sprint("jti-", h.minutes.Load())}); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointsDropped: a ledger without its checkpoints is not confirmed, nor is it after
// a server has continued it. A head that was noted elsewhere shows it in any case.
func TestCheckpointsDropped(t *testing.T) {
	key, sign := signer("key")
	path := filepath.Join(t.TempDir(), "moneyer.db")
	var h hands
	d := openTest(t, path, Options{Now: h.now})
	var noted []ledger.Head
	for range 6 {
		h.record(t, d)
		noted = mustSign(t, d, sign)
		h.minutes.Add(10)
	}
	if report, err := d.Verify(t.Context(), key, noted...); err != nil || report.Broken != 0 || report.Unconfirmed != "" || report.Heads != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, path, Options{Now: h.now})
	forge(t, d, func(query string, args ...any) { tamper(t, d, query, args...) })
	expect := func(how string) {
		t.Helper()
		report, err := d.Verify(t.Context(), key)
		if err != nil || report.Broken != 1 || !strings.Contains(report.How, how) {
			t.Errorf("%+v, %v; want %q", report, err, how)
		}
		report, err = VerifyFile(t.Context(), path, key)
		if err != nil || report.Broken != 1 || !strings.Contains(report.How, how) {
			t.Errorf("the file: %+v, %v; want %q", report, err, how)
		}
	}
	expect("the newest entry was made 50m0s later: checkpoints were removed")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, path, Options{Now: h.now})
	mustSign(t, d, sign)
	h.record(t, d)
	mustSign(t, d, sign)
	expect("before a server continued the chain: checkpoints were removed")
	if report, err := d.Verify(t.Context(), nil, noted...); err != nil || report.Broken == 0 {
		t.Errorf("a head that is gone: %+v, %v", report, err)
	}
}

// TestFileChangedWhileOpen: a server whose ledger was rewritten writes and signs no more as
// soon as it reads the end again.
func TestFileChangedWhileOpen(t *testing.T) {
	_, sign := signer("key")
	var h hands
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Now: h.now})
	h.record(t, d)
	mustSign(t, d, sign)
	h.record(t, d)
	forge(t, d, func(query string, args ...any) { tamper(t, d, query, args...) })
	failed := errors.New("a change that fails")
	if err := d.writer.do(t.Context(), func(*tx) error { return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Append(t.Context(), testEntry(9)); err == nil || !strings.Contains(err.Error(), "not the one that this process wrote") {
			t.Errorf("append: %v", err)
		}
	}
	if heads, err := d.Checkpoint(t.Context(), sign); err == nil || len(heads) != 0 {
		t.Errorf("%d heads of a changed ledger were signed", len(heads))
	}
	if err := d.Ping(t.Context()); err == nil {
		t.Error("ready, with a changed ledger")
	}
}

// TestChainChangedUnderReplicas: replicas whose chains were rewritten mint no more, are not
// ready and sign nothing; a new one does not make good what they leave.
func TestChainChangedUnderReplicas(t *testing.T) {
	key, sign := signer("key")
	url := PostgresForTests.NewDatabase(t)
	start := time.Now()
	all := []*DB{startReplica(t, url, Options{}), startReplica(t, url, Options{})}
	for i := range 6 {
		for n, d := range all {
			e := testEntry(10*i + n)
			e.Time = start.Add(time.Duration(i-6) * 10 * time.Minute)
			if err := d.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			mustSign(t, d, sign)
		}
	}
	if report, err := all[0].Verify(t.Context(), key); err != nil || report.Broken != 0 || report.Unconfirmed != "" {
		t.Fatalf("%+v, %v", report, err)
	}
	conn := connectTo(t, url)
	for _, head := range forge(t, all[0], func(query string, args ...any) { mustExec(t, conn, query, args...) }) {
		mustExec(t, conn, `UPDATE ledger_chain SET seq = $1, hash = $2 WHERE id = $3`, head.Seq, head.Hash[:], ledger.ChainOf(head.Seq))
	}
	later := startReplica(t, url, Options{})
	for n, d := range append(all, later) {
		err := d.Append(t.Context(), testEntry(100+n))
		if changed := errors.Is(err, postgres.ErrChainChanged) || errors.Is(err, postgres.ErrRolledBack); changed != (d != later) {
			t.Errorf("replica %d appends: %v", n, err)
		}
		if d == later {
			continue
		}
		if heads, err := d.Checkpoint(t.Context(), sign); err == nil {
			t.Errorf("replica %d signed %d heads of changed chains", n, len(heads))
		}
		if d.Ping(t.Context()) == nil {
			t.Errorf("replica %d is ready", n)
		}
	}
	mustSign(t, later, sign)
	if report, err := later.Verify(t.Context(), key); err != nil || report.Broken == 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestChainOfSameLengthChanged: the end of a chain is compared by its hash.
func TestChainOfSameLengthChanged(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	appendEntries(t, d, 3)
	mustExec(t, connectTo(t, url), `UPDATE ledger_chain SET hash = decode(repeat('07', 32), 'hex')`)
	for range 2 {
		if err := d.Append(t.Context(), testEntry(4)); !errors.Is(err, postgres.ErrChainChanged) {
			t.Errorf("append: %v", err)
		}
	}
	if err := d.Ping(t.Context()); !errors.Is(err, postgres.ErrChainChanged) {
		t.Errorf("ping: %v", err)
	}
}

// TestCheckpointsAcrossRestarts: whoever continues a chain continues its checkpoints, also
// after a kill, and after old ones were pruned.
func TestCheckpointsAcrossRestarts(t *testing.T) {
	key, sign := signer("key")
	var h hands
	file := filepath.Join(t.TempDir(), "moneyer.db")
	url := PostgresForTests.NewDatabase(t)
	for name, open := range map[string]func() *DB{
		"SQLite":     func() *DB { return openTest(t, file, Options{Now: h.now}) },
		"PostgreSQL": func() *DB { return startReplica(t, url, Options{Now: h.now}) },
	} {
		t.Run(name, func(t *testing.T) {
			h.minutes.Store(0)
			for round := range int64(6) {
				d := open()
				if round > 0 {
					mustSign(t, d, sign) // as a server does that starts
				}
				h.record(t, d)
				if round%2 == 0 {
					mustSign(t, d, sign)
				}
				h.record(t, d) // and then it is killed
				if round == 4 {
					if gone, err := d.Prune(t.Context(), h.now().Add(-time.Hour), time.Hour, sign); err != nil || gone == 0 {
						t.Errorf("%d pruned, %v", gone, err)
					}
				}
				report, err := d.Verify(t.Context(), key)
				if err != nil || report.Broken != 0 || report.Unconfirmed != "" || len(report.Chains) != 1 {
					t.Errorf("round %d: %+v, %v", round, report, err)
				}
				last, err := d.ledger.LastCheckpoint(t.Context(), report.Last)
				if want := []int64{1, 2, 4, 5, 7, 8}[round]; err != nil || last.Number != want {
					t.Errorf("round %d: the last checkpoint is %d, %v; want %d", round, last.Number, err, want)
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				h.minutes.Add(60)
			}
		})
	}
}

// TestPruneRefusesYoungEntries: what is younger than the retention is not removed.
func TestPruneRefusesYoungEntries(t *testing.T) {
	_, sign := signer("key")
	var h hands
	d := openTest(t, filepath.Join(t.TempDir(), "moneyer.db"), Options{Now: h.now})
	for range 3 {
		h.record(t, d)
		h.minutes.Add(60)
	}
	if gone, err := d.Prune(t.Context(), h.now().Add(-time.Hour), 24*time.Hour, sign); gone != 0 || err == nil || !strings.Contains(err.Error(), "younger than the retention") {
		t.Errorf("%d are gone, %v", gone, err)
	}
	if report, err := d.Verify(t.Context(), nil); err != nil || report.First != 1 || report.Last != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestCheckpointOfUnknownOutcome: a checkpoint whose caller has gone may be recorded, and
// the next one follows it.
func TestCheckpointOfUnknownOutcome(t *testing.T) {
	key, sign := signer("key")
	d := openNew(t)
	appendEntries(t, d, 1)
	mustSign(t, d, sign)
	appendEntries(t, d, 1)
	d.checkpoints.found = -1 // as an error leaves it
	mustSign(t, d, sign)
	appendEntries(t, d, 1)
	mustSign(t, d, sign)
	report, err := d.Verify(t.Context(), key)
	last, err2 := d.ledger.LastCheckpoint(t.Context(), report.Last)
	if err != nil || err2 != nil || report.Broken != 0 || last.Number != 3 {
		t.Errorf("%+v, %+v, %v, %v", report, last, err, err2)
	}
}
