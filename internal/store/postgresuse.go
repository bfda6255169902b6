package store

import (
	"bytes"
	"slices"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
)

// uses are the values that a batch wants to consume.
type uses struct {
	batch []*appending
	// wanted is the first with each key, in the order of keys, and inserted are those
	// that nobody had consumed before.
	wanted    []*ledger.Consumed
	inserted  map[usedKey]bool
	forgotten int64
}

func usesOf(batch []*appending) *uses {
	u := &uses{batch: batch, inserted: map[usedKey]bool{}}
	for _, a := range batch {
		for i := range a.consumed {
			u.wanted = append(u.wanted, &a.consumed[i])
		}
	}
	// In order, so that two replicas never wait for each other.
	slices.SortStableFunc(u.wanted, func(a, b *ledger.Consumed) int {
		return bytes.Compare(a.Value[:len(usedKey{})], b.Value[:len(usedKey{})])
	})
	u.wanted = slices.CompactFunc(u.wanted, func(a, b *ledger.Consumed) bool { return usedKeyOf(a) == usedKeyOf(b) })
	return u
}

const insertUses = `INSERT INTO use_up (key, until, sealed) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])`

// rowsOf are the arguments of insertUses.
func rowsOf(consumed []*ledger.Consumed) []any {
	keys, untils, sealed := make([][]byte, len(consumed)), make([]int64, len(consumed)), make([][]byte, len(consumed))
	for i, c := range consumed {
		keys[i], untils[i], sealed[i] = c.Value[:len(usedKey{})], ceilMilli(c.Until), append([]byte{}, c.Sealed...)
	}
	return []any{keys, untils, sealed}
}

// queue inserts their keys. What is there already, or is there once another
// replica has committed, comes not back. What was forgotten is read after the
// insert, which nobody who forgets can do beside it.
func (u *uses) queue(batch *pgx.Batch) {
	if len(u.wanted) == 0 {
		return
	}
	batch.Queue(insertUses+` ON CONFLICT (key) DO NOTHING RETURNING key`, rowsOf(u.wanted)...).Query(func(rows pgx.Rows) error {
		var key []byte
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			if len(key) == len(usedKey{}) {
				u.inserted[usedKey(key)] = true
			}
			return nil
		})
		return err
	})
	batch.Queue(`SELECT at FROM used_forgotten`).QueryRow(func(row pgx.Row) error { return row.Scan(&u.forgotten) })
}

// judge sets lost on those who were not the first, and takes back what was inserted for
// them: what they sealed is nobody's, and must not be found.
func (u *uses) judge(s *postgresSession) error {
	left, err := u.leftBehind(s)
	if err != nil {
		return err
	}
	winners, err := judge(u.batch, func(i int, c *ledger.Consumed) (lost, err error) {
		switch key := usedKeyOf(c); {
		case !u.inserted[key]:
			return &ledger.ReplayedError{Index: i, Sealed: left[key]}, nil
		case int64(ceilSecond(c.Until)) <= u.forgotten:
			return errClockBack, nil
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	var taken [][]byte
	var others []*ledger.Consumed // that are consumed by an append after the first that wanted them
	for _, c := range u.wanted {
		key := usedKeyOf(c)
		winner := winners[key]
		if !u.inserted[key] || winner == c {
			continue
		}
		taken = append(taken, key[:])
		if winner != nil {
			others = append(others, winner)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	if _, err := s.exec(`DELETE FROM use_up WHERE key = ANY($1)`, taken); err != nil || len(others) == 0 {
		return err
	}
	_, err = s.exec(insertUses, rowsOf(others)...)
	return err
}

// leftBehind reads what was sealed with the values that were consumed before.
func (u *uses) leftBehind(s *postgresSession) (map[usedKey][]byte, error) {
	var keys [][]byte
	for _, c := range u.wanted {
		if !u.inserted[usedKeyOf(c)] {
			keys = append(keys, c.Value[:len(usedKey{})])
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	left := make(map[usedKey][]byte, len(keys))
	err := s.list(`SELECT key, sealed FROM use_up WHERE key = ANY($1)`, []any{keys}, func(scan func(...any) error) error {
		var key, sealed []byte
		err := scan(&key, &sealed)
		if err == nil && len(key) == len(usedKey{}) {
			left[usedKey(key)] = bytes.Clone(sealed)
		}
		return err
	})
	return left, err
}
