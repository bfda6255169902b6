package postgres

import (
	"bytes"
	"slices"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// consumption is the consumption of a batch's values.
type consumption struct {
	batch []*engine.Append
	// wanted is the first value with each key, ordered by key, and inserted the keys that
	// were not consumed before.
	wanted    []*ledger.Consumed
	inserted  map[engine.Key]bool
	forgotten int64
	// left is the sealed data of the values that were consumed before.
	left map[engine.Key][]byte
}

func consumptionOf(batch []*engine.Append) *consumption {
	u := &consumption{batch: batch, inserted: map[engine.Key]bool{}}
	for _, a := range batch {
		for i := range a.Consumed {
			u.wanted = append(u.wanted, &a.Consumed[i])
		}
	}
	// Ordered, to avoid deadlocks between replicas.
	slices.SortStableFunc(u.wanted, func(a, b *ledger.Consumed) int {
		return bytes.Compare(a.Value[:len(engine.Key{})], b.Value[:len(engine.Key{})])
	})
	u.wanted = slices.CompactFunc(u.wanted, func(a, b *ledger.Consumed) bool { return engine.KeyOf(a) == engine.KeyOf(b) })
	return u
}

const insertConsumed = `INSERT INTO use_up (key, until, sealed) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])`

// rowsOf returns the arguments of insertConsumed.
func rowsOf(consumed []*ledger.Consumed) []any {
	keys, untils, sealed := make([][]byte, len(consumed)), make([]int64, len(consumed)), make([][]byte, len(consumed))
	for i, c := range consumed {
		keys[i], untils[i], sealed[i] = c.Value[:len(engine.Key{})], engine.CeilMilli(c.Until), append([]byte{}, c.Sealed...)
	}
	return []any{keys, untils, sealed}
}

// queue queues the insert of the keys, which returns those that did not exist, also after
// waiting for the commit of another replica. used_forgotten is read after the insert,
// which locks out ForgetConsumed.
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
	batch.Queue(`SELECT greatest(at, refused) FROM used_forgotten`).QueryRow(func(row pgx.Row) error { return row.Scan(&u.forgotten) })
}

// judge sets Lost on the appends that were not the first, and deletes the rows that were
// inserted for them, with their sealed data.
func (u *consumption) judge(s *session) error {
	if err := u.readLeft(s); err != nil {
		return err
	}
	winners, err := engine.Judge(u.batch, u)
	if err != nil {
		return err
	}
	var taken [][]byte
	var others []*ledger.Consumed // consumed by a later append than the first that wanted them
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
		return engine.ErrForgotten, nil
	}
	return nil, nil
}

// readLeft reads the sealed data of the values that were consumed before.
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
