package ledger_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/ledger/ledgertest"
)

// memory is a source in memory.
type memory struct {
	batches []ledger.Batch
	hashes  map[int64]ledger.Hash
	looked  int // look-ups
	most    int // entries in one of them
	failing error
}

func (m *memory) Next(context.Context) (*ledger.Batch, error) {
	if len(m.batches) == 0 {
		return nil, m.failing
	}
	b := m.batches[0]
	m.batches = m.batches[1:]
	return &b, nil
}

func (m *memory) Hashes(_ context.Context, seqs []int64, found func(int64, ledger.Hash)) error {
	m.looked++
	m.most = max(m.most, len(seqs))
	if !slices.IsSorted(seqs) {
		return errors.New("not sorted")
	}
	for _, seq := range seqs {
		if hash, ok := m.hashes[seq]; ok {
			found(seq, hash)
		}
	}
	return m.failing
}

// inMemory has the chains of l one after the other, or in turns.
func inMemory(l *ledgertest.Ledger, size int, inTurns bool, chains []int64) *memory {
	m := &memory{hashes: map[int64]ledger.Hash{}}
	of := map[int64][]ledger.Batch{}
	for _, chain := range chains {
		of[chain] = l.Batches(chain, size)
		for _, r := range l.Chains[chain] {
			if m.hashes[r.Seq] = r.Hash; r.Seq == l.Chains[chain][0].Seq {
				m.hashes[r.Seq-1] = r.Previous
			}
		}
	}
	for len(of) > 0 {
		for _, chain := range chains {
			n := len(of[chain])
			if inTurns {
				n = min(n, 1)
			}
			m.batches = append(m.batches, of[chain][:n]...)
			if of[chain] = of[chain][n:]; len(of[chain]) == 0 {
				delete(of, chain)
			}
		}
	}
	return m
}

// orders are ways to read the chains of a ledger.
func orders(l *ledgertest.Ledger) [][]int64 {
	chains := slices.Sorted(maps.Keys(l.Chains))
	backwards := slices.Clone(chains)
	slices.Reverse(backwards)
	return [][]int64{chains, backwards, slices.Concat(chains[1:], chains[:1])}
}

// TestVerify: whatever was done to a ledger, the verdict does not depend on how it is
// read.
func TestVerify(t *testing.T) {
	for _, test := range ledgertest.Cases() {
		t.Run(test.Name, func(t *testing.T) {
			l := ledgertest.New(t)
			test.Tamper(t, l)
			for _, chains := range orders(l) {
				for _, key := range []ed25519.PublicKey{l.Key, nil} {
					verifyInMemory(t, &test, l, key, chains)
					verifyExport(t, &test, l, key, chains)
				}
			}
		})
	}
}

func want(test *ledgertest.Case, keyed, partial bool) string {
	verdict := test.Want
	if !keyed {
		verdict = cmp.Or(test.Unkeyed, verdict)
	}
	if partial && (keyed || test.Unkeyed == "") {
		verdict = cmp.Or(test.Partial, verdict)
	}
	return verdict
}

// checkConfirmed checks why a ledger that is not broken is not confirmed.
func checkConfirmed(t *testing.T, test *ledgertest.Case, r *ledger.VerifyReport, keyed, partial bool) {
	t.Helper()
	switch {
	case r.Broken != 0:
		if r.Unconfirmed != "" {
			t.Errorf("broken, and unconfirmed because %s", r.Unconfirmed)
		}
	case !keyed || test.Unconfirmed != "":
		if r.Unconfirmed == "" || keyed && r.Unconfirmed != test.Unconfirmed {
			t.Errorf("unconfirmed because %q, want %q", r.Unconfirmed, test.Unconfirmed)
		}
	case partial && test.Partial != "":
		if !strings.HasSuffix(r.Unconfirmed, "are not in it") {
			t.Errorf("a part is unconfirmed because %q", r.Unconfirmed)
		}
	case r.Unconfirmed != "":
		t.Errorf("unconfirmed because %s", r.Unconfirmed)
	}
}

func verifyInMemory(t *testing.T, test *ledgertest.Case, l *ledgertest.Ledger, key ed25519.PublicKey, chains []int64) {
	t.Helper()
	for i := range 3 * 2 * 2 {
		size, inTurns, most := i%3+1, i/3%2 == 0, i/6*2
		m := inMemory(l, size, inTurns, chains)
		report, err := ledger.Verify(t.Context(), m, ledger.Options{Key: key, MaxClaims: most})
		if got := ledgertest.Verdict(&report); err != nil || got != want(test, key != nil, false) || report.Signed != (key != nil) {
			t.Fatalf("batches of %d, in turns %t, %d claims, in the order %d, key %x: %v\n%s, want\n%s", size, inTurns, most, chains, key, err, got, want(test, key != nil, false))
		}
		checkConfirmed(t, test, &report, key != nil, false)
		if most > 0 && m.most > most || most == 0 && m.looked > 1 {
			t.Errorf("%d look-ups, of up to %d claims where %d may be kept", m.looked, m.most, most)
		}
	}
}

func verifyExport(t *testing.T, test *ledgertest.Case, l *ledgertest.Ledger, key ed25519.PublicKey, chains []int64) {
	t.Helper()
	text, want := l.Export(chains...), want(test, key != nil, true)
	for _, most := range []int{0, 2} {
		report, err := ledger.Verify(t.Context(), ledger.NewExport(strings.NewReader(text)), ledger.Options{Key: key, Partial: true, MaxClaims: most})
		if got := ledgertest.Verdict(&report); err != nil || got != want {
			t.Fatalf("a file, %d claims, in the order %d, key %x: %v\n%s, want\n%s", most, chains, key, err, got, want)
		}
		checkConfirmed(t, test, &report, key != nil, true)
	}
	report, err := ledger.Verify(t.Context(), ledger.NewExport(struct{ io.Reader }{strings.NewReader(text)}), ledger.Options{Key: key, Partial: true})
	if got := ledgertest.Verdict(&report); !errors.Is(err, ledger.ErrReadOnce) && (err != nil || got != want) {
		t.Fatalf("a pipe, in the order %d, key %x: %v\n%s, want\n%s", chains, key, err, got, want)
	}
}

// TestVerifyLookUp: claims on entries that were passed long ago, amid a
// batch, or are far ahead.
func TestVerifyLookUp(t *testing.T) {
	for _, rewritten := range []bool{false, true} {
		l := ledgertest.New(t)
		l.Every = time.Millisecond
		l.Tokens(t, 0, 2000)
		l.Tokens(t, 2, 2000)
		for i := range int64(20) {
			l.Checkpoint(t, 0, l.At(0, 8+i), l.At(2, 1000+10*i))
		}
		want := "0: 1 to 2027, 27 confirmed; 2: 2-1 to 2-2005, 2-1190 confirmed; 5: 5-1 to 5-3, 5-2 confirmed"
		if rewritten {
			l.Rewrite(t, 2, 1001, func(e *ledger.Entry) { e.JTI += "x" })
			want = "0: 1 to 2027, 27 confirmed; 2: 2-1 to 2-2005, 2-1000 confirmed, 2-1010 broken: " +
				"it is not the entry that checkpoint 2009 names: it was rewritten with all that follow, or one after entry 2-1000 was; 5: 5-1 to 5-3, 5-2 confirmed"
		}
		for _, chains := range orders(l) {
			for _, most := range []int{0, 1, 7, 1000} {
				m := inMemory(l, 3, false, chains)
				report, err := ledger.Verify(t.Context(), m, ledger.Options{MaxClaims: most})
				if got := ledgertest.Verdict(&report); err != nil || got != want || m.looked == 0 {
					t.Errorf("%d claims, in the order %d, %d look-ups: %v\n%s, want\n%s", most, chains, m.looked, err, got, want)
				}
			}
		}
	}
}

// TestVerifyLostEntry: what was there when it was passed must be there when it is looked
// up.
func TestVerifyLostEntry(t *testing.T) {
	for _, seq := range []int64{1, 8} {
		l := ledgertest.New(t)
		l.Every = time.Millisecond
		l.Tokens(t, 0, 1000)
		l.Checkpoint(t, 0, l.At(0, seq))
		m := inMemory(l, 1, false, []int64{2, 5, 0})
		delete(m.hashes, seq)
		report, err := ledger.Verify(t.Context(), m, ledger.Options{})
		if err != nil || report.Broken != seq {
			t.Errorf("entry %d: %s, %v", seq, ledgertest.Verdict(&report), err)
		}
	}
}

// TestVerifyDropsClaimsOnPruned: they take no room from others.
func TestVerifyDropsClaimsOnPruned(t *testing.T) {
	l := ledgertest.New(t)
	l.Tokens(t, 9, 20)
	for n := range int64(20) {
		l.Checkpoint(t, 0, l.At(9, n+1))
	}
	l.Anchor(t, 0, l.At(9, 19))
	l.Remove(9, 1, 19)
	l.Tokens(t, 5, 10)
	for n := range int64(10) {
		l.Checkpoint(t, 2, l.At(5, n+1))
	}
	m := inMemory(l, 1, false, []int64{0, 9, 2, 5})
	report, err := ledger.Verify(t.Context(), m, ledger.Options{MaxClaims: 23})
	if err != nil || report.Broken != 0 || m.looked != 0 {
		t.Errorf("%d look-ups: %s, %v", m.looked, ledgertest.Verdict(&report), err)
	}
}

// TestVerifyOneChainOnce: one chain is read only once, because its checkpoints name only the
// entry before them.
func TestVerifyOneChainOnce(t *testing.T) {
	l := &ledgertest.Ledger{Chains: map[int64][]ledger.Record{}}
	l.SignWith(1)
	for range 50 {
		l.Tokens(t, 0, 20)
		l.Checkpoint(t, 0, l.Heads()...)
	}
	report, err := ledger.Verify(t.Context(), ledger.NewExport(struct{ io.Reader }{strings.NewReader(l.Export(0))}), ledger.Options{Partial: true})
	if got := ledgertest.Verdict(&report); err != nil || got != "0: 1 to 1050, 1049 confirmed" || report.Checkpoints != 50 {
		t.Errorf("%s, %v", got, err)
	}
}

// TestVerifyBatches: what a row of a store can have that a line of an export cannot.
func TestVerifyBatches(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ledger.Batch)
		want   string
	}{
		"nothing":             {func(*ledger.Batch) {}, "0: 1 to 7, 6 confirmed"},
		"no marks":            {func(b *ledger.Batch) { b.Marks = nil }, "0: 1 to 7, 6 confirmed"},
		"changed, some mark":  {func(b *ledger.Batch) { b.Lines[2], b.Marks = []byte("{}"), b.Marks[:8] }, "0: 1 to 3, 4 broken: its batch, up to entry 6, does not lead to the hash at its end"},
		"changed, marked":     {func(b *ledger.Batch) { b.Lines[2] = []byte("{}") }, "0: 1 to 5, 6 broken: it was changed: its hash is not that of its content"},
		"another mark":        {func(b *ledger.Batch) { b.Marks[0] ^= 1 }, "0: 1 to 3, 4 broken: it was changed: its hash is not that of its content"},
		"another end":         {func(b *ledger.Batch) { b.Last = make([]byte, 32) }, "0: 1 to 3, 4 broken: its batch, up to entry 6, does not lead to the hash at its end"},
		"an end that is near": {func(b *ledger.Batch) { b.Last = slices.Clone(b.Last); b.Last[31]++ }, "0: 1 to 3, 4 broken: its batch, up to entry 6, does not lead to the hash at its end"},
		"missing line":        {func(b *ledger.Batch) { b.Lines = b.Lines[:2] }, "0: 1 to 5, 6 broken: its line is missing"},
		"no lines":            {func(b *ledger.Batch) { b.Lines = nil }, "0: 1 to 3, 4 broken: its line is missing"},
		"added line":          {func(b *ledger.Batch) { b.Lines = append(b.Lines, []byte("{}")) }, "0: 1 to 6, 6 broken: lines were added after it"},
		"no count":            {func(b *ledger.Batch) { b.Count = 0 }, "0: 1 to 3, 4 broken: lines were added after it"},
		"negative count":      {func(b *ledger.Batch) { b.Count = -1 }, "0: 1 to 3, 4 broken: lines were added after it"},
		"huge count":          {func(b *ledger.Batch) { b.Count = 1 << 62 }, "0: 1 to 6, 7 broken: its line is missing"},
		"no link":             {func(b *ledger.Batch) { b.Previous = nil }, "0: 1 to 3, 4 broken: its link to the entry before is not a hash"},
		"unreadable":          {func(b *ledger.Batch) { *b = ledger.Batch{First: 4, Count: 3, Unreadable: errors.New("torn")} }, "0: 1 to 3, 4 broken: it cannot be read, nor the rest of its batch: torn"},
		"unreadable alone":    {func(b *ledger.Batch) { *b = ledger.Batch{First: 4, Count: 1, Unreadable: errors.New("torn")} }, "0: 1 to 3, 4 broken: it cannot be read: torn"},
	} {
		l := ledgertest.New(t)
		delete(l.Chains, 2)
		delete(l.Chains, 5)
		l.Rewrite(t, 0, 7, func(e *ledger.Entry) { e.Heads = ledger.FormatHeads(l.Heads()) })
		m := inMemory(l, 3, false, []int64{0}) // 1 to 3, 4 to 6, 7
		test.change(&m.batches[1])
		report, err := ledger.Verify(t.Context(), m, ledger.Options{})
		if got := ledgertest.Verdict(&report); err != nil || !strings.HasPrefix(strings.Replace(got, ", 3 confirmed", "", 1), test.want) {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, test.want)
		}
	}
}

// TestVerifyHeads: heads that were noted elsewhere must be in the ledger, unless they are
// of entries that were pruned.
func TestVerifyHeads(t *testing.T) {
	noted := ledgertest.New(t).Heads()
	changed := slices.Clone(noted)
	changed[0].Hash[31]++
	for name, test := range map[string]struct {
		tamper   func(*ledgertest.Ledger)
		heads    []ledger.Head
		compared int64
		broken   string
	}{
		"nothing":        {func(*ledgertest.Ledger) {}, noted, 3, ""},
		"recorded since": {func(l *ledgertest.Ledger) { l.Tokens(t, 2, 3) }, noted, 3, ""},
		"another hash":   {func(*ledgertest.Ledger) {}, changed, 3, "7: it is not the entry that a head noted elsewhere names: it was rewritten with all that follow, or one after entry 6 was"},
		"set back":       {func(l *ledgertest.Ledger) { l.Remove(0, 7, 7) }, noted, 3, "7: it is missing, with all up to entry 7, which a head noted elsewhere names"},
		"set back and continued": {func(l *ledgertest.Ledger) {
			l.Remove(0, 7, 7)
			l.Checkpoint(t, 0, l.Heads()...)
			l.Tokens(t, 0, 1)
		}, noted, 3, "7: it is not the entry that a head noted elsewhere names: it was rewritten with all that follow, or one after entry 6 was"},
		"without a chain": {func(l *ledgertest.Ledger) {
			l.Drop(t, func(_ int64, e *ledger.Entry) bool { return e.Kind == ledger.KindCheckpoint })
			delete(l.Chains, 2)
		}, noted[1:2], 1, "2-1: its whole chain is missing, of which a head noted elsewhere names entry 2-5"},
		"pruned": {func(l *ledgertest.Ledger) {
			l.Anchor(t, 5, l.At(0, 5))
			l.Remove(0, 1, 5)
		}, append([]ledger.Head{{Seq: 2, Hash: ledger.Hash{1}}}, noted...), 3, ""},
	} {
		l := ledgertest.New(t)
		test.tamper(l)
		for _, chains := range orders(l) {
			for _, most := range []int{0, 1, 2} {
				sources := []ledger.Source{inMemory(l, 2, false, chains), ledger.NewExport(strings.NewReader(l.Export(chains...)))}
				for i, source := range sources {
					report, err := ledger.Verify(t.Context(), source, ledger.Options{Key: l.Key, Heads: test.heads, MaxClaims: most, Partial: i == 1})
					got := ""
					if report.Broken != 0 {
						got = ledger.ShowSeq(report.Broken) + ": " + report.How
					}
					if err != nil || got != test.broken || report.Heads != test.compared {
						t.Errorf("%s, %d claims, in the order %d: %q, %d compared, %v; want %q, %d", name, most, chains, got, report.Heads, err, test.broken, test.compared)
					}
				}
			}
		}
	}
}

// TestVerifyCounts: what is confirmed, what is not yet, and what was pruned.
func TestVerifyCounts(t *testing.T) {
	l := ledgertest.New(t)
	l.Anchor(t, 5, l.At(0, 5))
	l.Remove(0, 1, 5)
	l.Tokens(t, 7, 4)
	l.Tokens(t, 0, 3)
	report, err := ledger.Verify(t.Context(), inMemory(l, 2, true, []int64{0, 2, 5, 7}), ledger.Options{Key: l.Key})
	got := ""
	for _, c := range report.Chains {
		got += fmt.Sprintf("%d: %s confirmed, %d open, %d pruned; ", c.Chain, ledger.ShowSeq(c.Confirmed), c.Open, c.Pruned)
	}
	const want = "0: 6 confirmed, 3 open, 5 pruned; 2: 2-5 confirmed, 0 open, 0 pruned; 5: 5-2 confirmed, 1 open, 0 pruned; 7: 0 confirmed, 4 open, 0 pruned; "
	if err != nil || got != want || !strings.Contains(report.Unconfirmed, "chain 7 has no checkpoint") || report.Broken != 0 {
		t.Errorf("%v, %+v\n%s, want\n%s", err, report, got, want)
	}
}

func TestVerifyExportLines(t *testing.T) {
	l := ledgertest.New(t)
	chain := func(n int64) string { return l.Export(n) }
	line := strings.SplitAfter(l.Export(2), "\n")
	for name, test := range map[string]struct{ text, want string }{
		"nothing":          {"", ""},
		"not an entry":     {chain(0) + chain(2) + "{}\n" + chain(5), "2: 2-1 to 2-5, 2-5 confirmed, 2-6 broken: it cannot be read: not a ledger entry"},
		"at the start":     {"x\n" + chain(0), "0: 0 to 0, 1 broken: it cannot be read: not a ledger entry"},
		"another spelling": {strings.Replace(chain(0), `{"seq":3,`, `{"seq": 3,`, 1), "0: 1 to 2, 3 broken: it cannot be read: not as the server writes an entry"},
		"no line feed":     {strings.TrimSuffix(chain(0)+chain(2)+chain(5), "\n"), "5: 5-1 to 5-3, 5-2 confirmed"},
		"later once more":  {chain(0) + chain(2) + line[1] + chain(5), "2: 2-1 to 2-5, 2-5 confirmed, 2-2 broken: it is there twice, or out of order"},
		"CR and LF":        {strings.ReplaceAll(chain(0), "\n", "\r\n"), "0: 1 to 7, 6 confirmed"},
		"blank line":       {line[0] + "\n" + line[1], "2: 2-1 to 2-1, 2-2 broken: it cannot be read"},
		"byte order mark":  {"\ufeff" + chain(0), "0: 0 to 0, 1 broken: it cannot be read"},
		"the last number":  {strings.Replace(chain(0), `{"seq":2,`, `{"seq":9223372036854775807,`, 1) + "x\n", "broken: no entry has such a number"},
		"after number -1":  {strings.Replace(strings.Replace(chain(0), `{"seq":1,`, `{"seq":-1,`, 1), "\n", "\nx\n", 1), "0: 0 to 0, 1 broken"},
		"out of order":     {chain(0) + line[2] + line[1] + chain(5), "2: 2-3 to 2-3, 2-2 broken: it is there twice, or out of order"},
		"with filters":     {chain(0) + line[0] + line[2], "2: 2-1 to 2-1, 2-2 broken: it is missing"},
		"negative":         {strings.Replace(chain(0), `{"seq":1,`, `{"seq":-1,`, 1), "-1: 0 to 0, -1-1099511627775 broken: no entry has such a number"},
	} {
		report, err := ledger.Verify(t.Context(), ledger.NewExport(strings.NewReader(test.text)), ledger.Options{Partial: true})
		if got := ledgertest.Verdict(&report); err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: %v\n%s, want\n%s", name, err, got, test.want)
		}
	}
	long := `{"seq":1,` + strings.Repeat(" ", ledger.MaxRecord)
	if _, err := ledger.Verify(t.Context(), ledger.NewExport(strings.NewReader(long)), ledger.Options{}); err == nil {
		t.Error("a line without end was read")
	}
}

func TestVerifyCannotBeMade(t *testing.T) {
	l := ledgertest.New(t)
	broken := errors.New("no disk")
	for name, test := range map[string]struct {
		source ledger.Source
		o      ledger.Options
		want   string
	}{
		"a key":     {&memory{}, ledger.Options{Key: l.Key[1:]}, "32 bytes"},
		"the end":   {&memory{failing: broken}, ledger.Options{}, "no disk"},
		"a look-up": {&memory{batches: inMemory(l, 1, false, []int64{0, 2}).batches, failing: nil}, ledger.Options{MaxClaims: 1}, ""},
	} {
		_, err := ledger.Verify(t.Context(), test.source, test.o)
		if got := fmt.Sprint(err); test.want != "" && !strings.Contains(got, test.want) || test.want == "" && err != nil {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ledger.Verify(ctx, ledger.NewExport(strings.NewReader(l.Export(0))), ledger.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a verification that was cancelled: %v", err)
	}
}
