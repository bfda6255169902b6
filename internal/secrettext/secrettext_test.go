package secrettext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"moneyer/internal/secrettext"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "empty",
		"\n":                       "empty but for line ends",
		" \t":                      "empty but for blanks",
		"tresor\n":                 "ends in a line end",
		"tresor\r\n":               "ends in a line end",
		"tre\nsor":                 "more than one line",
		"tre\rsor":                 "more than one line",
		"\ntresor":                 "more than one line",
		" tresor":                  "begins or ends with a blank",
		"tresor\t":                 "begins or ends with a blank",
		"tresor\u00a0":             "begins or ends with a blank",
		"tre\tsor":                 "U+0009",
		"tre\x7fsor":               "U+007F",
		"tre\x1bsor":               "U+001B",
		"tre\u0085sor":             "U+0085",
		"tresor\u200b":             "U+200B",
		"tre\ufeffsor":             "U+FEFF",
		"tre\u2028sor":             "U+2028",
		"\ufefftresor":             "BOM",
		"tre\x00sor":               "NUL",
		"t\x00r\x00":               "UTF-16",
		"\x00t\x00r":               "UTF-16",
		"\xff\xfet\x00":            "UTF-16",
		"\xfe\xff\x00t":            "UTF-16",
		"tr\xe9sor":                "not UTF-8",
		strings.Repeat("t", 4097):  "longer than 4096 bytes",
		strings.Repeat("t", 4096):  "",
		"tre sor":                  "",
		"trésor":                   "",
		"t":                        "",
		`a"b'c%2F+/=&#;:\~`:        "",
		"\"quotes may be part\"":   "",
		"-----BEGIN PRIVATE KEY--": "",
	} {
		err := secrettext.Check(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && len(text) > 3 && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q is quoted: %v", text, err)
		}
	}
}

// What Parse accepts is text that Check accepts, and the beginning of the file; only line ends were
// after it.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "tresor", "tresor\r\n", "tresor\n\n", "\ufefftresor\n", "t\x00r\x00", " a ", "a\nb"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		secret, err := secrettext.Parse(data)
		if err != nil {
			if secret != "" || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %q, %v", data, secret, err)
			}
			return
		}
		rest, ok := strings.CutPrefix(string(data), secret)
		if !ok || strings.Trim(rest, "\r\n") != "" || secrettext.Check(secret) != nil || len(secret) > secrettext.MaxLength {
			t.Errorf("%q became %q", data, secret)
		}
	})
}
