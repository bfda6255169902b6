package registry

import "testing"

// The numbers are those that the schemes and payment processors publish for tests.
func TestCardNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"4111111111111111":                     "411111******1111", // Visa
		"4222222222222":                        "422222***2222",    // of 13 digits
		"5555555555554444":                     "555555******4444", // Mastercard
		"2223003122003222":                     "222300******3222",
		"378282246310005":                      "378282*****0005", // American Express
		"6011111111111117":                     "601111******1117",
		"30569309025904":                       "305693****5904",   // Diners Club
		"3530111333300000":                     "353011******0000", // JCB
		"6200000000000005":                     "620000******0005",
		"2200000000000004":                     "220000******0004",
		"4111 1111 1111 1111":                  "4111 11** **** 1111",
		"3782-822463-10005":                    "3782-82****-*0005",
		"order 4111111111111111/1":             "order 411111******1111/1",
		"2026-4111111111111111":                "2026-411111******1111",
		"4111111111111111-378282246310005":     "411111******1111-378282*****0005",
		"4111111111111112":                     "", // the check digit is wrong
		"0000000000000000":                     "", // no scheme
		"7777777777777773":                     "",
		"411111111111111":                      "", // too short for the check digit, and for Visa's forms
		"41111111111111111111":                 "", // 20 digits
		"4111-1111-11111111":                   "", // not the groups of a card
		"4111+1111+1111+1111":                  "",
		"550e8400-e29b-41d4-a716-446655440000": "",
		"gateway001":                           "",
		"":                                     "",
	} {
		masks := want != ""
		if !masks {
			want = text
		}
		if got := MaskCardNumbers(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if whole := masks && text[0] <= '9' && len(text) <= 19; IsCardNumber(text) != whole {
			t.Errorf("IsCardNumber(%q) is %t", text, !whole)
		}
	}
}

// FuzzMaskCardNumbers: masking changes digits alone, and what is masked has no card number left.
func FuzzMaskCardNumbers(f *testing.F) {
	for _, seed := range []string{"4111111111111111", "4111 1111 1111 1111x378282246310005", "4111-1111-1111-1111-111", "1", "é4111111111111111"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		masked := MaskCardNumbers(s)
		if len(masked) != len(s) || MaskCardNumbers(masked) != masked {
			t.Errorf("%q became %q, then %q", s, masked, MaskCardNumbers(masked))
		}
		for i := range len(s) {
			if s[i] != masked[i] && (!isDigit(s[i]) || masked[i] != '*') {
				t.Errorf("%q became %q", s, masked)
			}
		}
	})
}
