package overload

import (
	"net/netip"
	"testing"
	"time"
)

// TestBudget spends a budget of 100 that refills at one a second, by one key that never
// stops and by others.
func TestBudget(t *testing.T) {
	b := NewBudget[string](Rate{PerSecond: 1, Burst: 100})
	spend := func(key string, times int, at time.Duration) (n int) {
		for range times {
			if b.Take(key, noon.Add(at)) {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		name, key string
		times     int
		at        time.Duration
		want      int
	}{
		{"one key has half", "flood", 1000, 0, 50},
		{"it gets what refills", "flood", 1000, 7 * time.Second, 7},
		{"another has its share of the other half", "a", 1000, 7 * time.Second, 5},
		{"and so has a third", "b", 1000, 7 * time.Second, 5},
		{"what the others took refills first", "flood", 1000, 16 * time.Second, 0},
		{"then it refills for all", "a", 1000, 27 * time.Second, 10},
		{"all is full after a rest", "flood", 1000, time.Hour, 50},
	} {
		if got := spend(step.key, step.times, step.at); got != step.want {
			t.Errorf("%s: %d events, want %d", step.name, got, step.want)
		}
	}
	spent := 0
	for i := range 1000 {
		spent += spend(string(rune('A'+i)), 1, time.Hour)
	}
	if spent != 50 {
		t.Errorf("many keys spent %d of the other half, want 50", spent)
	}
	free := NewBudget[string](Rate{})
	for range 1000 {
		if !free.Take("a", noon) {
			t.Fatal("no rate is a limit")
		}
	}
}

// TestRefusalBudgetsAreApart: neither strangers nor another issuer spend what clients have.
func TestRefusalBudgetsAreApart(t *testing.T) {
	r := NewRefusals(Rate{PerSecond: 1, Burst: 2})
	address := netip.MustParseAddr("192.0.2.1")
	for range 10 {
		r.Take("d1", "", address, noon)
	}
	if !r.Take("d1", "shop", address, noon) || !r.Take("d2", "", address, noon) {
		t.Error("a budget was spent by others")
	}
	r.Count("d2", 3)
	got := map[string]int64{}
	r.EachCounted(func(issuer string, n int64) { got[issuer] = n })
	if len(got) != 2 || got["d1"] != 9 || got["d2"] != 3 {
		t.Errorf("counted %v", got)
	}
	r.EachCounted(func(issuer string, n int64) { t.Errorf("%s: %d are counted twice", issuer, n) })
}
