package ledger_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"moneyer/internal/ledger"
)

func TestParseRecordRefuses(t *testing.T) {
	zero := strings.Repeat("0", 64)
	good := `{"seq":1,"previous":"` + zero + `","hash":"` + zero + `","entry":{}}`
	if _, err := ledger.ParseRecord([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"", "{}", "nonsense", good + " ", strings.Replace(good, `:1`, `: 1`, 1), strings.Replace(good, `"seq":1`, `"seq":1,"seq":1`, 1),
		strings.Replace(good, zero, zero[1:], 1), strings.ReplaceAll(good, zero, strings.Repeat("x", 64)), strings.Replace(good, "seq", "SEQ", 1),
		strings.Replace(good, `{}}`, `{},"more":1}`, 1), strings.Replace(good, `,"entry":{}`, "", 1),
	} {
		if r, err := ledger.ParseRecord([]byte(line)); err == nil {
			t.Errorf("%q was read as %+v", line, r)
		}
	}
}

// What reads a line with others around it need not mind how it is spelt.
func TestRecordIsJSON(t *testing.T) {
	want := []ledger.Record{{Seq: 7, Line: []byte(`{"kind":"token","found":"<a>"}`), Previous: ledger.Hash{1}, Hash: ledger.Hash{2}}}
	text, err := json.MarshalIndent(want, " ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var got []ledger.Record
	if err := json.Unmarshal(text, &got); err != nil || len(got) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	e, err := got[0].Entry()
	if err != nil || e.Found != "<a>" {
		t.Errorf("%+v, %v", e, err)
	}
	if got[0].Line = want[0].Line; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// FuzzParseRecord holds the reader to the writer: there is one spelling.
func FuzzParseRecord(f *testing.F) {
	zero := strings.Repeat("0", 64)
	f.Add([]byte(`{"seq":1,"previous":"` + zero + `","hash":"` + zero + `","entry":{"kind":"admin"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ledger.ParseRecord(line)
		if err == nil && string(r.AppendJSON(nil)) != string(line) {
			t.Errorf("%q was read as %+v", line, r)
		}
	})
}

// FuzzParseHeads holds the reader of heads to their writer.
func FuzzParseHeads(f *testing.F) {
	zero := strings.Repeat("0", 64)
	f.Add("0-1:" + zero)
	f.Add("0-1201:" + zero + " 3-7:" + strings.Repeat("9a", 32))
	f.Fuzz(func(t *testing.T, text string) {
		heads, err := ledger.ParseHeads(text)
		if err != nil {
			return
		}
		if again := ledger.FormatHeads(heads); again != text {
			t.Errorf("%q became %q", text, again)
		}
		for i, h := range heads {
			if ledger.PlaceOf(h.Seq) == 0 || ledger.ChainOf(h.Seq) > ledger.MaxChain || i > 0 && ledger.ChainOf(heads[i-1].Seq) >= ledger.ChainOf(h.Seq) {
				t.Errorf("%q was read as %+v", text, heads)
			}
		}
	})
}
