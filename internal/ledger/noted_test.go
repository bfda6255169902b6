package ledger_test

import (
	"slices"
	"strings"
	"testing"

	"moneyer/internal/ledger"
)

func TestReadHeads(t *testing.T) {
	one, two := ledger.Head{Seq: 7, Hash: ledger.Hash{1}}, ledger.Head{Seq: ledger.Numbered(2, 5), Hash: ledger.Hash{2}}
	other := ledger.Head{Seq: 7, Hash: ledger.Hash{0, 1}}
	text := ledger.FormatHeads([]ledger.Head{one, two})
	logged := `{"time":"2026-11-02T12:00:00Z","level":"INFO","msg":"checkpoint","heads":"` + text + `"}`
	for _, test := range []struct {
		text string
		want []ledger.Head
	}{
		{text, []ledger.Head{one, two}},
		{text + "\r\n\n" + text + "\n", []ledger.Head{one, two}},
		{`{"msg":"token"}` + "\n" + logged + "\n" + `{"msg":"checkpoint"`, []ledger.Head{one, two}},
		{ledger.FormatHeads([]ledger.Head{two}) + "\n" + ledger.FormatHeads([]ledger.Head{one}) + "\n" + ledger.FormatHeads([]ledger.Head{other}), []ledger.Head{other, one, two}},
		{"", nil}, {`{"heads":""}`, nil}, {`{"msg":"token"}`, nil}, {"checkpoint", nil}, {logged[:len(logged)-1], nil}, {text + "x", nil}, {`{"heads":7}`, nil},
		{strings.Replace(logged, "0-7", "7", 1), nil},
	} {
		got, err := ledger.ReadHeads(strings.NewReader(test.text))
		if (err == nil) != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q is read as %v, %v", test.text, got, err)
		}
	}
}

// FuzzReadHeads: what was read is sorted, and is read again from what FormatHeads writes.
func FuzzReadHeads(f *testing.F) {
	text := ledger.FormatHeads([]ledger.Head{{Seq: 7}, {Seq: ledger.Numbered(2, 5)}})
	f.Add(text)
	f.Add(`{"heads":"` + text + `"}`)
	f.Fuzz(func(t *testing.T, text string) {
		heads, err := ledger.ReadHeads(strings.NewReader(text))
		if err != nil {
			return
		}
		again := ""
		for _, head := range heads {
			again += ledger.FormatHeads([]ledger.Head{head}) + "\n"
		}
		if got, err := ledger.ReadHeads(strings.NewReader(again)); err != nil || !slices.Equal(got, heads) {
			t.Errorf("%q is read as %v, and then as %v, %v", text, heads, got, err)
		}
	})
}
