package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
)

// exported are the lines of an export that is being made.
type exported struct {
	t     *testing.T
	key   ed25519.PrivateKey
	heads []ledger.Head
	lines map[int64][]string // by chain
}

func (x *exported) entry(chain int64, e *ledger.Entry) {
	x.t.Helper()
	line, err := e.AppendJSON(nil)
	if err != nil {
		x.t.Fatal(err)
	}
	i := slices.IndexFunc(x.heads, func(h ledger.Head) bool { return ledger.ChainOf(h.Seq) == chain })
	if i < 0 {
		i = len(x.heads)
		x.heads = append(x.heads, ledger.Head{Seq: ledger.Numbered(chain, 0)})
	}
	h := &x.heads[i]
	r := ledger.Record{Seq: h.Seq + 1, Previous: h.Hash, Hash: ledger.ChainHash(h.Hash, line), Line: line}
	h.Seq, h.Hash = r.Seq, r.Hash
	x.lines[chain] = append(x.lines[chain], string(adminapi.AppendRecord(nil, &r)))
}

func (x *exported) tokens(chain int64, n int) {
	for i := range n {
		x.entry(chain, &ledger.Entry{Kind: ledger.KindToken, JTI: fmt.Sprint(chain, i, len(x.lines[chain]))})
	}
}

func (x *exported) checkpoint(chain int64, heads ...ledger.Head) {
	e := &ledger.Entry{Kind: ledger.KindCheckpoint, Time: time.Unix(1e9, 0)}
	if heads == nil {
		heads = x.heads
	}
	e.Heads = ledger.FormatHeads(heads)
	e.Signature = base64.RawURLEncoding.EncodeToString(ed25519.Sign(x.key, e.CheckpointMessage(chain)))
	x.entry(chain, e)
}

// newExport is an export of three chains:
//
//	chain 0: 1 to 3, 4 names 0-3, 5 to 6, 7 names 0-6 2-5 5-2
//	chain 2: 1 to 3, 4 names 0-6 2-3 5-2, 5
//	chain 5: 1 to 2, 3 names 0-4 2-5 5-2
func newExport(t *testing.T) *exported {
	x := &exported{t: t, key: ed25519.NewKeyFromSeed(make([]byte, 32)), lines: map[int64][]string{}}
	x.tokens(0, 3)
	x.checkpoint(0)
	x.tokens(2, 3)
	x.tokens(5, 2)
	x.tokens(0, 2)
	at4 := ledger.Head{Seq: 4}
	r, err := adminapi.ParseRecord([]byte(x.lines[0][3]))
	if err != nil {
		t.Fatal(err)
	}
	at4.Hash = r.Hash
	x.checkpoint(2)
	x.tokens(2, 1)
	x.checkpoint(0)
	x.checkpoint(5, at4, x.heads[1], x.heads[2])
	return x
}

// without drops lines of a chain: the first, and those from the given index on.
func (x *exported) cut(chain int64, from, to int) { x.lines[chain] = x.lines[chain][from:to] }

func (x *exported) text(chains ...int64) string {
	var text strings.Builder
	for _, chain := range chains {
		for _, line := range x.lines[chain] {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}

func TestVerifyExportOfSeveralChains(t *testing.T) {
	foreign := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	rebuild := func(x *exported, chain int64, change func()) { // from its start, all links right
		x.heads = slices.DeleteFunc(x.heads, func(h ledger.Head) bool { return ledger.ChainOf(h.Seq) == chain })
		x.lines[chain] = nil
		change()
	}
	for name, test := range map[string]struct {
		change         func(x *exported) string // makes the export
		broken         string                   // the first broken entry of each broken chain
		how            string
		keyed          bool // found only with the key
		report, chains string
	}{
		"whole":                 {change: func(x *exported) string { return x.text(0, 2, 5) }, report: "0: 1 7 6; 2: 2-1 2-5 2-5; 5: 5-1 5-3 5-2; "},
		"in another order":      {change: func(x *exported) string { return x.text(5, 0, 2) }, report: "0: 1 7 6; 2: 2-1 2-5 2-5; 5: 5-1 5-3 5-2; "},
		"in turns":              {change: inTurns, report: "0: 1 7 6; 2: 2-1 2-5 2-5; 5: 5-1 5-3 5-2; "},
		"only later entries":    {change: func(x *exported) string { x.cut(0, 4, 7); x.cut(2, 3, 5); x.cut(5, 2, 3); return x.text(0, 2, 5) }, report: "0: 5 7 6; 2: 2-4 2-5 2-5; 5: 5-3 5-3 0; "},
		"missing chain":         {change: func(x *exported) string { return x.text(0, 5) }, broken: "2-1", how: "whole chain is missing, of which checkpoint 7 names entry 2-5"},
		"missing first chain":   {change: func(x *exported) string { return x.text(2, 5) }, broken: "1", how: "whole chain is missing"},
		"cut tail":              {change: func(x *exported) string { x.cut(2, 0, 4); return x.text(0, 2, 5) }, broken: "2-5", how: "up to entry 2-5, which checkpoint 7 names"},
		"cut tail of the first": {change: func(x *exported) string { x.cut(0, 0, 3); return x.text(0, 2, 5) }, broken: "4", how: "up to entry"},
		"missing entry":         {change: func(x *exported) string { x.lines[2] = slices.Delete(x.lines[2], 1, 2); return x.text(0, 2, 5) }, broken: "2-2", how: "missing"},
		"entry twice":           {change: func(x *exported) string { return x.text(0, 2) + x.lines[2][1] + "\n" + x.text(5) }, broken: "2-2", how: "twice"},
		"changed entry": {change: func(x *exported) string { return strings.Replace(x.text(0, 2, 5), `"5 1 1"`, `"5 1 2"`, 1) },
			broken: "5-2", how: "changed"},
		"not an entry": {change: func(x *exported) string { return x.text(0, 2) + "{}\n" + x.text(5) }, broken: "2-6", how: "not a"},
		"rewritten chain to come": {change: func(x *exported) string {
			rebuild(x, 2, func() { x.tokens(2, 4); x.tokens(2, 2) })
			return x.text(0, 2, 5)
		}, broken: "2-5", how: "not the entry that checkpoint 7 names"},
		"rewritten chain that came": {change: func(x *exported) string {
			rebuild(x, 0, func() { x.tokens(0, 4); x.tokens(0, 5) })
			return x.text(0, 2, 5)
		}, broken: "4", how: "not the entry that checkpoint"},
		"signed by another": {change: func(x *exported) string {
			x.key = foreign
			x.checkpoint(5)
			return x.text(0, 2, 5)
		}, broken: "5-4", how: "not by the checkpoint key", keyed: true},
		"a number that no entry has": {change: func(x *exported) string {
			return strings.Replace(x.text(0, 2, 5), `{"seq":5497558138881,`, `{"seq":5497558138880,`, 1)
		}, broken: "5-0", how: "no entry has such a number"},
		"a predecessor": {change: func(x *exported) string {
			x.heads = append(x.heads, ledger.Head{Seq: 7 << ledger.ChainShift, Hash: [32]byte{1}})
			x.tokens(7, 1)
			return x.text(0, 2, 5, 7)
		}, broken: "7-1", how: "claims a predecessor"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newExport(t)
			key := ed25519.PublicKey(slices.Clone(x.key[32:]))
			text := test.change(x)
			file := filepath.Join(t.TempDir(), "ledger.ndjson")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &onboarding{app: &app{}}
			for _, key := range []ed25519.PublicKey{key, nil} {
				v, err := o.verifyFile(file, key)
				if err != nil {
					t.Fatal(err)
				}
				var broken []string
				report := ""
				for _, c := range v.Chains {
					report += fmt.Sprintf("%d: %s %s %s; ", c.Chain, ledger.ShowSeq(c.First), ledger.ShowSeq(c.Last), ledger.ShowSeq(c.Confirmed))
					if c.Broken != 0 {
						broken = append(broken, ledger.ShowSeq(c.Broken))
					}
				}
				want := test.broken
				if key == nil && test.keyed {
					want = ""
				}
				if strings.Join(broken, " ") != want || v.Whole != (want == "") || want != "" && !strings.Contains(v.How, test.how) {
					t.Errorf("with key %x: %+v; want %q with %q", key, v, want, test.how)
				}
				if test.report != "" && report != test.report {
					t.Errorf("the chains are %s want %s", report, test.report)
				}
			}
			o.in = strings.NewReader(text)
			_, err := o.verifyFile("-", key)
			var f *failure
			if err != nil && (!errors.As(err, &f) || f.code != exitUsage || !strings.Contains(err.Error(), "as a file")) {
				t.Errorf("from standard input: %v", err)
			}
		})
	}
}

// inTurns exports first a part of each chain, then the rest.
func inTurns(x *exported) string {
	rest := map[int64][]string{}
	for chain, lines := range x.lines {
		x.lines[chain], rest[chain] = lines[:2], lines[2:]
	}
	text := x.text(0, 2, 5)
	x.lines = rest
	return text + x.text(0, 2, 5)
}

func TestNewestOfSeveralChains(t *testing.T) {
	x := &exported{t: t, lines: map[int64][]string{}}
	for i := range 30 {
		chain := int64(i%3) * 4
		x.entry(chain, &ledger.Entry{Kind: ledger.KindToken, Time: time.Unix(int64(1e9+i), 0), JTI: fmt.Sprint(i)})
	}
	var newest newestEntries
	newest.limit = 4
	if err := adminapi.EachLine(strings.NewReader(x.text(0, 4, 8)), newest.line); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, d := range newest.sorted() {
		got += ledger.ShowSeq(d.record.Seq) + " " + d.entry.JTI + "; "
	}
	if got != "8-9 26; 10 27; 4-10 28; 8-10 29; " {
		t.Errorf("the newest are %s", got)
	}
}
