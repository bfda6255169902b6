package platform_test

import (
	"strings"
	"testing"

	"moneyer/internal/platform"
)

func TestParamFault(t *testing.T) {
	text := platform.Param{Type: platform.TypeString, MaxLength: 4, MaxItems: 16, Chars: platform.CharsDigits}
	list := platform.Param{Type: platform.TypeStrings, MaxLength: 4, MaxItems: 2, OneOf: []string{"a", "b", "c", "longer"}}
	accents := platform.Param{Type: platform.TypeString, MaxLength: 4}
	for _, row := range []struct {
		param  platform.Param
		values string // apart by commas; "-" for none
		want   platform.Fault
	}{
		{text, "1234", ""}, {text, "-", platform.WrongCount}, {text, "1,2", platform.WrongCount},
		{text, "", platform.Empty}, {text, "12345", platform.TooLong}, {text, "12a", platform.BadChars}, {text, "1234a", platform.TooLong},
		{accents, "éééé", ""}, {accents, "ééééé", platform.TooLong},
		{list, "a", ""}, {list, "a,b", ""}, {list, "-", platform.WrongCount}, {list, "a,b,c", platform.WrongCount},
		{list, "a,", platform.Empty}, {list, "a,a", platform.Repeated}, {list, "a,longer", platform.TooLong}, {list, "a,d", platform.UnknownOne},
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
