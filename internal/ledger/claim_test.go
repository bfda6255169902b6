package ledger_test

import (
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/ledger/ledgertest"
)

// TestVerifyClaimsThatDiffer: of many claims on one entry each counts once, and the first
// that is not true is named.
func TestVerifyClaimsThatDiffer(t *testing.T) {
	const last = 100
	for _, most := range []int{0, last + 1} {
		l := &ledgertest.Ledger{Chains: map[int64][]ledger.Record{}}
		l.SignWith(1)
		l.Tokens(t, 2, 9)
		for i := range 3 * last {
			l.Checkpoint(t, 0, ledger.Head{Seq: ledger.Numbered(2, 5), Hash: ledger.Hash{byte(i % last), byte(i % last >> 8)}})
		}
		l.Checkpoint(t, 0, l.At(2, 5))
		const want = "0: 1 to 301; 2: 2-1 to 2-9, 2-5 confirmed, 2-5 broken: " +
			"it is not the entry that checkpoint 1 names: it was rewritten with all that follow, or one before it was"
		for _, chains := range orders(l) {
			m := inMemory(l, 1, false, chains)
			report, err := ledger.Verify(t.Context(), m, ledger.Options{Key: l.Key, MaxClaims: most})
			if got := ledgertest.Verdict(&report); err != nil || got != want || m.looked != 0 {
				t.Errorf("%d claims, in the order %d, %d look-ups: %v\n%s, want\n%s", most, chains, m.looked, err, got, want)
			}
		}
	}
}
