package engine

import (
	"errors"
	"testing"
	"time"

	"moneyer/internal/ledger"
)

// TestCeil: a value is remembered to the end of the second, or millisecond, in which it ends.
func TestCeil(t *testing.T) {
	start := time.Unix(1000, 0)
	for after, want := range map[time.Duration][2]int64{
		0: {1000, 1000_000}, 1: {1001, 1000_001}, time.Millisecond: {1001, 1000_001}, time.Millisecond + 1: {1001, 1000_002},
		time.Second - 1: {1001, 1001_000}, time.Second: {1001, 1001_000},
	} {
		if second, milli := CeilSecond(start.Add(after)), CeilMilli(start.Add(after)); int64(second) != want[0] || milli != want[1] {
			t.Errorf("%v after: %d, %d, want %d", after, second, milli, want)
		}
	}
	if CeilSecond(time.Unix(-5, 0)) != 0 || CeilSecond(time.Unix(1<<40, 0)) != 1<<32-1 {
		t.Error("times that have no place are not the nearest that have")
	}
}

// before is a History.
type before struct {
	used    map[byte]string // what was sealed
	refused map[byte]error
	failed  map[byte]error
}

func (b before) Refusal(i int, c *ledger.Consumed) (refusal, err error) {
	if sealed, used := b.used[c.Value[0]]; used {
		return &ledger.ReplayedError{Index: i, Sealed: []byte(sealed)}, nil
	}
	return b.refused[c.Value[0]], b.failed[c.Value[0]]
}

// wants is an append of values, which are sealed by it.
func wants(sealed string, values ...byte) *Append {
	a := &Append{Lost: errors.New("of an earlier try")}
	for _, v := range values {
		a.Consumed = append(a.Consumed, ledger.Consumed{Value: [32]byte{v, 31: sealed[0]}, Sealed: []byte(sealed)})
	}
	return a
}

// TestJudge: an append has all of its values or none, by the order of the batch.
func TestJudge(t *testing.T) {
	unknown := errors.New("nobody can tell")
	history := before{used: map[byte]string{9: "before"}, refused: map[byte]error{8: unknown}}
	batch := []*Append{
		wants("a", 1, 2, 9), wants("b", 2, 3), wants("c", 4, 8, 2), wants("d", 5, 2), wants("e", 5, 4), wants("f", 3, 9), wants("g", 1), {Lost: unknown},
	}
	winners, err := Judge(batch, history)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{
		&ledger.ReplayedError{Index: 2, Sealed: []byte("before")}, nil, unknown, &ledger.ReplayedError{Index: 1, Sealed: []byte("b")}, nil,
		&ledger.ReplayedError{Index: 0, Sealed: []byte("b")}, nil, nil,
	} {
		got, wanted := (*ledger.ReplayedError)(nil), (*ledger.ReplayedError)(nil)
		switch lost := batch[i].Lost; {
		case !errors.As(want, &wanted):
			if !errors.Is(lost, want) {
				t.Errorf("append %d: %v, want %v", i, lost, want)
			}
		case !errors.As(lost, &got) || got.Index != wanted.Index || string(got.Sealed) != string(wanted.Sealed):
			t.Errorf("append %d: %v (%+v), want %+v", i, lost, got, wanted)
		}
	}
	if len(winners) != 5 {
		t.Errorf("%d values are consumed, want 5", len(winners))
	}
	for value, sealed := range map[byte]string{1: "g", 2: "b", 3: "b", 4: "e", 5: "e"} {
		if c := winners[Key{value}]; c == nil || string(c.Sealed) != sealed {
			t.Errorf("value %d: %+v, want %s", value, c, sealed)
		}
	}
	if _, err := Judge([]*Append{wants("a", 1, 7)}, before{failed: map[byte]error{7: unknown}}); !errors.Is(err, unknown) {
		t.Errorf("a transaction that failed: %v", err)
	}
}

// TestDistinct: the first half of a value is what counts.
func TestDistinct(t *testing.T) {
	same := append(wants("a", 1, 2).Consumed, wants("b", 1).Consumed...)
	if Distinct(same) == nil || Distinct(same[:2]) != nil || Distinct(same[1:]) != nil || Distinct(nil) != nil {
		t.Error("values that are the same, and others, are not told apart")
	}
}
