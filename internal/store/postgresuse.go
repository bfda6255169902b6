package store

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
)

// uses are the assertions that a batch wants to use up.
type uses struct {
	batch     []*appending
	wanted    []*appending // the first with each key, in the order of keys
	won       map[usedKey]bool
	forgotten int64
}

// usesOf finds them. Among those with one key the first has its way.
func usesOf(batch []*appending) *uses {
	u := &uses{batch: batch, won: map[usedKey]bool{}}
	for _, a := range batch {
		if a.lost = nil; a.use != nil {
			u.wanted = append(u.wanted, a)
		}
	}
	// In order, so that two replicas never wait for each other.
	slices.SortStableFunc(u.wanted, func(a, b *appending) int { return bytes.Compare(a.use.Value[:], b.use.Value[:]) })
	u.wanted = slices.CompactFunc(u.wanted, func(a, b *appending) bool { return usedKeyOf(a.use) == usedKeyOf(b.use) })
	return u
}

// queue inserts their keys. What is there already, or is there once another
// replica has committed, comes not back. What was forgotten is read after the
// insert, which nobody who forgets can do beside it.
func (u *uses) queue(batch *pgx.Batch) {
	if len(u.wanted) == 0 {
		return
	}
	keys, untils, sealed := make([][]byte, len(u.wanted)), make([]int64, len(u.wanted)), make([][]byte, len(u.wanted))
	for i, a := range u.wanted {
		key := usedKeyOf(a.use)
		keys[i], untils[i], sealed[i] = key[:], ceilMilli(a.use.Until), append([]byte{}, a.use.Sealed...)
	}
	batch.Queue(`INSERT INTO use_up (key, until, sealed) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])
		ON CONFLICT (key) DO NOTHING RETURNING key`, keys, untils, sealed).Query(func(rows pgx.Rows) error {
		var key []byte
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			if len(key) == len(usedKey{}) {
				u.won[usedKey(key)] = true
			}
			return nil
		})
		return err
	})
	batch.Queue(`SELECT at FROM used_forgotten`).QueryRow(func(row pgx.Row) error { return row.Scan(&u.forgotten) })
}

// judge sets lost on those who were not the first.
func (u *uses) judge(s *postgresSession) error {
	if len(u.wanted) == 0 {
		return nil
	}
	first := make(map[usedKey]*appending, len(u.wanted))
	var used, refused [][]byte
	for _, a := range u.wanted {
		key := usedKeyOf(a.use)
		first[key] = a
		switch {
		case !u.won[key]:
			used = append(used, key[:])
		case int64(ceilSecond(a.use.Until)) <= u.forgotten:
			a.lost = errClockBack
			refused = append(refused, key[:])
		}
	}
	if len(refused) > 0 { // what they sealed is nobody's, and must not be found
		if _, err := s.exec(`DELETE FROM use_up WHERE key = ANY($1)`, refused); err != nil {
			return err
		}
	}
	left, err := leftBehind(s, used)
	if err != nil {
		return err
	}
	for _, a := range u.batch {
		if a.use == nil {
			continue
		}
		key := usedKeyOf(a.use)
		switch winner := first[key]; {
		case !u.won[key]:
			a.lost = &ledger.ReplayedError{Sealed: left[key]}
		case a != winner:
			a.lost = cmp.Or(winner.lost, lostTo(winner))
		}
	}
	return nil
}

// leftBehind reads what the first users of assertions left.
func leftBehind(s *postgresSession, keys [][]byte) (map[usedKey][]byte, error) {
	left := make(map[usedKey][]byte, len(keys))
	if len(keys) == 0 {
		return left, nil
	}
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
