package strictjson_test

import (
	"errors"
	"strings"
	"testing"

	"moneyer/internal/strictjson"
)

// walk runs Object and returns the raw text of each member by name.
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
