package trial

// A Step is one round of one row at a number of connections.
type Step struct {
	Round, Connections, Row int
}

// Interleave goes through all rows at each number of connections, and does all
// that once per round. In every other round the rows come in reverse, so that
// none always follows the same neighbour.
func Interleave(rounds int, connections []int, rows int) []Step {
	steps := make([]Step, 0, rounds*len(connections)*rows)
	for round := range rounds {
		for _, c := range connections {
			for i := range rows {
				row := i
				if round%2 == 1 {
					row = rows - 1 - i
				}
				steps = append(steps, Step{Round: round, Connections: c, Row: row})
			}
		}
	}
	return steps
}
