package ledger_test

import (
	"strings"
	"testing"

	"moneyer/internal/ledger"
)

func TestSeq(t *testing.T) {
	for text, seq := range map[string]int64{
		"0": 0, "1": 1, "1201": 1201, "3-1": 3<<40 | 1, "3-0": 3 << 40, "8191-1099511627775": 1<<53 - 1,
	} {
		parsed, err := ledger.ParseSeq(text)
		if err != nil || parsed != seq || ledger.ShowSeq(seq) != text {
			t.Errorf("%s is read as %d, %v, and %d shown as %s", text, parsed, err, seq, ledger.ShowSeq(seq))
		}
		if again := ledger.Numbered(ledger.ChainOf(seq), ledger.PlaceOf(seq)); again != seq || int64(float64(seq)) != seq {
			t.Errorf("%s: %d became %d", text, seq, again)
		}
	}
	for text, want := range map[string]string{"3298534883329": "3-1", "0-7": "7", "00-07": "7"} { // other spellings
		if seq, err := ledger.ParseSeq(text); err != nil || ledger.ShowSeq(seq) != want {
			t.Errorf("%s is read as %s, %v", text, ledger.ShowSeq(seq), err)
		}
	}
	for _, text := range []string{"", "-", "-1", "1-", "a", "+1", "1-+2", "1.5", "3-1-1", "3-1099511627776", "8192-1", "9007199254740992",
		"9223372036854775807", "9223372036854775808", "16777216-1", strings.Repeat("9", 100)} {
		if seq, err := ledger.ParseSeq(text); err == nil {
			t.Errorf("%s was read as %d", text, seq)
		}
	}
}

func TestHeads(t *testing.T) {
	heads := []ledger.Head{{Seq: 1201, Hash: [32]byte{1, 0xAB}}, {Seq: ledger.Numbered(3, 77), Hash: [32]byte{31: 0xFF}}}
	text := "0-1201:01ab" + strings.Repeat("0", 60) + " 3-77:" + strings.Repeat("0", 62) + "ff"
	if got := ledger.FormatHeads(heads); got != text {
		t.Errorf("written as %s", got)
	}
	got, err := ledger.ParseHeads(text)
	if err != nil || len(got) != 2 || got[0] != heads[0] || got[1] != heads[1] {
		t.Errorf("read as %+v, %v", got, err)
	}
	first, second, _ := strings.Cut(text, " ")
	for _, text := range []string{"", " ", "x", first + " ", second + " " + first, strings.ToUpper(text), "1201:" + first[7:], text[:len(text)-2], text + "00",
		strings.Replace(text, " ", "  ", 1), strings.Replace(text, "3-77", "3-077", 1), "0-1201",
		strings.Replace(text, "3-77", "3-0", 1), first + " " + first} {
		if heads, err := ledger.ParseHeads(text); err == nil {
			t.Errorf("%q was read as %+v", text, heads)
		}
	}
}

func TestCheckpointMessage(t *testing.T) {
	e := &ledger.Entry{Kind: ledger.KindCheckpoint, Time: noon, Heads: "0-1:00", Number: 7, Previous: "3-9:00", Resumed: 10, Registry: "x"}
	err := e.Sign(3, func(message []byte) ([]byte, error) {
		if got := string(message); got != "moneyer checkpoint v2\nchain 3\nnumber 7\nprevious 3-9:00\nresumed 10\ntime 2026-11-02T12:00:00.000Z\nheads 0-1:00\nregistry x\n" {
			t.Errorf("%q", got)
		}
		return []byte{0xFF}, nil
	})
	if err != nil || e.Signature != "_w" {
		t.Errorf("the signature is %s, %v", e.Signature, err)
	}
}

func TestQueryFrom(t *testing.T) {
	q := ledger.Query{After: []int64{7, ledger.Numbered(3, 0)}}
	for chain, want := range map[int64]int64{0: 8, 1: ledger.Numbered(1, 1), 3: ledger.Numbered(3, 1)} {
		if got := q.From(chain); got != want {
			t.Errorf("chain %d from %s, want %s", chain, ledger.ShowSeq(got), ledger.ShowSeq(want))
		}
	}
}
