package config_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"

	"moneyer/internal/config"
)

// TestLogIsPrintable: what a stranger sends cannot rewrite a line on the reader's terminal.
func TestLogIsPrintable(t *testing.T) {
	const sent = "a\u202eb\u0085c\x7fd\u200be\U000E0041f\x1b[2J\u20acg\xff\U0001F600"
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		config.Log{Format: format}.New(&out).Info("refused", "found", sent)
		for _, r := range bytes.TrimSuffix(out.Bytes(), []byte("\n")) {
			if r == '\n' {
				t.Errorf("%s: two lines: %q", format, out.String())
			}
		}
		for _, r := range out.String() {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: %U in %q", format, r, out.String())
			}
		}
		if format == "text" {
			continue
		}
		var line struct{ Found string }
		if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Found != "a\u202eb\u0085c\x7fd\u200be\U000E0041f\x1b[2J\u20acg\ufffd\U0001F600" {
			t.Errorf("read back as %q, %v", line.Found, err)
		}
		if !bytes.Contains(out.Bytes(), []byte("\u20ac")) {
			t.Errorf("a printable character was escaped: %s", out.Bytes())
		}
	}
}
