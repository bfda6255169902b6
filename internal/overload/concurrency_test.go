package overload

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestConcurrencyLimit(t *testing.T) {
	l := NewConcurrencyLimit(2)
	acquire := func(want bool, inUse int64) {
		t.Helper()
		if l.Acquire() != want || l.InUse() != inUse {
			t.Errorf("acquired %v, %d in use; want %v, %d", !want, l.InUse(), want, inUse)
		}
	}
	acquire(true, 1)
	acquire(true, 2)
	acquire(false, 2)
	l.Release()
	acquire(true, 2)
	l.Release()
	l.Release()
	if l.InUse() != 0 {
		t.Errorf("%d in use of a limit that nobody uses", l.InUse())
	}
	if NewConcurrencyLimit(0).Acquire() {
		t.Error("a limit of none let one in")
	}
}

// TestConcurrencyLimitTogether: never more at once than it allows, and nobody is lost.
func TestConcurrencyLimitTogether(t *testing.T) {
	l := NewConcurrencyLimit(3)
	var inside atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if l.Acquire() {
					if n := inside.Add(1); n > 3 {
						t.Errorf("%d at once", n)
					}
					inside.Add(-1)
					l.Release()
				}
			}
		})
	}
	wg.Wait()
	if l.InUse() != 0 {
		t.Errorf("%d are still in use", l.InUse())
	}
}
