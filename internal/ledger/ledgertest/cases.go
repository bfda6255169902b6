package ledgertest

import (
	"slices"
	"testing"

	"moneyer/internal/ledger"
)

// Case is a modification of the ledger of [New], and the expected verdict.
type Case struct {
	Name   string
	Tamper func(t testing.TB, l *Ledger)
	// Want is the verdict, Partial that on an export if it differs, Unkeyed that without
	// the checkpoint key if it differs.
	Want, Partial, Unkeyed string
	// Unconfirmed is why the whole ledger is not confirmed, although the key is known.
	Unconfirmed string
}

const (
	whole0 = "0: 1 to 7, 6 confirmed"
	whole2 = "2: 2-1 to 2-5, 2-5 confirmed"
	whole5 = "5: 5-1 to 5-3, 5-2 confirmed"
	whole  = whole0 + "; " + whole2 + "; " + whole5
)

// Cases are what every reader must detect, or accept.
func Cases() []Case {
	return slices.Concat(entryCases(), chainCases(), checkpointCases(), droppedCases(), unevenCases(), anchorCases(), falseAnchorCases())
}

func entryCases() []Case {
	return []Case{
		{Name: "nothing", Tamper: func(testing.TB, *Ledger) {}, Want: whole},
		{Name: "changed entry", Tamper: func(_ testing.TB, l *Ledger) { l.Chains[2][1].Line = []byte(`{"kind":"token"}`) },
			Want: whole0 + "; 2: 2-1 to 2-1, 2-2 broken: it was changed: its hash is not that of its content; " + whole5},
		{Name: "changed entry with its hash", Tamper: func(_ testing.TB, l *Ledger) {
			r := &l.Chains[2][1]
			r.Line = []byte(`{"kind":"token"}`)
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
		}, Want: whole0 + "; 2: 2-1 to 2-2, 2-3 broken: its link to the entry before is wrong; " + whole5},
		{Name: "a link whose end is wrong", Tamper: func(_ testing.TB, l *Ledger) {
			r := &l.Chains[2][1]
			r.Previous[31]++
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
		}, Want: whole0 + "; 2: 2-1 to 2-1, 2-2 broken: its link to the entry before is wrong; " + whole5},
		{Name: "missing entry", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(2, 2, 2) },
			Want: whole0 + "; 2: 2-1 to 2-1, 2-2 broken: it is missing; " + whole5},
		{Name: "missing entries", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(2, 2, 3) },
			Want: whole0 + "; 2: 2-1 to 2-1, 2-2 broken: it is missing, with all up to entry 2-3; " + whole5},
		{Name: "entry twice", Tamper: func(_ testing.TB, l *Ledger) {
			l.Chains[2] = slices.Insert(l.Chains[2], 2, l.Chains[2][1])
		}, Want: whole0 + "; 2: 2-1 to 2-2, 2-2 broken: it is there twice, or out of order; " + whole5},
		{Name: "a number that no entry has", Tamper: func(_ testing.TB, l *Ledger) { l.Chains[5][0].Seq-- },
			Want: whole0 + "; " + whole2 + "; 5: 0 to 0, 5-0 broken: no entry has such a number"},
		{Name: "the number 0", Tamper: func(_ testing.TB, l *Ledger) {
			r := ledger.Record{Line: []byte("{}")}
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
			l.Chains[0] = slices.Insert(l.Chains[0], 0, r)
			l.Chains[0][2].Line = []byte(`{"kind":"token"}`)
		}, Want: "0: 0 to 0, 1 broken: before it comes one with the number 0, which no entry has; " + whole2 + "; " + whole5},
		{Name: "a predecessor", Tamper: func(_ testing.TB, l *Ledger) {
			r := ledger.Record{Seq: ledger.Numbered(7, 1), Line: []byte("{}"), Previous: ledger.Hash{1}}
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
			l.Chains[7] = []ledger.Record{r}
		}, Want: whole + "; 7: 0 to 0, 7-1 broken: it claims a predecessor"},
	}
}

func chainCases() []Case {
	return []Case{
		{Name: "a chain that there cannot be", Tamper: func(t testing.TB, l *Ledger) { l.Tokens(t, ledger.MaxChain+1, 1) },
			Want: whole + "; 8192: 0 to 0, 8192-1 broken: no entry has such a number"},
		{Name: "cut tail", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(2, 5, 5) },
			Want: whole0 + "; 2: 2-1 to 2-4, 2-3 confirmed, 2-5 broken: it is missing, with all up to entry 2-5, which checkpoint 7 names; " + whole5},
		{Name: "cut tail of the first", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(0, 4, 7) },
			Want: "0: 1 to 3, 4 broken: it is missing, with all up to entry 6, which checkpoint 2-4 names; 2: 2-1 to 2-5, 2-5 confirmed; " + whole5},
		{Name: "a chain of somebody else, which a checkpoint of a server names", Tamper: func(t testing.TB, l *Ledger) {
			l.Tokens(t, 7, 2)
			l.Tokens(t, 0, 1)
			l.Checkpoint(t, 0, l.Heads()...)
		}, Want: "0: 1 to 9, 8 confirmed; " + whole2 + "; 5: 5-1 to 5-3, 5-3 confirmed; 7: 7-1 to 7-2, 7-2 confirmed",
			Unconfirmed: "chain 7 has no checkpoint of its own: its entries may not be by a server"},
		{Name: "missing chain", Tamper: func(_ testing.TB, l *Ledger) { delete(l.Chains, 2) },
			Want: whole0 + "; 2: 0 to 0, 2-1 broken: its whole chain is missing, of which checkpoint 7 names entry 2-5; " + whole5},
		{Name: "missing first chain", Tamper: func(_ testing.TB, l *Ledger) { delete(l.Chains, 0) },
			Want: "0: 0 to 0, 1 broken: its whole chain is missing, of which checkpoint 2-4 names entry 6; " + whole2 + "; " + whole5},
		{Name: "rewritten chain", Tamper: func(t testing.TB, l *Ledger) { l.Rewrite(t, 2, 1, anotherJTI) },
			Want: whole0 + "; 2: 2-1 to 2-5, 2-3 broken: it is not the entry that checkpoint 2-4 names: it was rewritten with all that follow, or one before it was; " + whole5},
		{Name: "rewritten tail", Tamper: func(t testing.TB, l *Ledger) { l.Rewrite(t, 0, 5, anotherJTI) },
			Want: "0: 1 to 7, 4 confirmed, 6 broken: it is not the entry that checkpoint 7 names: it was rewritten with all that follow, or one after entry 4 was; " + whole2 + "; " + whole5},
		{Name: "rewritten and changed", Tamper: func(t testing.TB, l *Ledger) {
			l.Checkpoint(t, 5, l.At(2, 2))
			l.Rewrite(t, 2, 1, anotherJTI)
			l.Chains[2][4].Line = []byte(`{}`)
		}, Want: whole0 + "; 2: 2-1 to 2-4, 2-2 broken: it is not the entry that checkpoint 5-4 names: it was rewritten with all that follow, or one before it was; " +
			"5: 5-1 to 5-4, 5-2 confirmed"},
		{Name: "changed and cut", Tamper: func(_ testing.TB, l *Ledger) {
			l.Chains[2][1].Line = []byte(`{}`)
			l.Remove(2, 4, 5)
		}, Want: "0: 1 to 7, 6 confirmed; 2: 2-1 to 2-1, 2-2 broken: it was changed: its hash is not that of its content; " + whole5},
	}
}

func anotherJTI(e *ledger.Entry) { e.JTI += "x" }

func checkpointCases() []Case {
	rewriteLast := func(change func(*Ledger, *ledger.Entry)) func(testing.TB, *Ledger) {
		return func(t testing.TB, l *Ledger) {
			l.Rewrite(t, 5, 3, func(e *ledger.Entry) { change(l, e) })
		}
	}
	end := func(how string) string { return whole0 + "; " + whole2 + "; 5: 5-1 to 5-3, 5-2 confirmed, " + how }
	falseHead := func(n int64, change func(*ledger.Hash)) func(testing.TB, *Ledger) {
		return func(t testing.TB, l *Ledger) {
			h := l.At(0, n)
			change(&h.Hash)
			l.Checkpoint(t, 5, h)
		}
	}
	const false54 = " broken: it is not the entry that checkpoint 5-4 names: it was rewritten with all that follow, or one before it was; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed"
	const foreign = "5-3 broken: its signature is not by the checkpoint key"
	without5 := "0: 1 to 7, 6 confirmed; " + whole2 + "; "
	return []Case{
		{Name: "signed by another", Tamper: rewriteLast(func(l *Ledger, e *ledger.Entry) {
			l.SignWith(2)
			_ = e.Sign(5, l.sign)
		}), Want: end(foreign), Unkeyed: whole},
		{Name: "signed for another chain", Tamper: rewriteLast(func(l *Ledger, e *ledger.Entry) { _ = e.Sign(2, l.sign) }),
			Want: end(foreign), Unkeyed: whole},
		{Name: "no signature", Tamper: rewriteLast(func(_ *Ledger, e *ledger.Entry) { e.Signature = "" }), Want: end(foreign), Unkeyed: whole},
		{Name: "signature that is none", Tamper: rewriteLast(func(_ *Ledger, e *ledger.Entry) { e.Signature = "=" }),
			Want: end("5-3 broken: its signature is not base64url: illegal base64 data at input byte 0")},
		{Name: "another spelling of a signature", Tamper: rewriteLast(func(_ *Ledger, e *ledger.Entry) {
			last := len(e.Signature) - 1
			e.Signature = e.Signature[:last] + string(e.Signature[last]+1) // the bits that stand for nothing
		}), Want: end("5-3 broken: its signature is not base64url: illegal base64 data at input byte 84")},
		{Name: "a false head of the first entry", Tamper: falseHead(1, func(h *ledger.Hash) { *h = ledger.Hash{1} }),
			Want: "0: 1 to 7, 6 confirmed, 1" + false54},
		{Name: "a head whose end is false", Tamper: falseHead(5, func(h *ledger.Hash) { h[31]++ }),
			Want: "0: 1 to 7, 6 confirmed, 5" + false54},
		{Name: "heads that are none", Tamper: rewriteLast(func(l *Ledger, e *ledger.Entry) {
			e.Heads = "0-4"
			_ = e.Sign(5, l.sign)
		}), Want: end("5-3 broken: the hash of entry 4 is not 32 bytes in hex")},
		{Name: "a checkpoint that cannot be read", Tamper: func(_ testing.TB, l *Ledger) {
			r := &l.Chains[5][2]
			r.Line = []byte(`{"kind":"checkpoint","time":1}`)
			r.Hash = ledger.ChainHash(r.Previous, r.Line)
		}, Want: without5 + `5: 5-1 to 5-3, 5-2 confirmed, 5-3 broken: ledger entry 5-3: Time.UnmarshalJSON: input is not a JSON string`},
		{Name: "two that differ", Tamper: func(t testing.TB, l *Ledger) {
			l.Checkpoint(t, 2, ledger.Head{Seq: 5, Hash: ledger.Hash{1}})
			l.Checkpoint(t, 5, l.At(0, 5))
		}, Want: "0: 1 to 7, 6 confirmed, 5 broken: it is not the entry that checkpoint 2-6 names: it was rewritten with all that follow, or one before it was; " +
			"2: 2-1 to 2-6, 2-5 confirmed; 5: 5-1 to 5-4, 5-2 confirmed"},
		{Name: "two that differ on what is gone", Tamper: func(t testing.TB, l *Ledger) {
			l.Checkpoint(t, 2, ledger.Head{Seq: 5, Hash: ledger.Hash{1}})
			l.Anchor(t, 2, l.At(0, 6))
			l.Remove(0, 1, 6)
		}, Want: "0: 7 to 7; 2: 2-1 to 2-7, 2-5 confirmed; " + whole5},
	}
}

func anchorCases() []Case {
	const gone = " broken: the entries before it are gone, and no anchor confirms that they were pruned"
	both := func(zero string) string { return zero + "; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed" }
	anchor := func(last func(*Ledger) ledger.Head, pruned int64) func(testing.TB, *Ledger) {
		return func(t testing.TB, l *Ledger) {
			l.Anchor(t, 5, last(l))
			if pruned > 0 {
				l.Remove(0, 1, pruned)
			}
		}
	}
	at := func(n int64) func(*Ledger) ledger.Head { return func(l *Ledger) ledger.Head { return l.At(0, n) } }
	false5 := func(*Ledger) ledger.Head { return ledger.Head{Seq: 5, Hash: ledger.Hash{1}} }
	const not5 = "5 broken: it is not the entry that anchor 5-4 names: it was rewritten with all that follow, or one "
	return []Case{
		{Name: "no start", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(0, 1, 4) },
			Want: "0: 5 to 7, 6 confirmed, 5" + gone + "; " + whole2 + "; " + whole5, Partial: "0: 5 to 7, 6 confirmed; " + whole2 + "; " + whole5},
		{Name: "no first entry", Tamper: func(_ testing.TB, l *Ledger) { l.Remove(0, 1, 1) },
			Want: "0: 2 to 7, 6 confirmed, 2" + gone + "; " + whole2 + "; " + whole5, Partial: "0: 2 to 7, 6 confirmed; " + whole2 + "; " + whole5},
		{Name: "pruned, and its anchor not reached", Tamper: func(t testing.TB, l *Ledger) {
			anchor(at(5), 5)(t, l)
			l.Chains[5][1].Line = []byte(`{}`)
		}, Want: "0: 6 to 7, 6 confirmed; " + whole2 + "; 5: 5-1 to 5-1, 5-2 broken: it was changed: its hash is not that of its content"},
		{Name: "an anchor of no entry", Tamper: anchor(func(*Ledger) ledger.Head { return ledger.Head{} }, 0),
			Want: whole0 + "; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed, 5-4 broken: it is an anchor that does not name the last pruned entry, or what it was judged by"},
		{Name: "pruned", Tamper: anchor(at(5), 5), Want: both("0: 6 to 7, 6 confirmed")},
		{Name: "pruning that was cut short", Tamper: anchor(at(5), 2), Want: both("0: 3 to 7, 6 confirmed")},
		{Name: "pruned beyond the anchor", Tamper: anchor(at(3), 4), Want: both("0: 5 to 7, 6 confirmed, 5" + gone), Partial: both("0: 5 to 7, 6 confirmed")},
		{Name: "a gap behind an anchor", Tamper: func(t testing.TB, l *Ledger) {
			l.Anchor(t, 5, l.At(0, 5))
			l.Remove(0, 3, 5)
		}, Want: both("0: 1 to 2, 3 broken: it is missing, with all up to entry 5")},
		{Name: "a false anchor of what is gone", Tamper: anchor(false5, 5), Want: both("0: 6 to 7, 6 confirmed, " + not5 + "before it was")},
		{Name: "a false anchor of what is there", Tamper: anchor(false5, 0), Want: both("0: 1 to 7, 6 confirmed, " + not5 + "before it was")},
		{Name: "an anchor beyond the end", Tamper: anchor(func(*Ledger) ledger.Head { return ledger.Head{Seq: 1000000} }, 0),
			Want: both("0: 1 to 7, 6 confirmed, 8 broken: it is missing, with all up to entry 1000000, which anchor 5-4 names")},
		{Name: "an anchor of a chain that is gone", Tamper: anchor(func(*Ledger) ledger.Head { return ledger.Head{Seq: ledger.Numbered(3, 9)} }, 0),
			Want: whole0 + "; " + whole2 + "; 3: 0 to 0, 3-1 broken: its whole chain is missing, of which anchor 5-4 names entry 3-9; 5: 5-1 to 5-4, 5-2 confirmed"},
		{Name: "an anchor that cannot be read", Tamper: func(t testing.TB, l *Ledger) {
			e := l.anchor(t, 5, ledger.Head{Seq: 4})
			e.Object += "0"
			l.resign(t, 5, e)
			l.Append(t, 5, e)
		}, Want: whole0 + "; " + whole2 + "; 5: 5-1 to 5-4, 5-2 confirmed, 5-4 broken: it is an anchor that does not name the last pruned entry, or what it was judged by"},
		{Name: "what is called as an anchor's action", Tamper: func(t testing.TB, l *Ledger) {
			e := l.anchor(t, 5, ledger.Head{Seq: 4})
			l.Append(t, 5, &ledger.Entry{Kind: ledger.KindToken, Action: e.Action, Object: "9"})
			l.Append(t, 5, &ledger.Entry{Kind: ledger.KindAdmin, Action: "x", Actor: e.Action})
		}, Want: whole0 + "; " + whole2 + "; 5: 5-1 to 5-5, 5-2 confirmed"},
	}
}
