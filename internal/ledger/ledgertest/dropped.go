package ledgertest

import (
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// droppedCases are what someone can do who writes the database, does not have the key, and
// computes the chains anew.
func droppedCases() []Case {
	checkpoints := func(_ int64, e *ledger.Entry) bool { return e.Kind == ledger.KindCheckpoint }
	later := func(t testing.TB, l *Ledger) {
		l.Wait(time.Hour)
		l.Tokens(t, 0, 1)
	}
	const late = " broken: no checkpoint confirms it, and the newest entry was made "
	const removed = ": checkpoints were removed, or no server could sign them"
	return []Case{
		{Name: "checkpoints dropped", Tamper: func(t testing.TB, l *Ledger) {
			later(t, l)
			l.Drop(t, checkpoints)
		}, Want: "0: 1 to 6, 1" + late + "1h0m15s later" + removed + "; 2: 2-1 to 2-4, 2-1" + late + "1h0m11s later" + removed + "; 5: 5-1 to 5-2, 5-1" + late + "1h0m8s later" + removed},
		{Name: "checkpoints dropped, and a server continues", Tamper: func(t testing.TB, l *Ledger) {
			later(t, l)
			l.Drop(t, checkpoints)
			l.Resume(t, 0)
			l.Tokens(t, 0, 1)
			l.Checkpoint(t, 0, l.Heads()...)
		}, Want: "0: 1 to 9, 8 confirmed, 1 broken: no checkpoint confirms it nor what was recorded in the 1h0m15s after it, before a server continued the chain: checkpoints were removed; " +
			"2: 2-1 to 2-4, 2-4 confirmed; 5: 5-1 to 5-2, 5-2 confirmed"},
		{Name: "the last checkpoints dropped", Tamper: func(t testing.TB, l *Ledger) {
			later(t, l)
			l.Drop(t, func(seq int64, e *ledger.Entry) bool { return checkpoints(seq, e) && seq != 4 })
		}, Want: "0: 1 to 7, 3 confirmed, 5" + late + "1h0m6s later" + removed + "; 2: 2-1 to 2-4, 2-1" + late + "1h0m11s later" + removed + "; 5: 5-1 to 5-2, 5-1" + late + "1h0m8s later" + removed},
		{Name: "all checkpoints of a young ledger dropped", Tamper: func(t testing.TB, l *Ledger) { l.Drop(t, checkpoints) },
			Want: "0: 1 to 5; 2: 2-1 to 2-4; 5: 5-1 to 5-2", Unconfirmed: "there is no checkpoint"},
		{Name: "a checkpoint dropped in the middle", Tamper: func(t testing.TB, l *Ledger) {
			l.Drop(t, func(seq int64, _ *ledger.Entry) bool { return seq == 4 })
		}, Want: "0: 1 to 6, 4 broken: it is not the entry that checkpoint 5-3 names: it was rewritten with all that follow, or one before it was; " + whole2 + "; " + whole5},
		{Name: "a checkpoint dropped that no other contradicts", Tamper: func(t testing.TB, l *Ledger) {
			for range 2 {
				l.Tokens(t, 5, 1)
				l.Checkpoint(t, 5, l.At(0, 5))
			}
			l.Drop(t, func(seq int64, e *ledger.Entry) bool { return seq == ledger.Numbered(5, 5) })
		}, Want: whole0 + "; " + whole2 + "; 5: 5-1 to 5-6, 5-2 confirmed, 5-6 broken: it is checkpoint 3 and follows entry 5-5, but the checkpoint before it in the chain is 1, entry 5-3: checkpoints were removed or added"},
		{Name: "a first checkpoint with another number", Tamper: func(t testing.TB, l *Ledger) {
			l.Tokens(t, 7, 1)
			l.checkpoint(t, 7, &ledger.Checkpoint{Number: 1, Previous: l.At(7, 1), Heads: l.Heads()})
		}, Want: "0: 1 to 7, 7 confirmed; " + whole2 + "; 5: 5-1 to 5-3, 5-3 confirmed; 7: 7-1 to 7-2, 7-1 confirmed, 7-2 broken: it is checkpoint 2 of a chain without an earlier one: checkpoints were removed"},
		{Name: "a checkpoint that follows no checkpoint", Tamper: func(t testing.TB, l *Ledger) {
			l.Tokens(t, 7, 3)
			l.checkpoint(t, 7, &ledger.Checkpoint{Number: 1, Previous: l.At(7, 2), Heads: l.Heads()})
			l.Anchor(t, 0, l.At(7, 1))
			l.Remove(7, 1, 1)
		}, Want: "0: 1 to 8, 7 confirmed; " + whole2 + "; 5: 5-1 to 5-3, 5-3 confirmed; 7: 7-2 to 7-4, 7-3 confirmed, 7-4 broken: it follows entry 7-2, which is not a checkpoint"},
	}
}

// unevenCases are ledgers whose checkpoints come late without anybody's doing, or whose entries
// have no times.
func unevenCases() []Case {
	return []Case{
		{Name: "a killed server continues", Tamper: func(t testing.TB, l *Ledger) {
			l.Checkpoint(t, 0, l.Heads()...)
			l.Tokens(t, 0, 2)
			l.Wait(time.Hour)
			l.Resume(t, 0)
			l.Wait(time.Hour)
			l.Tokens(t, 0, 1)
		}, Want: "0: 1 to 12, 10 confirmed; " + whole2 + "; 5: 5-1 to 5-3, 5-3 confirmed"},
		{Name: "a killed server continues later than another", Tamper: func(t testing.TB, l *Ledger) {
			l.Tokens(t, 5, 2)
			l.Checkpoint(t, 0, l.Heads()...)
			l.Wait(time.Hour)
			l.Tokens(t, 0, 1)
		}, Want: "0: 1 to 9, 7 confirmed; " + whole2 + "; 5: 5-1 to 5-5, 5-5 confirmed"},
		{Name: "a server that is idle at times", Tamper: func(t testing.TB, l *Ledger) {
			for range 3 {
				l.Tokens(t, 0, 2)
				l.Checkpoint(t, 0, l.Heads()...)
				l.Wait(time.Hour)
			}
			l.Tokens(t, 0, 1)
		}, Want: "0: 1 to 17, 15 confirmed; " + whole2 + "; 5: 5-1 to 5-3, 5-3 confirmed"},
		{Name: "entries without times", Tamper: func(t testing.TB, l *Ledger) {
			l.Tokens(t, 0, 1)
			r := &l.Chains[0][7]
			r.Line = []byte(`{"kind":"token","jti":"x"}`)
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
		}, Want: "0: 1 to 8, 6 confirmed, 8 broken: it has no time; " + whole2 + "; " + whole5},
	}
}

// falseAnchorCases are anchors that would hide the start of a chain.
func falseAnchorCases() []Case {
	const (
		gone    = "0: 6 to 7, 6 confirmed, 6 broken: the entries before it are gone, and no anchor confirms that they were pruned; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed, 5-4 broken: "
		part    = "0: 6 to 7, 6 confirmed; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed, 5-4 broken: "
		pruned  = "0: 6 to 7, 6 confirmed; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed"
		foreign = "its signature is not by the checkpoint key"
		young   = "it is an anchor for the removal of entries up to 5, of which some were younger than the retention of "
		odd     = "it is an anchor that does not name the last pruned entry, or what it was judged by"
	)
	anchor := func(change func(*Ledger, *ledger.Entry)) func(testing.TB, *Ledger) {
		return func(t testing.TB, l *Ledger) {
			e := l.anchor(t, 5, l.At(0, 5))
			change(l, e)
			l.Append(t, 5, e)
			l.Remove(0, 1, 5)
		}
	}
	signed := func(change func(*ledger.Entry)) func(testing.TB, *Ledger) {
		return anchor(func(l *Ledger, e *ledger.Entry) {
			change(e)
			_ = e.Sign(5, l.sign)
		})
	}
	return []Case{
		{Name: "an anchor signed by another", Tamper: anchor(func(l *Ledger, e *ledger.Entry) {
			l.SignWith(2)
			_ = e.Sign(5, l.sign)
		}), Want: gone + foreign, Partial: part + foreign, Unkeyed: pruned},
		{Name: "an anchor without a signature", Tamper: anchor(func(_ *Ledger, e *ledger.Entry) { e.Signature = "" }), Want: gone + foreign, Partial: part + foreign, Unkeyed: pruned},
		{Name: "an anchor signed for another chain", Tamper: anchor(func(l *Ledger, e *ledger.Entry) { _ = e.Sign(2, l.sign) }), Want: gone + foreign, Partial: part + foreign, Unkeyed: pruned},
		{Name: "an anchor with the signature of a checkpoint", Tamper: anchor(func(l *Ledger, e *ledger.Entry) {
			cp, _ := l.Chains[5][2].Entry()
			e.Signature = cp.Signature
		}), Want: gone + foreign, Partial: part + foreign, Unkeyed: pruned},
		{Name: "an anchor whose retention was changed", Tamper: anchor(func(_ *Ledger, e *ledger.Entry) { e.Retention = 1 }), Want: gone + foreign, Partial: part + foreign, Unkeyed: pruned},
		{Name: "an anchor of entries that were to be kept", Tamper: signed(func(e *ledger.Entry) { e.Retention = 24 * 3600 }), Want: gone + young + "24h0m0s", Partial: part + young + "24h0m0s"},
		{Name: "an anchor that keeps to its retention", Tamper: signed(func(e *ledger.Entry) {
			e.Retention, e.Newest = 24*3600, e.Time.Add(-24*time.Hour)
		}), Want: pruned},
		{Name: "an anchor of an impossible retention", Tamper: signed(func(e *ledger.Entry) { e.Retention = 1 << 62 }), Want: gone + odd, Partial: part + odd},
		{Name: "an anchor of a negative retention", Tamper: signed(func(e *ledger.Entry) { e.Retention = -3600 }), Want: gone + odd, Partial: part + odd},
		{Name: "an anchor without the newest entry's time", Tamper: signed(func(e *ledger.Entry) { e.Newest = time.Time{} }), Want: gone + young + "0s", Partial: part + young + "0s"},
		{Name: "an anchor of another checkpoint", Tamper: signed(func(e *ledger.Entry) { e.Number++ }), Want: "0: 6 to 7, 6 confirmed, 7 broken: it is checkpoint 2, but anchor 5-4 names 3 as the first after the removed entries: checkpoints were removed; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed"},
		{Name: "an anchor of an earlier checkpoint", Tamper: signed(func(e *ledger.Entry) { e.Number-- }), Want: "0: 6 to 7, 6 confirmed, 7 broken: it is checkpoint 2, but anchor 5-4 names 1 as the first after the removed entries: checkpoints were removed; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed"},
		{Name: "a checkpoint dropped after what was pruned", Tamper: func(t testing.TB, l *Ledger) {
			l.Anchor(t, 5, l.At(2, 4))
			l.Remove(2, 1, 4)
		}, Want: whole0 + "; 2: 2-5 to 2-5, 2-5 confirmed, 2-5 broken: checkpoint 2, which anchor 5-4 names as the first after the removed entries, is missing; 5: 5-1 to 5-4, 5-2 confirmed"},
	}
}
