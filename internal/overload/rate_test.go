package overload

import (
	"math"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// TestTake follows one key along a clock: at is the time since noon, take how
// many events come, of which ok succeed, and wait what the first refused one is
// told.
func TestTake(t *testing.T) {
	type step struct {
		at       time.Duration
		take, ok int
		wait     time.Duration
	}
	for _, row := range []struct {
		name  string
		rate  Rate
		steps []step
	}{
		{"a burst, then the rate", Rate{PerSecond: 2, Burst: 3}, []step{
			{0, 5, 3, 500 * time.Millisecond},
			{499 * time.Millisecond, 1, 0, time.Millisecond},
			{500 * time.Millisecond, 2, 1, 500 * time.Millisecond},
			{1700 * time.Millisecond, 3, 2, 300 * time.Millisecond},
		}},
		{"rest fills the burst again, and no more", Rate{PerSecond: 2, Burst: 3}, []step{
			{0, 3, 3, 0}, {time.Hour, 5, 3, 500 * time.Millisecond},
		}},
		{"no burst means one at a time", Rate{PerSecond: 0.5}, []step{
			{0, 2, 1, 2 * time.Second}, {1999 * time.Millisecond, 1, 0, time.Millisecond}, {2 * time.Second, 2, 1, 2 * time.Second},
		}},
		{"what is refused costs nothing", Rate{PerSecond: 1, Burst: 1}, []step{
			{0, 100, 1, time.Second}, {time.Second, 100, 1, time.Second},
		}},
		{"a clock that goes back gives nothing away", Rate{PerSecond: 1, Burst: 1}, []step{
			{time.Minute, 1, 1, 0}, {0, 1, 0, 61 * time.Second}, {61 * time.Second, 2, 1, time.Second},
		}},
		{"a tiny rate has its burst", Rate{PerSecond: 1e-12, Burst: 1000}, []step{{0, 1001, 1000, longest / 1000}}},
		{"a huge burst is had", Rate{PerSecond: 1, Burst: math.MaxInt}, []step{{0, 1000, 1000, 0}}},
		{"a rate beyond the clock's ticks", Rate{PerSecond: 1e12}, []step{{0, 2, 1, 1}}},
		{"no rate is no limit", Rate{Burst: 1}, []step{{0, 1000, 1000, 0}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := NewLimiter[string](row.rate, 1000)
			for _, s := range row.steps {
				ok, first := 0, time.Duration(0)
				for range s.take {
					wait, taken := l.Take("a", noon.Add(s.at))
					switch {
					case taken && wait != 0:
						t.Errorf("at %v: taken, and yet told to wait %v", s.at, wait)
					case taken:
						ok++
					case first == 0:
						first = wait
					}
				}
				if ok != s.ok || first != s.wait {
					t.Errorf("at %v: %d of %d, wait %v; want %d, %v", s.at, ok, s.take, first, s.ok, s.wait)
				}
			}
		})
	}
}

// TestWaitIsEnough: who waits as told succeeds, and not a nanosecond earlier.
func TestWaitIsEnough(t *testing.T) {
	l := NewLimiter[int](Rate{PerSecond: 7, Burst: 4}, 1000)
	now := noon
	for i := range 100 {
		wait, ok := l.Take(1, now)
		if ok {
			continue
		}
		if _, early := l.Take(1, now.Add(wait-1)); early {
			t.Fatalf("event %d: let in before its time", i)
		}
		now = now.Add(wait)
		if again, ok := l.Take(1, now); !ok {
			t.Fatalf("event %d: told to wait %v, then %v more", i, wait, again)
		}
	}
	if now.Equal(noon) {
		t.Error("nothing was ever refused")
	}
}

func TestKeysApart(t *testing.T) {
	l := NewLimiter[int](Rate{PerSecond: 1, Burst: 1}, 10000)
	for key := range 500 {
		if _, ok := l.Take(key, noon); !ok {
			t.Fatalf("key %d pays for another", key)
		}
		if _, ok := l.Take(key, noon); ok {
			t.Fatalf("key %d has no limit", key)
		}
	}
}

func TestRefund(t *testing.T) {
	l := NewLimiter[string](Rate{PerSecond: 1, Burst: 2}, 1000)
	l.Refund("never seen")
	take := func(want bool) {
		t.Helper()
		if _, ok := l.Take("a", noon); ok != want {
			t.Errorf("taken %v, want %v", ok, want)
		}
	}
	take(true)
	take(true)
	take(false)
	l.Refund("a")
	take(true)
	take(false)
	for range 5 { // more than was taken is no credit
		l.Refund("a")
	}
	take(true)
	take(true)
	take(false)
	NewLimiter[string](Rate{}, 1).Refund("a") // no limit, nothing to give back
}

// TestBound: a flood of keys costs bounded memory, forgets those that are level
// again before those that are not, and errs on the side of letting through.
func TestBound(t *testing.T) {
	const keys = 640
	l := NewLimiter[int](Rate{PerSecond: 1, Burst: 1}, keys)
	size := func() (n int) {
		for i := range l.shard {
			n += len(l.shard[i].due)
		}
		return n
	}
	for key := range 100 * keys {
		if _, ok := l.Take(key, noon); !ok {
			t.Fatalf("new key %d was refused", key)
		}
	}
	if n := size(); n > keys || n < keys/2 {
		t.Errorf("%d keys are remembered, want about %d", n, keys)
	}
	for key := range 20 * keys {
		l.Take(-1-key, noon.Add(time.Minute))
	}
	if n := size(); n > keys {
		t.Errorf("%d keys are remembered after a minute, want at most %d", n, keys)
	}
	tiny := NewLimiter[int](Rate{PerSecond: 1, Burst: 1}, 0) // still one in each shard
	if _, ok := tiny.Take(1, noon); !ok {
		t.Error("the first was refused")
	}
	if _, ok := tiny.Take(1, noon); ok {
		t.Error("a limiter of no size remembers nothing")
	}
}

func TestMakeRoomForgetsTheLevel(t *testing.T) {
	s := &shard[int]{due: map[int]time.Time{}}
	for key := range 4 {
		s.due[key] = noon // level again
	}
	s.makeRoom(noon)
	if len(s.due) != 0 {
		t.Errorf("%d level keys are kept", len(s.due))
	}
	for key := range 4 {
		s.due[key] = noon.Add(time.Second) // busy
	}
	s.makeRoom(noon)
	if len(s.due) != 3 {
		t.Errorf("%d busy keys are left of 4, want 3: room for one, no more", len(s.due))
	}
}

// TestTogether: however many take at once, no more than the burst get it.
func TestTogether(t *testing.T) {
	l := NewLimiter[string](Rate{PerSecond: 1, Burst: 50}, 1000)
	var mu sync.Mutex
	taken := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if _, ok := l.Take("a", noon); ok {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if taken != 50 {
		t.Errorf("%d were taken of a burst of 50", taken)
	}
}
