package trial

import (
	"slices"
	"testing"
)

func TestInterleave(t *testing.T) {
	const rounds, rows = 3, 4
	connections := []int{1, 64}
	seen := map[Step]int{}
	steps := Interleave(rounds, connections, rows)
	for i, s := range steps {
		seen[s]++
		if i > 0 && s.Row == steps[i-1].Row && s.Connections == steps[i-1].Connections {
			t.Errorf("row %d twice in succession at %d connections", s.Row, s.Connections)
		}
		if i > 0 && s.Round < steps[i-1].Round {
			t.Errorf("round %d after round %d", s.Round, steps[i-1].Round)
		}
	}
	if len(steps) != rounds*len(connections)*rows || len(seen) != len(steps) {
		t.Errorf("%d steps, %d different", len(steps), len(seen))
	}
	// Between two rounds of a row at a number of connections, all others had one.
	var at []int
	for i, s := range steps {
		if s.Row == 1 && s.Connections == 64 {
			at = append(at, i)
		}
	}
	for i := range len(at) - 1 {
		if between := steps[at[i]+1 : at[i+1]]; slices.ContainsFunc(between, func(s Step) bool { return s.Row == 1 && s.Connections == 64 }) || len(between) < rows {
			t.Errorf("%v", between)
		}
	}
	if Interleave(0, connections, rows) == nil || len(Interleave(2, nil, 3)) != 0 {
		t.Error("a plan of nothing")
	}
}
