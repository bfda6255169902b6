package store

import (
	"crypto/sha256"
	"math"

	"moneyer/internal/ledger"
)

// head is the end of the chain.
type head struct {
	seq  int64
	hash [sha256.Size]byte
}

// ledgerRow is what the ledger keeps of the entries of one commit.
type ledgerRow struct {
	first, count     int64
	timeMin, timeMax int64 // Unix milliseconds
	previous, last   []byte
	marks, lines     []byte
}

// record chains the lines and writes them as one batch.
func (t *tx) recordLines(lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	previous := t.head.hash
	row := &ledgerRow{first: t.head.seq + 1, count: int64(len(lines)), previous: previous[:],
		timeMin: math.MaxInt64, timeMax: math.MinInt64, marks: make([]byte, 0, len(lines)*ledger.MarkSize)}
	for i := range lines {
		l := &lines[i]
		t.head.seq++
		t.head.hash = ledger.ChainHash(t.head.hash, l.text)
		row.marks = append(row.marks, t.head.hash[:ledger.MarkSize]...)
		row.timeMin, row.timeMax = min(row.timeMin, l.at), max(row.timeMax, l.at)
	}
	last := t.head.hash
	row.last, row.lines = last[:], t.packer.pack(nil, lines)
	t.first = row.first
	return t.record(t, row)
}
