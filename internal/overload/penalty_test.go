package overload

import (
	"testing"
	"time"
)

func TestPenalty(t *testing.T) {
	p := NewPenalty[string](640)
	p.Impose("a", noon.Add(time.Second), noon)
	for _, row := range []struct {
		key  string
		at   time.Duration
		left time.Duration
	}{{"a", 0, time.Second}, {"b", 0, 0}, {"a", 999 * time.Millisecond, time.Millisecond}, {"a", time.Second, 0}, {"a", 0, 0}} {
		if left := p.Remaining(row.key, noon.Add(row.at)); left != row.left {
			t.Errorf("%s after %v: held for %v more, want %v", row.key, row.at, left, row.left)
		}
	}
	for key := range 10_000 {
		p.Impose(string(rune(key)), noon.Add(time.Hour), noon)
	}
	held := 0
	for key := range 10_000 {
		if p.Remaining(string(rune(key)), noon) > 0 {
			held++
		}
	}
	if held == 0 || held > 640 {
		t.Errorf("%d keys are held, want at most 640", held)
	}
}
