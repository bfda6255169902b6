package store

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"math"

	"moneyer/internal/authority"
)

// readHead reads the end of the chain unless it is known.
func (t *tx) readHead() error {
	if t.head.known {
		return nil
	}
	var first, count int64
	var last []byte
	err := t.row(`SELECT first_seq, count, last FROM ledger_batch ORDER BY first_seq DESC LIMIT 1`,
		nil, []any{&first, &count, &last})
	if errors.Is(err, sql.ErrNoRows) {
		t.head = head{known: true}
		return nil
	}
	if err != nil {
		return err
	}
	if len(last) != sha256.Size {
		return errors.New("the ledger's last batch is broken")
	}
	stored := head{known: true, seq: first + count - 1, hash: [sha256.Size]byte(last)}
	if stored.hash == t.head.hash {
		err = t.used.addAll(t.head.unsure)
	}
	t.head = stored
	return err
}

// record chains the lines and writes them as one batch.
func (t *tx) record(lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	first, previous := t.head.seq+1, t.head.hash
	marks := make([]byte, 0, len(lines)*markSize)
	timeMin, timeMax := int64(math.MaxInt64), int64(math.MinInt64)
	for i := range lines {
		l := &lines[i]
		t.head.seq++
		t.head.hash = authority.ChainHash(t.head.hash, l.text)
		marks = append(marks, t.head.hash[:markSize]...)
		timeMin, timeMax = min(timeMin, l.at), max(timeMax, l.at)
	}
	_, err := t.exec(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		first, len(lines), timeMin, timeMax, previous[:], t.head.hash[:], marks, t.packer.pack(nil, lines))
	return err
}

// markSize is how much of each link is kept, to name a broken entry. What proves
// that the batch is whole is the link after its last entry.
const markSize = 4
