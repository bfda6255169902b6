package postgres

import (
	"testing"
	"time"

	"moneyer/internal/store/engine"
)

// exactly is an offset without error.
func exactly(seconds ...float64) (all []offset) {
	for _, s := range seconds {
		d := time.Duration(s * float64(time.Second))
		all = append(all, offset{d, d})
	}
	return all
}

func TestCompareClocks(t *testing.T) {
	for name, test := range map[string]struct {
		own        float64
		up, lately []offset
		ahead, off float64
	}{
		"alone":                            {own: 9},
		"two agree, the database does not": {own: 9, up: exactly(9)},
		"two differ, and the database is with it":     {own: 0, up: exactly(3), ahead: 3},
		"two differ, and the database is against it":  {own: 3, up: exactly(0), off: 3},
		"behind the other two":                        {own: -3, up: exactly(0, 0), ahead: 3, off: -3},
		"one of three is off":                         {own: 0, up: exactly(0, 30), ahead: 30},
		"all three differ, and it is between":         {own: 0, up: exactly(-3, 3), ahead: 3},
		"all three differ, and it is ahead":           {own: 3, up: exactly(-3, 0), off: 3},
		"three to one, whatever the database":         {own: 7, up: exactly(7, 7, 0)},
		"one that is gone was ahead":                  {own: 0, lately: exactly(5), ahead: 5},
		"one that is gone is no reason to be unready": {own: 0, up: exactly(0), lately: exactly(5, 5, 5), ahead: 5},
	} {
		got := compareClocks(exactly(test.own)[0], test.up, test.lately)
		want := engine.Clocks{Ahead: exactly(test.ahead)[0].min, Off: exactly(test.off)[0].min}
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	got := compareClocks(offset{-time.Second, time.Second}, []offset{{0, 2 * time.Second}}, nil)
	if got.Ahead != 3*time.Second {
		t.Errorf("the bounds: ahead by %v at most, want 3 s", got.Ahead)
	}
}

func TestOffsets(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }
	var o offsets
	if _, ok := o.best(); ok {
		t.Error("an offset of nothing")
	}
	o.add(at(10), at(5), at(12)) // 5 to 7
	o.add(at(20), at(16), at(26))
	if best, _ := o.best(); best != (offset{5 * time.Second, 7 * time.Second}) {
		t.Errorf("%v", best)
	}
	o.add(at(30), at(40), at(29)) // set back meanwhile
	if best, _ := o.best(); best != (offset{5 * time.Second, 7 * time.Second}) {
		t.Errorf("%v", best)
	}
	o.add(at(40), at(50), at(41)) // it was set
	if best, _ := o.best(); best != (offset{-10 * time.Second, -9 * time.Second}) {
		t.Errorf("after the clock was set: %v", best)
	}
	for range 100 {
		o.add(at(40), at(50), at(41))
	}
	if len(o) != measured {
		t.Errorf("%d measurements", len(o))
	}
}
