package overload

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTake is one event of one of many keys, and its return.
func BenchmarkTake(b *testing.B) {
	for _, keys := range []int{1, 100_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			l := NewLimiter[int](Rate{PerSecond: 1e6, Burst: 1e6}, 1<<20)
			now, n := time.Now(), 0
			b.ReportAllocs()
			for b.Loop() {
				n = (n + 7919) % keys
				l.Take(n, now)
				l.Refund(n)
			}
		})
	}
}

// BenchmarkTooLong is what each request pays to know that it need not wait.
func BenchmarkTooLong(b *testing.B) {
	l, err := NewQueueDelay(time.Minute, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		l.TooLong()
	}
}
