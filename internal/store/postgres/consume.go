package postgres

import (
	"bytes"
	"slices"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// uses are the values that a batch wants to consume.
type consumption struct {
	batch []*engine.Append
	// wanted is the first with each key, in the order of keys, and inserted are those
	// that nobody had consumed before.
	wanted    []*ledger.Consumed
	inserted  map[engine.Key]bool
	forgotten int64
	// left is what was left with those that were consumed before.
	left map[engine.Key][]byte
}

func consumptionOf(batch []*engine.Append) *consumption {
	u := &consumption{batch: batch, inserted: map[engine.Key]bool{}}
	for _, a := range batch {
		for i := range a.Consumed {
			u.wanted = append(u.wanted, &a.Consumed[i])
		}
	}
	// In order, so that two replicas never wait for each other.
	slices.SortStableFunc(u.wanted, func(a, b *ledger.Consumed) int {
		return bytes.Compare(a.Value[:len(engine.Key{})], b.Value[:len(engine.Key{})])
	})
	u.wanted = slices.CompactFunc(u.wanted, func(a, b *ledger.Consumed) bool { return engine.KeyOf(a) == engine.KeyOf(b) })
	return u
}

const insertConsumed = `INSERT INTO use_up (key, until, sealed) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])`

// rowsOf are the arguments of insertUses.
func rowsOf(consumed []*ledger.Consumed) []any {
	keys, untils, sealed := make([][]byte, len(consumed)), make([]int64, len(consumed)), make([][]byte, len(consumed))
	for i, c := range consumed {
		keys[i], untils[i], sealed[i] = c.Value[:len(engine.Key{})], engine.CeilMilli(c.Until), append([]byte{}, c.Sealed...)
	}
	return []any{keys, untils, sealed}
}

// queue inserts their keys. What is there already, or is there once another
// replica has committed, comes not back. What was forgotten is read after the
// insert, which nobody who forgets can do beside it.
func (u *consumption) queue(batch *pgx.Batch) {
	if len(u.wanted) == 0 {
		return
	}
	batch.Queue(insertConsumed+` ON CONFLICT (key) DO NOTHING RETURNING key`, rowsOf(u.wanted)...).Query(func(rows pgx.Rows) error {
		var key []byte
		_, err := pgx.ForEachRow(rows, []any{&key}, func() error {
			if len(key) == len(engine.Key{}) {
				u.inserted[engine.Key(key)] = true
			}
			return nil
		})
		return err
	})
	batch.Queue(`SELECT at FROM used_forgotten`).QueryRow(func(row pgx.Row) error { return row.Scan(&u.forgotten) })
}

// judge sets lost on those who were not the first, and takes back what was inserted for
// them: what they sealed is nobody's, and must not be found.
func (u *consumption) judge(s *session) error {
	if err := u.readLeft(s); err != nil {
		return err
	}
	winners, err := engine.Judge(u.batch, u)
	if err != nil {
		return err
	}
	var taken [][]byte
	var others []*ledger.Consumed // that are consumed by an append after the first that wanted them
	for _, c := range u.wanted {
		key := engine.KeyOf(c)
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
	if _, err := s.Exec(`DELETE FROM use_up WHERE key = ANY($1)`, taken); err != nil || len(others) == 0 {
		return err
	}
	_, err = s.Exec(insertConsumed, rowsOf(others)...)
	return err
}

// Refusal implements engine.History.
func (u *consumption) Refusal(i int, c *ledger.Consumed) (refusal, err error) {
	switch key := engine.KeyOf(c); {
	case !u.inserted[key]:
		return &ledger.ReplayedError{Index: i, Sealed: u.left[key]}, nil
	case int64(engine.CeilSecond(c.Until)) <= u.forgotten:
		return engine.ErrClockBack, nil
	}
	return nil, nil
}

// readLeft reads what was sealed with the values that were consumed before.
func (u *consumption) readLeft(s *session) error {
	var keys [][]byte
	for _, c := range u.wanted {
		if !u.inserted[engine.KeyOf(c)] {
			keys = append(keys, c.Value[:len(engine.Key{})])
		}
	}
	if len(keys) == 0 {
		return nil
	}
	u.left = make(map[engine.Key][]byte, len(keys))
	return s.List(`SELECT key, sealed FROM use_up WHERE key = ANY($1)`, []any{keys}, func(scan func(...any) error) error {
		var key, sealed []byte
		err := scan(&key, &sealed)
		if err == nil && len(key) == len(engine.Key{}) {
			u.left[engine.Key(key)] = bytes.Clone(sealed)
		}
		return err
	})
}
