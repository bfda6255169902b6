package trial

// A Step is one round of one row at a number of connections.
type Step struct {
	Round, Connections, Row int
}

// Interleave returns all rows at each number of connections, once per round. Every other round has
// the rows in reverse order, so that no row always follows the same one.
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
