package store

import (
	"slices"
	"sync"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/history"
)

// replicas opens a new database as often as that.
func replicas(t *testing.T, n int) []*DB {
	t.Helper()
	url := PostgresForTests.NewDatabase(t)
	var all []*DB
	for range n {
		d, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		all = append(all, d)
	}
	return all
}

// TestReplicasConfirmEachOther: what was done to the chain of one replica is found
// by the checkpoints of another.
func TestReplicasConfirmEachOther(t *testing.T) {
	key, sign := signer("key")
	for name, test := range map[string]struct {
		tamper string
		broken string
	}{
		"nothing":         {"", ""},
		"a missing chain": {`DELETE FROM ledger_batch WHERE first_seq >> 40 = 1`, "1-1"},
		"a cut tail":      {`DELETE FROM ledger_batch WHERE first_seq >> 40 = 1 AND first_seq & 255 > 3`, "1-4"},
		"an entry twice": {`INSERT INTO ledger_batch SELECT first_seq, count, time_min, time_max + 1, previous, last, marks, lines
			FROM ledger_batch WHERE first_seq >> 40 = 1 AND first_seq & 255 = 3`, "1-3"},
		"the last entry twice": {`INSERT INTO ledger_batch SELECT first_seq, count, time_min, time_max + 1, previous, last, marks, lines
			FROM ledger_batch WHERE first_seq >> 40 = 1 AND first_seq & 255 = 6`, "1-6"},
		"a changed entry": {`UPDATE ledger_batch SET lines = '\x00' WHERE first_seq >> 40 = 0 AND first_seq & 255 = 2`, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			all := replicas(t, 3)
			for _, d := range all[:2] {
				appendEntries(t, d, 5)
			}
			for _, d := range all {
				if _, err := d.Checkpoint(t.Context(), sign); err != nil {
					t.Fatal(err)
				}
			}
			if test.tamper != "" {
				tamper(t, all[2], test.tamper)
			}
			report, err := all[0].Verify(t.Context(), key)
			var broken []int64
			for _, c := range report.Chains {
				if c.Broken != 0 {
					broken = append(broken, c.Broken)
				}
			}
			if err != nil || seqs(broken...) != test.broken || len(report.Chains) != 3 {
				t.Errorf("%+v, %v; want %q broken", report, err, test.broken)
			}
		})
	}
}

// TestVerifyWhileReplicasWrite: whatever they write meanwhile, no checkpoint names
// what a walk does not find, and no entry is missing from an export.
func TestVerifyWhileReplicasWrite(t *testing.T) {
	key, sign := signer("key")
	all := replicas(t, 3)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, d := range all {
		wg.Go(func() {
			for i := range 300 { // a walk takes as long as the ledger is
				select {
				case <-done:
					return
				default:
				}
				if err := d.Append(t.Context(), testEntry(i)); err != nil {
					t.Error(err)
				}
				if _, err := d.Checkpoint(t.Context(), sign); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for round := 0; ; round++ {
		report, err := all[0].Verify(t.Context(), key)
		if err != nil || report.Broken != 0 {
			t.Errorf("round %d: %+v, %v", round, report, err)
		}
		last := map[int64]int64{}
		err = all[1].Entries(t.Context(), ledger.Query{}, func(r *ledger.Record) error {
			chain := ledger.ChainOf(r.Seq)
			if ledger.PlaceOf(r.Seq) != last[chain]+1 {
				t.Errorf("round %d: %s follows %d", round, ledger.ShowSeq(r.Seq), last[chain])
			}
			last[chain]++
			return nil
		})
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if round >= 5 && report.Checkpoints > 100 || t.Failed() {
			break
		}
	}
	close(done)
	wg.Wait()
}

// TestReplicasPruneOneLedger: any replica prunes all chains, one after the other.
func TestReplicasPruneOneLedger(t *testing.T) {
	key, sign := signer("key")
	all := replicas(t, 3)
	for round := range 4 {
		for _, d := range all {
			appendEntries(t, d, 3)
			if _, err := d.Checkpoint(t.Context(), sign); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := all[round%3].Prune(t.Context(), clock().AddDate(1, 0, 0), 0, sign); err != nil {
			t.Fatal(err)
		}
		report, err := all[2].Verify(t.Context(), key)
		if err != nil || report.Broken != 0 || len(report.Chains) != 3 ||
			slices.ContainsFunc(report.Chains, func(c ledger.ChainReport) bool { return ledger.PlaceOf(c.First) == 1 }) {
			t.Errorf("round %d: %+v, %v", round, report, err)
		}
	}
}

// TestEachBatchIsReadOnce, wherever pages end, and both of two with one number.
func TestEachBatchIsReadOnce(t *testing.T) {
	const leastAtOnce = 32 // batches that one query reads
	d := replicas(t, 1)[0]
	appendEntries(t, d, 5*leastAtOnce)
	for _, at := range []int64{leastAtOnce - 1, leastAtOnce, leastAtOnce + 1} {
		tamper(t, d, `INSERT INTO ledger_batch SELECT first_seq, count, time_min, time_max + 1, previous, last, marks, lines
			FROM ledger_batch WHERE first_seq & 255 = $1`, at)
		found := map[int64]int{}
		err := d.ledger.Batches(t.Context(), 0, 5*leastAtOnce, func(b *history.Batch) error { found[b.First]++; return nil })
		if err != nil || len(found) != 5*leastAtOnce || found[at] != 2 {
			t.Errorf("%d batches are found, number %d of them %d times, %v", len(found), at, found[at], err)
		}
		tamper(t, d, `DELETE FROM ledger_batch AS one USING ledger_batch AS other WHERE one.first_seq = other.first_seq AND one.time_max > other.time_max`)
	}
}
