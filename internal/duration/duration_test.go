package duration

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "15m": 15 * time.Minute, "720h": 720 * time.Hour, "0": 0, "-1s": -time.Second, "1.5h": 90 * time.Minute,
		"30d": 720 * time.Hour, "1d12h30m": 36*time.Hour + 30*time.Minute, "0d": 0, "1.5d": 36 * time.Hour, "-2d": -48 * time.Hour, "+2d": 48 * time.Hour, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30", "1h1d", "--1s", "30 d", "30D", "12h1d", "1d1d", "1d-1h", "1d+1h", "--1d", "-+1d", "106752d", "106751d24h", "4294967296d", "soon", "inf"} {
		if got, err := Parse(text); err == nil || err.Error() != malformed(text).Error() {
			t.Errorf("Parse(%q) = %v, %v", text, got, err)
		}
	}
}

// FuzzParse: what is read has the sign of its text, and reads the same when it is written again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"1d", "1d12h", "-1d", "720h", "106751d", "1.5h", "d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if d < 0 != (text[0] == '-' && d != 0) {
			t.Errorf("Parse(%q) = %v", text, d)
		}
		if again, err := Parse(d.String()); err != nil || again != d {
			t.Errorf("Parse(%q) = %v, which reads as %v, %v", text, d, again, err)
		}
	})
}

func TestValue(t *testing.T) {
	var v Value
	if v.String() != "0" || v.Set("soon") == nil || v.Set("1d") != nil || v.String() != "24h0m0s" || v.Type() != "duration" {
		t.Errorf("%v", &v)
	}
}
