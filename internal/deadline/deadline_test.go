package deadline_test

import (
	"testing"
	"time"

	"moneyer/internal/deadline"
	"moneyer/internal/deadline/deadlinetest"
)

func TestReading(t *testing.T) {
	now := time.Now()
	later := deadlinetest.Suspend(now, time.Hour)
	if later.Sub(now) != 0 || later.Round(0).Sub(now.Round(0)) != time.Hour {
		t.Fatalf("by the monotonic clock %s later, by the wall clock %s, want 0 and 1h", later.Sub(now), later.Round(0).Sub(now.Round(0)))
	}
}

func TestPassed(t *testing.T) {
	start := time.Now()
	end := start.Add(10 * time.Minute)
	for name, c := range map[string]struct {
		now  time.Time
		left time.Duration
	}{
		"at the start":                 {start, 10 * time.Minute},
		"before the end":               {start.Add(10*time.Minute - 1), 1},
		"at the end":                   {end, 0},
		"after the end":                {end.Add(1), -1},
		"after a suspend":              {deadlinetest.Suspend(start, 2*time.Hour), 10*time.Minute - 2*time.Hour},
		"after a short suspend":        {deadlinetest.Suspend(start.Add(time.Minute), 3*time.Minute), 6 * time.Minute},
		"the wall clock was set back":  {deadlinetest.Suspend(end, -time.Hour), 0},
		"set back, and not yet passed": {deadlinetest.Suspend(start.Add(time.Minute), -time.Hour), 9 * time.Minute},
		"no monotonic reading":         {end.Add(-time.Second).Round(0), time.Second},
	} {
		if left := deadline.Left(end, c.now); left != c.left {
			t.Errorf("%s: %s left, want %s", name, left, c.left)
		}
		if passed := deadline.Passed(end, c.now); passed != (c.left <= 0) {
			t.Errorf("%s: passed is %t", name, passed)
		}
	}
}
