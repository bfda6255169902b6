package storetest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// useOnce offers each of many assertions 64 times at once, so that some meet in
// one batch and others in different ones: one caller wins, all others learn what
// the winner sealed, and the ledger knows one entry.
func useOnce(t testing.TB, s Store) {
	const callers, assertions = 64, 24
	var races [assertions]race
	concurrently(callers, func(caller int) {
		for i := range assertions {
			n := (i + caller/8) % assertions
			races[n].offer(t, s, n, fmt.Sprint("sealed by ", caller))
		}
	})
	for n := range races {
		races[n].check(t, n, callers)
		if _, found := records(t, s, ledger.Query{JTI: token(n).JTI}); len(found) != 1 {
			t.Errorf("assertion %d has %d entries", n, len(found))
		}
	}
	if report := verified(t, s); ledger.PlaceOf(report.Last) != assertions {
		t.Errorf("the ledger ends with entry %s, want the %dth of its chain", ledger.ShowSeq(report.Last), assertions)
	}
}

// race is the results of the callers that offered one assertion.
type race struct {
	mu sync.Mutex
	// won is what the winners sealed, told what the losers got.
	won, told []string
}

func (r *race) offer(t testing.TB, s Store, n int, sealed string) {
	err := s.Append(t.Context(), token(n), use(n, sealed))
	r.mu.Lock()
	defer r.mu.Unlock()
	var used *ledger.ReplayedError
	switch {
	case err == nil:
		r.won = append(r.won, sealed)
	case errors.As(err, &used):
		r.told = append(r.told, string(used.Sealed))
	default:
		t.Errorf("assertion %d: %v", n, err)
	}
}

func (r *race) check(t testing.TB, n, callers int) {
	t.Helper()
	if len(r.won) != 1 || len(r.told) != callers-1 {
		t.Errorf("assertion %d had %d winners and %d losers", n, len(r.won), len(r.told))
		return
	}
	for _, told := range r.told {
		if told != r.won[0] {
			t.Errorf("assertion %d: a loser was told %q, the winner left %q", n, told, r.won[0])
		}
	}
}

// consumedStaysConsumed offers an assertion again after its first use was committed.
func consumedStaysConsumed(t testing.TB, s Store) {
	must(t, s.Append(t.Context(), token(1), use(1, "first")))
	must(t, s.Append(t.Context(), token(2), use(2, "")))
	must(t, s.Append(t.Context(), token(3)))
	for n, want := range map[int]string{1: "first", 2: ""} {
		for range 3 {
			var used *ledger.ReplayedError
			err := s.Append(t.Context(), token(n), use(n, "later"))
			if !errors.As(err, &used) || string(used.Sealed) != want {
				t.Errorf("assertion %d again: %v, sealed %q, want %q", n, err, used.Sealed, want)
			}
		}
	}
	if _, found := records(t, s, ledger.Query{}); len(found) != 3 {
		t.Errorf("%d entries, want 3", len(found))
	}
}

// acknowledgedIsRecorded looks for each entry the moment its Append returns, and
// at the chain of all in the end.
func acknowledgedIsRecorded(t testing.TB, s Store) {
	const callers, each = 16, 12
	concurrently(callers, func(caller int) {
		for i := range each {
			e := token(caller*each + i)
			if err := s.Append(t.Context(), e); err != nil {
				t.Error(err)
				return
			}
			found := 0
			err := s.Entries(t.Context(), ledger.Query{JTI: e.JTI}, func(*ledger.Record) error { found++; return nil })
			if err != nil || found != 1 {
				t.Errorf("entry %s is there %d times after its Append returned (%v)", e.JTI, found, err)
			}
		}
	})
	all, _ := records(t, s, ledger.Query{})
	checkChain(t, all)
	if report := verified(t, s); report.First != all[0].Seq || ledger.PlaceOf(report.Last) != callers*each || report.Head != all[len(all)-1].Hash {
		t.Errorf("verified from %s to %s, head %x", ledger.ShowSeq(report.First), ledger.ShowSeq(report.Last), report.Head)
	}
}

// checkChain recomputes the one chain of records from its first entry.
func checkChain(t testing.TB, records []*ledger.Record) {
	t.Helper()
	var hash [32]byte
	for i, r := range records {
		if r.Seq != ledger.Numbered(ledger.ChainOf(records[0].Seq), int64(i+1)) || r.Previous != hash {
			t.Fatalf("record %d has number %s and does not link to the one before", i+1, ledger.ShowSeq(r.Seq))
		}
		if hash = ledger.ChainHash(hash, r.Line); r.Hash != hash {
			t.Fatalf("record %d has a wrong hash", i+1)
		}
	}
}

// goneCallers appends with a context that is already cancelled.
func goneCallers(t testing.TB, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, token(1), use(1, "")); !errors.Is(err, context.Canceled) {
		t.Errorf("append for a gone caller: %v", err)
	}
	if err := s.Append(t.Context(), token(1), use(1, "")); err != nil {
		t.Errorf("the assertion was consumed for a gone caller: %v", err)
	}
}

// entriesByQuery selects by each field of a query.
func entriesByQuery(t testing.TB, s Store) {
	for n := range 60 {
		e := token(n)
		e.Correlation = fmt.Sprintf("<correlation %d>", n)
		must(t, s.Append(t.Context(), e))
	}
	must(t, s.Append(t.Context(), &ledger.Entry{Kind: ledger.KindRefusal, Time: start(), Issuer: "other"}))
	all, _ := records(t, s, ledger.Query{Limit: 1})
	chain := ledger.ChainOf(all[0].Seq)
	after := func(n int64) []int64 { return []int64{ledger.Numbered(chain, n), ledger.Numbered(chain+1, 1)} }
	at := func(seconds int) time.Time { return start().Add(time.Duration(seconds) * time.Second) }
	for _, test := range []struct {
		name        string
		q           ledger.Query
		count       int
		first, last int64
	}{
		{"all", ledger.Query{}, 61, 1, 61},
		{"after", ledger.Query{After: after(58)}, 3, 59, 61},
		{"after the end", ledger.Query{After: after(61)}, 0, 0, 0},
		{"after the end of another chain", ledger.Query{After: after(58)[1:]}, 61, 1, 61},
		{"since", ledger.Query{Since: at(50)}, 10, 51, 60},
		{"until", ledger.Query{Until: at(2)}, 3, 1, 61},
		{"between", ledger.Query{Since: at(10), Until: at(12)}, 2, 11, 12},
		{"a fraction later", ledger.Query{Since: at(58).Add(1)}, 1, 60, 60},
		{"kind", ledger.Query{Kind: ledger.KindRefusal}, 1, 61, 61},
		{"issuer", ledger.Query{Issuer: issuer}, 60, 1, 60},
		{"client", ledger.Query{Client: "client-1"}, 20, 2, 59},
		{"correlation", ledger.Query{Correlation: "<correlation 7>"}, 1, 8, 8},
		{"jti", ledger.Query{JTI: "jti-59"}, 1, 60, 60},
		{"none", ledger.Query{JTI: "jti"}, 0, 0, 0},
		{"limit", ledger.Query{Client: "client-0", Limit: 4}, 4, 1, 10},
		{"all together", ledger.Query{After: after(5), Since: at(3), Until: at(30), Kind: ledger.KindToken,
			Issuer: issuer, Client: "client-2", Limit: 5}, 5, 6, 18},
	} {
		found, _ := records(t, s, test.q)
		var first, last int64
		if len(found) > 0 {
			first, last = ledger.PlaceOf(found[0].Seq), ledger.PlaceOf(found[len(found)-1].Seq)
		}
		if len(found) != test.count || first != test.first || last != test.last {
			t.Errorf("%s: %d entries from %d to %d, want %d from %d to %d",
				test.name, len(found), first, last, test.count, test.first, test.last)
		}
		if !slices.IsSortedFunc(found, func(a, b *ledger.Record) int { return int(a.Seq - b.Seq) }) {
			t.Errorf("%s: out of order", test.name)
		}
	}
	enough, visited := errors.New("enough"), 0
	err := s.Entries(t.Context(), ledger.Query{}, func(*ledger.Record) error { visited++; return enough })
	if !errors.Is(err, enough) || visited != 1 {
		t.Errorf("a visit that fails: %d visits, %v", visited, err)
	}
}

// prune removes old entries twice, and the ledger must stay valid.
func prune(t testing.TB, s Store) {
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	sign := func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }
	for n := range 50 {
		must(t, s.Append(t.Context(), token(n)))
	}
	for _, step := range []struct{ before, gone, first int64 }{{0, 0, 1}, {20, 20, 21}, {20, 0, 21}, {45, 25, 46}} {
		gone, err := s.Prune(t.Context(), start().Add(time.Duration(step.before)*time.Second), 0, sign)
		must(t, err)
		if gone != step.gone {
			t.Errorf("pruned %d entries older than %d s, want %d", gone, step.before, step.gone)
		}
		if report := verified(t, s); ledger.PlaceOf(report.First) != step.first {
			t.Errorf("the ledger begins with %s, want the %dth of its chain", ledger.ShowSeq(report.First), step.first)
		}
	}
	if _, left := records(t, s, ledger.Query{Client: "client-0"}); len(left) != 2 {
		t.Errorf("%d entries of client-0 are left, want 2", len(left))
	}
	must(t, s.Append(t.Context(), token(50)))
	_, err = s.Prune(t.Context(), start().AddDate(100, 0, 0), 0, sign)
	must(t, err)
	if report := verified(t, s); ledger.PlaceOf(report.First) <= 51 {
		t.Errorf("after all was pruned the ledger begins with %s", ledger.ShowSeq(report.First))
	}
	must(t, s.Append(t.Context(), token(51)))
	verified(t, s)
	if report, err := s.Verify(t.Context(), public); err != nil || report.Broken != 0 {
		t.Errorf("verified with the key: %+v, %v", report, err)
	}
	pruneByRetention(t, s, public, sign)
}

// pruneByRetention: an anchor states the retention by which it is judged.
func pruneByRetention(t testing.TB, s Store, key ed25519.PublicKey, sign ledger.Signer) {
	t.Helper()
	for range 2 {
		must(t, s.Append(t.Context(), token(52)))
	}
	const retention = time.Hour
	for _, keep := range []time.Duration{100 * 365 * 24 * time.Hour, retention} {
		_, err := s.Prune(t.Context(), start().AddDate(100, 0, 0), keep, sign)
		if young := keep > retention; young && err == nil {
			t.Error("entries that are younger than the retention were pruned")
		}
	}
	all, _ := records(t, s, ledger.Query{Kind: ledger.KindAdmin})
	for _, r := range all {
		a, err := r.Anchor(key)
		must(t, err)
		if a == nil || a.Retention != 0 && a.Retention != retention || a.Checkpoint != 1 || a.Newest.IsZero() {
			t.Errorf("the anchor %s says %+v", r.Line, a)
		}
	}
}

// forget deletes keys if, and only if, their assertions have expired.
func forget(t testing.TB, s Store) {
	const keys = 300
	for n := range keys {
		u := use(n, "")
		u.Until = start().Add(time.Duration(n) * time.Second)
		must(t, s.Append(t.Context(), token(n), u))
	}
	gone, err := s.Forget(t.Context(), start().Add(279*time.Second))
	must(t, err)
	if gone != 280 {
		t.Errorf("%d keys forgotten, want 280", gone)
	}
	if err := s.Append(t.Context(), token(0), use(0, "")); err != nil {
		t.Errorf("a forgotten key: %v", err)
	}
	var used *ledger.ReplayedError
	if err := s.Append(t.Context(), token(280), use(280, "")); !errors.As(err, &used) {
		t.Errorf("a key that is still needed: %v", err)
	}
}

// checkpoint names the head of the ledger under a signature, when there is
// something new to name.
func checkpoint(t testing.TB, s Store) {
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	other, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	sign := func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }
	mustCheckpoint(t, s, sign)
	if all, _ := records(t, s, ledger.Query{}); len(all) != 0 {
		t.Errorf("a ledger without entries got %d", len(all))
	}
	for n := range 3 {
		must(t, s.Append(t.Context(), token(n)))
		for range 2 { // there is nothing new the second time
			mustCheckpoint(t, s, sign)
		}
		all, entries := records(t, s, ledger.Query{})
		if len(all) != 2*n+2 {
			t.Fatalf("%d entries, want %d", len(all), 2*n+2)
		}
		r, e, before := all[2*n+1], entries[2*n+1], all[2*n]
		var previous ledger.Head
		if n > 0 {
			previous = ledger.Head{Seq: all[2*n-1].Seq, Hash: all[2*n-1].Hash}
		}
		cp, err := r.Checkpoint(public)
		if err != nil || len(cp.Heads) != 1 || cp.Heads[0] != (ledger.Head{Seq: before.Seq, Hash: before.Hash}) || e.Kind != ledger.KindCheckpoint {
			t.Errorf("the checkpoint %s says %+v, %v", r.Line, cp, err)
		}
		if cp != nil && (cp.Number != int64(n+1) || cp.Previous != previous || cp.Resumed != 0) {
			t.Errorf("checkpoint %d says %+v, and the one before is %+v", n+1, cp, previous)
		}
	}
	for _, c := range []struct {
		key           ed25519.PublicKey
		signed, whole bool
	}{{public, true, true}, {nil, false, true}, {other, true, false}} {
		report, err := s.Verify(t.Context(), c.key)
		must(t, err)
		if report.Signed != c.signed || (report.Broken == 0) != c.whole || c.whole && (report.Checkpoints != 3 || ledger.PlaceOf(report.Chains[0].Confirmed) != 5) {
			t.Errorf("verified with key %x: %+v", c.key, report)
		}
	}
	all, _ := records(t, s, ledger.Query{})
	for _, noted := range []ledger.Head{{Seq: all[1].Seq, Hash: all[1].Hash}, {Seq: all[1].Seq, Hash: all[0].Hash}, {Seq: all[5].Seq + 1}} {
		report, err := s.Verify(t.Context(), public, noted)
		must(t, err)
		if there := noted.Hash == all[1].Hash; (report.Broken == 0) != there || report.Heads != 1 {
			t.Errorf("verified with the head %s that was noted elsewhere: %+v", ledger.ShowSeq(noted.Seq), report)
		}
	}
	unavailable := errors.New("no key")
	must(t, s.Append(t.Context(), token(4)))
	if _, err := s.Checkpoint(t.Context(), func([]byte) ([]byte, error) { return nil, unavailable }); !errors.Is(err, unavailable) {
		t.Errorf("a checkpoint that nobody signs: %v", err)
	}
	verified(t, s)
}

func mustCheckpoint(t testing.TB, s Store, sign ledger.Signer) {
	t.Helper()
	_, err := s.Checkpoint(t.Context(), sign)
	must(t, err)
}
