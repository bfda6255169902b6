package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"moneyer/internal/strictjson"
)

// walk calls Object and returns the raw text of each member by name.
func walk(data string, limits strictjson.Limits) (map[string]string, error) {
	members := map[string]string{}
	err := strictjson.Object([]byte(data), limits, func(name string, v strictjson.Value) error {
		members[name] = string(v.Raw())
		return nil
	})
	return members, err
}

func TestObjectRefuses(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for name, tc := range map[string]struct {
		text, what string
	}{
		"nothing":             {``, "want an object"},
		"blank":               {" \n", "want an object"},
		"byte order mark":     {"\ufeff{}", "want an object"},
		"array":               {`[]`, "want an object"},
		"string":              {`"a"`, "want an object"},
		"no end":              {`{`, "want a member name"},
		"no end after a name": {`{"a"`, "want a colon"},
		"no end after value":  {`{"a":1`, "want a comma or the end of the object"},
		"text after":          {`{}x`, "text after the object"},
		"second object":       {`{}{}`, "text after the object"},
		"NUL after":           {"{}\x00", "text after the object"},
		"form feed":           {"{\f}", "want a member name"},
		"trailing comma":      {`{"a":1,}`, "want a member name"},
		"leading comma":       {`{,"a":1}`, "want a member name"},
		"no comma":            {`{"a":1 "b":2}`, "want a comma or the end of the object"},
		"no value":            {`{"a":}`, "want a value"},
		"single quotes":       {`{'a':1}`, "want a member name"},
		"bare name":           {`{a:1}`, "want a member name"},
		"comment":             {`{/**/}`, "want a member name"},
		"duplicate":           {`{"a":1,"a":1}`, `member "a" occurs twice`},
		"escaped duplicate":   {`{"a":1,"\u0061":1}`, `member "a" occurs twice`},
		"nested duplicate":    {`{"x":[{"a":1,"b":{},"a":1}]}`, `member "a" occurs twice`},
		"deep":                {deep(8), "nested too deep"},
		"deep objects":        {strings.Repeat(`{"a":`, 9), "nested too deep"},
		"array comma":         {`{"a":[1,]}`, "want a value"},
		"array no comma":      {`{"a":[1 2]}`, "want a comma or the end of the array"},
		"array no end":        {`{"a":[1`, "want a comma or the end of the array"},
		"array in brace":      {`{"a":[1}`, "want a comma or the end of the array"},
		"control character":   {"{\"a\":\"\n\"}", "control character in a string"},
		"control in name":     {"{\"a\x1f\":1}", "control character in a string"},
		"string without end":  {`{"a":"b`, "string without end"},
		"bad escape":          {`{"a":"\x"}`, "unknown escape"},
		"short escape":        {`{"a":"\u12"}`, "unknown escape"},
		"escape at the end":   {`{"a":"\`, "unknown escape"},
		"bad hex":             {`{"a":"\u12G4"}`, "unknown escape"},
		"lone high":           {`{"a":"\ud800"}`, "lone surrogate"},
		"lone low":            {`{"a":"\udc00"}`, "lone surrogate"},
		"two high":            {`{"a":"\ud800\ud800"}`, "lone surrogate"},
		"high then plain":     {`{"a":"\ud800\u0041"}`, "lone surrogate"},
		"lone in name":        {`{"\ud800":1}`, "lone surrogate"},
		"not UTF-8":           {"{\"a\":\"\xff\"}", "not valid UTF-8"},
		"cut UTF-8":           {"{\"é\":\"\xc3\"}", "not valid UTF-8"},
		"overlong":            {"{\"a\":\"\xc0\xaf\"}", "not valid UTF-8"},
		"raw surrogate":       {"{\"a\":\"\xed\xa0\x80\"}", "not valid UTF-8"},
		"leading zero":        {`{"a":01}`, "number with a leading zero"},
		"minus alone":         {`{"a":-}`, "want a digit"},
		"plus":                {`{"a":+1}`, "want a value"},
		"no integer":          {`{"a":.5}`, "want a value"},
		"no fraction":         {`{"a":1.}`, "want a digit"},
		"no exponent":         {`{"a":1e}`, "want a digit"},
		"no signed exponent":  {`{"a":1e+}`, "want a digit"},
		"hexadecimal":         {`{"a":0x1}`, "want a comma or the end of the object"},
		"not a number":        {`{"a":NaN}`, "want a value"},
		"infinity":            {`{"a":-Infinity}`, "want a digit"},
		"True":                {`{"a":True}`, "want a value"},
		"tru":                 {`{"a":tru}`, "want a value"},
		"nul":                 {`{"a":nul`, "want a value"},
		"falsey":              {`{"a":falsey}`, "want a comma or the end of the object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := walk(tc.text, strictjson.Limits{})
			var syntax *strictjson.SyntaxError
			if !errors.As(err, &syntax) || syntax.What != tc.what {
				t.Fatalf("%v, want %q", err, tc.what)
			}
			if syntax.Offset < 0 || syntax.Offset > len(tc.text) {
				t.Errorf("offset %d outside the text", syntax.Offset)
			}
		})
	}
}

func TestObjectVisitsInOrder(t *testing.T) {
	const text = " {\"b\" : -1.5e+3 ,\n\t\"a\":\"x\\u0041\" , \"\\u0063\":[ 1 , {\"b\":{}} ],\"\":null,\"d\":true,\"e\":false,\"f\":{ } }\r\n"
	var names []string
	var raws []string
	var kinds []strictjson.Kind
	err := strictjson.Object([]byte(text), strictjson.Limits{}, func(name string, v strictjson.Value) error {
		names, raws, kinds = append(names, name), append(raws, string(v.Raw())), append(kinds, v.Kind())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "c", "", "d", "e", "f"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"-1.5e+3", `"x\u0041"`, `[ 1 , {"b":{}} ]`, "null", "true", "false", "{ }"}, raws); diff != "" {
		t.Error(diff)
	}
	want := []strictjson.Kind{
		strictjson.KindNumber, strictjson.KindString, strictjson.KindArray, strictjson.KindNull,
		strictjson.KindBool, strictjson.KindBool, strictjson.KindObject,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestObjectReturnsTheVisitorsError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := strictjson.Object([]byte(`{"a":1,"b":2}`), strictjson.Limits{}, func(string, strictjson.Value) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestLimits(t *testing.T) {
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":%d`, i, i)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	for name, tc := range map[string]struct {
		text   string
		limits strictjson.Limits
		ok     bool
	}{
		"default members":      {members(64), strictjson.Limits{}, true},
		"over members":         {members(65), strictjson.Limits{}, false},
		"members of one each":  {`{"a":` + members(64) + `,"b":` + members(64) + `}`, strictjson.Limits{}, true},
		"nested over members":  {`{"a":` + members(65) + `}`, strictjson.Limits{}, false},
		"fewer members":        {members(3), strictjson.Limits{Members: 2}, false},
		"more members":         {members(500), strictjson.Limits{Members: 500}, true},
		"default depth":        {nested(8), strictjson.Limits{}, true},
		"over depth":           {nested(9), strictjson.Limits{}, false},
		"flat":                 {`{"a":1}`, strictjson.Limits{Depth: 1}, true},
		"flat and not":         {`{"a":[]}`, strictjson.Limits{Depth: 1}, false},
		"same name one deeper": {`{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}`, strictjson.Limits{}, true},
	} {
		if _, err := walk(tc.text, tc.limits); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// value returns the value of the only member of {"v":text}.
func value(t *testing.T, text string) strictjson.Value {
	t.Helper()
	var value strictjson.Value
	err := strictjson.Object([]byte(`{"v":`+text+`}`), strictjson.Limits{}, func(_ string, v strictjson.Value) error {
		value = v
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestText(t *testing.T) {
	for text, want := range map[string]string{
		`""`:                          "",
		`"plain é 😀"`:                 "plain é 😀",
		`"\"\\\/\b\f\n\r\t"`:          "\"\\/\b\f\n\r\t",
		`"a\u0041\u00e9\u20AC\u0000"`: "aAé€\x00",
		`"\ud83d\uDE00x"`:             "😀x",
		`"\ufffd"`:                    "\ufffd",
	} {
		if got, err := value(t, text).Text(); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := value(t, "1").Text(); err == nil || err.Error() != "JSON at byte 5: want a string, have a number" {
		t.Error(err)
	}
	if _, err := (strictjson.Value{}).Text(); err == nil || !strings.Contains(err.Error(), "have nothing") {
		t.Error(err)
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct {
		text    string
		want    int64
		int, ok bool // as an integer, as seconds
	}{
		{"0", 0, true, true},
		{"1795435200", 1795435200, true, true},
		{"9007199254740991", 1<<53 - 1, true, true},
		{"9007199254740992", 1 << 53, true, false},
		{"-1", -1, true, false},
		{"9223372036854775807", math.MaxInt64, true, false},
		{"-9223372036854775808", math.MinInt64, true, false},
		{"9223372036854775808", 0, false, false},
		{"-0", 0, false, false},
		{"1.0", 0, false, false},
		{"1e0", 0, false, false},
		{"1E2", 0, false, false},
		{"0.5", 0, false, false},
		{`"1"`, 0, false, false},
		{"null", 0, false, false},
		{"[1]", 0, false, false},
	} {
		if got, err := value(t, tc.text).Int(); (err == nil) != tc.int || err == nil && got != tc.want {
			t.Errorf("Int of %s: %d, %v", tc.text, got, err)
		}
		if got, err := value(t, tc.text).Seconds(); (err == nil) != tc.ok || err == nil && got != tc.want {
			t.Errorf("Seconds of %s: %d, %v", tc.text, got, err)
		}
	}
}

// TestNumericDate: a fraction is rounded down, and everything else that is no count of seconds refused.
func TestNumericDate(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1700000000": 1700000000, "1700000000.0": 1700000000, "1700000000.9": 1700000000, "1796048209.519671": 1796048209,
		"0.999": 0, "9007199254740991": 1<<53 - 1, "9007199254740991.99": 1<<53 - 1, "1." + strings.Repeat("9", 32): 1,
	} {
		if got, err := value(t, text).NumericDate(); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for text, why := range map[string]string{
		`"1700000000"`: "without quotes", "1.7e9": "an exponent", "1E0": "an exponent", "1.5e1": "an exponent", "-1": "out of range", "-0": "out of range", "-0.5": "out of range",
		"9007199254740992": "out of range", "9007199254740992.5": "out of range", "9223372036854775808": "out of range", "1." + strings.Repeat("0", 33): "out of range",
		"null": "want a number of seconds, have null", "true": "have a boolean", "[1]": "have an array",
	} {
		if _, err := value(t, text).NumericDate(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %s", text, err, why)
		}
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "false": false} {
		if got, err := value(t, text).Bool(); err != nil || got != want {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
	for _, text := range []string{`"true"`, "1", "null"} {
		if _, err := value(t, text).Bool(); err == nil {
			t.Errorf("%s was accepted as a boolean", text)
		}
	}
}

func TestTexts(t *testing.T) {
	got, err := value(t, `[ "a" , "\u0062" ]`).Texts()
	if diff := cmp.Diff([]string{"a", "b"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := value(t, `[]`).Texts(); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%#v, %v", got, err)
	}
	for text, want := range map[string]string{
		`"a"`:        "JSON at byte 5: want an array, have a string",
		`["a",1]`:    "JSON at byte 10: want a string, have a number",
		`["a", {}]`:  "JSON at byte 11: want a string, have an object",
		`[null]`:     "JSON at byte 6: want a string, have null",
		`[["a"]]`:    "JSON at byte 6: want a string, have an array",
		`["a",true]`: "JSON at byte 10: want a string, have a boolean",
	} {
		if got, err := value(t, text).Texts(); err == nil || err.Error() != want || got != nil {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestElements(t *testing.T) {
	var nested []string
	err := value(t, `[{"a":[1]},[2],"x"]`).Elements(func(v strictjson.Value) error {
		nested = append(nested, string(v.Raw()))
		return nil
	})
	if diff := cmp.Diff([]string{`{"a":[1]}`, `[2]`, `"x"`}, nested); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestMembers(t *testing.T) {
	var nested []string
	err := value(t, `{"a":[1],"\u0062" : {"a":{}} }`).Members(func(name string, v strictjson.Value) error {
		nested = append(nested, name+string(v.Raw()))
		return nil
	})
	if diff := cmp.Diff([]string{`a[1]`, `b{"a":{}}`}, nested); diff != "" || err != nil {
		t.Error(diff, err)
	}
	const want = "JSON at byte 5: want an object, have an array"
	if err := value(t, `[]`).Members(nil); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestAllocations(t *testing.T) {
	data := []byte(`{"iss":"a","aud":["b","c"],"nested":{"x":1,"y":[1,2,3]},"exp":1}`)
	allocs := testing.AllocsPerRun(100, func() {
		_ = strictjson.Object(data, strictjson.Limits{}, func(string, strictjson.Value) error { return nil })
	})
	if allocs > 2 { // the copy for names and texts, and the stack of names
		t.Errorf("%v allocations", allocs)
	}
}

func TestAppendString(t *testing.T) {
	if got := string(strictjson.AppendString([]byte("x:"), "a\"\\/<>&\n\r\t\x00\x1f\x7fé\u2028😀")); got != `x:"a\"\\/<>&\n\u000d\u0009\u0000\u001f`+"\x7fé\u2028😀\"" {
		t.Errorf("%q", got)
	}
	if _, err := walk(`{"a":`+string(strictjson.AppendString(nil, "a\xffb"))+`}`, strictjson.Limits{}); err == nil {
		t.Error("a string that is not UTF-8 was written as another one")
	}
}

func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "a", "\"\\", "\x00\x1f\u2028\ufffd", "é😀", "\xff", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		literal := strictjson.AppendString(nil, s)
		var ours string
		err := strictjson.Object([]byte(`{"a":`+string(literal)+`}`), strictjson.Limits{}, func(_ string, v strictjson.Value) (err error) {
			ours, err = v.Text()
			return err
		})
		if !utf8.ValidString(s) {
			if err == nil {
				t.Fatalf("%q was written as %s", s, literal)
			}
			return
		}
		if err != nil || ours != s {
			t.Fatalf("%q came back as %q, %v", s, ours, err)
		}
		var theirs string
		if err := json.Unmarshal(literal, &theirs); err != nil || theirs != s {
			t.Fatalf("encoding/json reads %s as %q, %v", literal, theirs, err)
		}
	})
}

// FuzzObject compares Object with encoding/json: accepted input must have the same meaning there.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":"\ud83d\ude00","b":[1.5e3,-0,true,null,{"c":"\/"}]}`, ` {"a" : [ ] , "A":{}} `,
		`{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":01}`, `{"a":1}x`, "{\"a\":\"\xff\"}", `{"a":[[[[[[[[[]]]]]]]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := map[string]any{}
		err := strictjson.Object(data, strictjson.Limits{}, func(name string, v strictjson.Value) error {
			if _, twice := ours[name]; twice {
				t.Fatalf("%q was visited twice", name)
			}
			var err error
			ours[name], err = meaning(v)
			return err
		})
		if err != nil {
			return
		}
		var theirs map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&theirs); err != nil || !json.Valid(data) {
			t.Fatalf("encoding/json refuses %q: %v", data, err)
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Fatal(diff)
		}
	})
}

// meaning converts v to the value that encoding/json would return.
func meaning(v strictjson.Value) (any, error) {
	switch v.Kind() {
	case strictjson.KindNull:
		return nil, nil
	case strictjson.KindBool:
		return v.Bool()
	case strictjson.KindNumber:
		return json.Number(v.Raw()), nil
	case strictjson.KindString:
		return v.Text()
	case strictjson.KindArray:
		elements := []any{}
		err := v.Elements(func(element strictjson.Value) error {
			m, err := meaning(element)
			elements = append(elements, m)
			return err
		})
		return elements, err
	default:
		members := map[string]any{}
		err := v.Members(func(name string, v strictjson.Value) (err error) {
			members[name], err = meaning(v)
			return err
		})
		return members, err
	}
}

func BenchmarkObject(b *testing.B) {
	data := []byte(`{"iss":"https://issuer.example","sub":"client-1","aud":"https://api.example","exp":1795435200,"iat":1795434900,"jti":"0123456789abcdefABCDE"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := strictjson.Object(data, strictjson.Limits{}, func(string, strictjson.Value) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
