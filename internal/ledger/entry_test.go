package ledger_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// fullEntry has every field set, each to a value of its own.
func fullEntry() ledger.Entry {
	var e ledger.Entry
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("the " + v.Type().Field(i).Name)
		case reflect.Int64:
			f.SetInt(int64(i))
		default:
			f.Set(reflect.ValueOf(noon.Add(time.Duration(i) * 1001 * time.Millisecond)))
		}
	}
	return e
}

// line is the entry's canonical line.
func line(t testing.TB, e *ledger.Entry) string {
	t.Helper()
	text, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fraction = regexp.MustCompile(`(T\d\d:\d\d:\d\d)(?:\.(\d+))?Z"`)

// canonicalTimes brings fractions of a second to the canonical line's form.
func canonicalTimes(text string) string {
	return fraction.ReplaceAllStringFunc(text, func(s string) string {
		m := fraction.FindStringSubmatch(s)
		return m[1] + "." + (m[2] + "000")[:3] + `Z"`
	})
}

// The line is what encoding/json writes, but for the fractions of its times.
func TestEntryLineIsThatOfEncodingJSON(t *testing.T) {
	full := fullEntry()
	entries := []ledger.Entry{{}, {Time: noon}, full}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		one := ledger.Entry{Kind: "x", Time: noon}
		reflect.ValueOf(&one).Elem().Field(i).Set(v.Field(i))
		entries = append(entries, one)
	}
	for _, text := range []string{"a\"b", "a\\b", "a<b>&c", "tab\tline\n\x00", "é\u2028\u2029", "cut \xc3", "\x7f", strings.Repeat("long", 300)} {
		entries = append(entries, ledger.Entry{Time: noon, Found: text, Correlation: text})
	}
	for i := range entries {
		want, err := json.Marshal(&entries[i])
		if err != nil {
			t.Fatal(err)
		}
		if got := line(t, &entries[i]); got != canonicalTimes(string(want)) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestEntryTimes(t *testing.T) {
	cet := time.FixedZone("CET", 3600)
	for want, at := range map[string]time.Time{
		"2026-11-02T12:00:00.000Z": noon,
		"2026-11-02T11:00:00.007Z": time.Date(2026, 11, 2, 12, 0, 0, 7_999_999, cet),
		"2026-11-02T12:00:00.999Z": noon.Add(time.Second - time.Nanosecond),
		"0001-01-01T00:00:00.000Z": {},
	} {
		if got := line(t, &ledger.Entry{Time: at}); !strings.Contains(got, `"time":"`+want+`"`) {
			t.Errorf("%s is written as %s, want %s", at, got, want)
		}
	}
	for _, e := range []ledger.Entry{{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, {Expires: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}} {
		if _, err := e.AppendJSON(nil); err == nil {
			t.Errorf("%s and %s have no form in RFC 3339", e.Time, e.Expires)
		}
	}
}

func TestEntryAppendsToWhatIsThere(t *testing.T) {
	e := fullEntry()
	text, err := e.AppendJSON([]byte("before "))
	if err != nil || string(text) != "before "+line(t, &e) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestRecordReadsItsEntry(t *testing.T) {
	want := fullEntry()
	r := ledger.Record{Seq: 7, Line: []byte(line(t, &want))}
	if got, err := r.Entry(); err != nil || *got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	r.Line = r.Line[1:]
	if e, err := r.Entry(); err == nil || !strings.Contains(err.Error(), "ledger entry 7") || e != nil {
		t.Errorf("a broken line gives %+v, %v", e, err)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("d1", "corr <&>", "scope \"x\"", int64(1793620800000), int64(3))
	f.Add("\xff\u2028", "\x00", "", int64(-62135596800000), int64(-1))
	f.Fuzz(func(t *testing.T, client, correlation, scope string, milli, count int64) {
		want := ledger.Entry{Kind: ledger.KindToken, Time: time.UnixMilli(milli).UTC(), Client: client, Correlation: correlation, Scope: scope, Count: count}
		text, err := want.AppendJSON(nil)
		marshaled, jsonErr := json.Marshal(&want)
		if (err == nil) != (jsonErr == nil) {
			t.Fatalf("error %v, encoding/json has %v", err, jsonErr)
		}
		if err != nil {
			return
		}
		var got, reference ledger.Entry
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if err := json.Unmarshal(marshaled, &reference); err != nil {
			t.Fatal(err)
		}
		if got != reference {
			t.Errorf("%+v came back from %s, want %+v", got, text, reference)
		}
		if strings.ContainsAny(string(text), "\n\r") {
			t.Errorf("more than one line: %q", text)
		}
	})
}

func TestChainHash(t *testing.T) {
	a := ledger.ChainHash([32]byte{}, []byte("a"))
	if a == ledger.ChainHash([32]byte{1}, []byte("a")) || a == ledger.ChainHash([32]byte{}, []byte("b")) {
		t.Error("the hash does not depend on both its predecessor and its line")
	}
}

func TestQueryMatches(t *testing.T) {
	e := fullEntry()
	for _, q := range []ledger.Query{
		{}, {Kind: e.Kind}, {Issuer: e.Issuer}, {Client: e.Client}, {Correlation: e.Correlation}, {JTI: e.JTI},
		{Since: e.Time}, {Until: e.Time.Add(time.Nanosecond)}, {After: []int64{9}, Limit: 1},
	} {
		if !q.Matches(&e) {
			t.Errorf("%+v does not match", q)
		}
	}
	for _, q := range []ledger.Query{
		{Kind: "x"}, {Issuer: "x"}, {Client: "x"}, {Correlation: "x"}, {JTI: "x"},
		{Since: e.Time.Add(time.Nanosecond)}, {Until: e.Time},
	} {
		if q.Matches(&e) {
			t.Errorf("%+v matches", q)
		}
	}
}

func BenchmarkEntryAppendJSON(b *testing.B) {
	e := &ledger.Entry{
		Kind: ledger.KindToken, Time: noon.Add(123456789), Issuer: "d1", Client: clientID, Correlation: "0b7a3a6e-5d2f-4e0c-9d59-1c40a7b8a1f2",
		JTI: "abcdefghijklmnopqrstu", Credential: "key-2026-11", SigningKid: "VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo",
		Subject: clientID, Scope: "d1-s2s:api:merchant-gtw", Expires: noon.Add(15 * time.Minute),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.AppendJSON(nil); err != nil {
			b.Fatal(err)
		}
	}
}
