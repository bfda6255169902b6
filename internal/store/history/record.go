package history

import (
	"math"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// Row adds lines, at least one, to the chain that ends with head, advances head, and
// returns the row of their batch.
func (p *Packer) Row(head *ledger.Head, lines []engine.Line) *engine.Row {
	previous := head.Hash
	row := &engine.Row{First: head.Seq + 1, Count: int64(len(lines)), Previous: previous[:],
		TimeMin: math.MaxInt64, TimeMax: math.MinInt64, Marks: make([]byte, 0, len(lines)*ledger.MarkSize)}
	for i := range lines {
		l := &lines[i]
		head.Seq++
		head.Hash = ledger.ChainHash(head.Hash, l.Text)
		row.Marks = append(row.Marks, head.Hash[:ledger.MarkSize]...)
		row.TimeMin, row.TimeMax = min(row.TimeMin, l.At), max(row.TimeMax, l.At)
	}
	last := head.Hash
	row.Last, row.Lines = last[:], p.pack(nil, lines)
	return row
}
