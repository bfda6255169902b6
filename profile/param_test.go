package profile_test

import (
	"strings"
	"testing"

	"moneyer/profile"
)

func TestParamFault(t *testing.T) {
	text := profile.Param{Type: profile.String, MaxLength: 4, MaxItems: 16, Chars: profile.Digits}
	list := profile.Param{Type: profile.Strings, MaxLength: 4, MaxItems: 2, OneOf: []string{"a", "b", "c", "longer"}}
	for _, row := range []struct {
		param  profile.Param
		values string // apart by commas; "-" for none
		want   profile.Fault
	}{
		{text, "1234", ""}, {text, "-", profile.WrongCount}, {text, "1,2", profile.WrongCount},
		{text, "", profile.Empty}, {text, "12345", profile.TooLong}, {text, "12a", profile.BadChars}, {text, "1234a", profile.TooLong},
		{list, "a", ""}, {list, "a,b", ""}, {list, "-", profile.WrongCount}, {list, "a,b,c", profile.WrongCount},
		{list, "a,", profile.Empty}, {list, "a,a", profile.Repeated}, {list, "a,longer", profile.TooLong}, {list, "a,d", profile.UnknownOne},
	} {
		values := strings.Split(row.values, ",")
		if row.values == "-" {
			values = nil
		}
		if got := row.param.Fault(values...); got != row.want {
			t.Errorf("%s parameter, %q: %q, want %q", row.param.Type, values, got, row.want)
		}
	}
}
