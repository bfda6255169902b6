package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"moneyer/internal/ledger"
)

// wantReplayed fails unless err is a ReplayedError with that index and sealed data.
func wantReplayed(t testing.TB, err error, index int, sealed string) {
	t.Helper()
	var replayed *ledger.ReplayedError
	if !errors.As(err, &replayed) || replayed.Index != index || string(replayed.Sealed) != sealed {
		t.Errorf("%v (%+v), want that value %d was replayed, which %q consumed", err, replayed, index, sealed)
	}
}

// severalValues consumes values together: all of them, or none.
func severalValues(t testing.TB, s Store) {
	must(t, s.Append(t.Context(), token(1), use(1, "a"), use(2, "b")))
	wantReplayed(t, s.Append(t.Context(), token(2), use(1, "")), 0, "a")
	wantReplayed(t, s.Append(t.Context(), token(2), use(2, "")), 0, "b")
	wantReplayed(t, s.Append(t.Context(), token(2), use(3, "in vain"), use(2, ""), use(1, "")), 1, "b")
	wantReplayed(t, s.Append(t.Context(), token(2), use(1, ""), use(3, "in vain")), 0, "a")
	must(t, s.Append(t.Context(), token(3), use(4, ""), use(3, "c"), use(5, "d")))
	wantReplayed(t, s.Append(t.Context(), token(2), use(3, "")), 0, "c")
	wantReplayed(t, s.Append(t.Context(), token(2), use(6, ""), use(7, ""), use(4, "")), 2, "")
	err := s.Append(t.Context(), token(4), use(6, "first"), use(7, ""), use(6, "second"))
	if replayed := (*ledger.ReplayedError)(nil); err == nil || errors.As(err, &replayed) {
		t.Errorf("one value twice in one call: %v", err)
	}
	must(t, s.Append(t.Context(), token(5), use(6, "e"), use(7, "f")))
	wantReplayed(t, s.Append(t.Context(), token(2), use(6, "")), 0, "e")
	if _, found := records(t, s, ledger.Query{}); len(found) != 3 {
		t.Errorf("%d entries, want 3", len(found))
	}
}

func severalRace(t testing.TB, s Store) { severalAnywhere(t, []Store{s}) }

// severalAnywhere makes concurrent callers on all stores consume overlapping sets of three
// values: a refusal has the sealed data of the caller that consumed the value, and values
// that were not consumed can still be consumed.
func severalAnywhere(t testing.TB, stores []Store) {
	const callers, rounds, values = 48, 6, 120
	var mu sync.Mutex
	holder := map[int]string{} // of each value that was consumed
	refused := map[int]string{}
	wins := 0
	concurrently(callers, func(caller int) {
		for round := range rounds {
			name := fmt.Sprintf("caller %d in round %d", caller, round)
			base := (caller*5 + round*37) % values
			wanted := []int{base, (base + 7) % values, (base + 1) % values}
			if caller%2 == 1 {
				wanted[0], wanted[2] = wanted[2], wanted[0]
			}
			err := stores[caller%len(stores)].Append(t.Context(), token(caller*rounds+round), use(wanted[0], name), use(wanted[1], name), use(wanted[2], name))
			mu.Lock()
			var replayed *ledger.ReplayedError
			switch {
			case err == nil:
				wins++
				for _, n := range wanted {
					if other, consumed := holder[n]; consumed {
						t.Errorf("value %d was consumed by %s and %s", n, other, name)
					}
					holder[n] = name
				}
			case errors.As(err, &replayed):
				refused[wanted[replayed.Index]] = string(replayed.Sealed)
			default:
				t.Error(err)
			}
			mu.Unlock()
		}
	})
	for n, told := range refused {
		if holder[n] != told {
			t.Errorf("somebody was told that %q consumed value %d, which %q did", told, n, holder[n])
		}
	}
	if _, found := records(t, stores[0], ledger.Query{}); len(found) != wins {
		t.Errorf("%d entries, want %d", len(found), wins)
	}
	for n := range values {
		err := stores[n%len(stores)].Append(t.Context(), token(n), use(n, "late"))
		if name, consumed := holder[n]; consumed {
			wantReplayed(t, err, 0, name)
		} else if err != nil {
			t.Errorf("value %d, which nobody consumed: %v", n, err)
		}
	}
	verified(t, stores[0])
}
