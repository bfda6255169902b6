package sqlite

import (
	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// consume decides which appends consume their values, by the set in memory and the batch
// itself. The keys are added to the set after the commit.
func (s *session) consume(t *engine.Tx) error {
	if _, err := engine.Judge(t.Batch, s); err != nil {
		return err
	}
	minutes := map[int64][]byte{} // by the minute of expiry, so that each row expires as a whole
	for _, a := range t.Batch {
		if a.Lost != nil {
			continue
		}
		for i := range a.Consumed {
			c := &a.Consumed[i]
			if err := s.seal(c); err != nil {
				return err
			}
			key, until := engine.KeyOf(c), engine.CeilSecond(c.Until)
			minute := int64(until)/60 + 1
			minutes[minute] = appendConsumed(minutes[minute], key, until)
			s.consumed = appendConsumed(s.consumed, key, until)
		}
	}
	for minute, keys := range minutes {
		_, err := s.Exec(`INSERT INTO used_batch (until, first_seq, keys) VALUES ($1, $2, $3)`,
			minute*60_000, t.Head.Seq+1, keys)
		if err != nil {
			return s.taken(err)
		}
	}
	return nil
}

// Refusal implements engine.History.
func (s *session) Refusal(i int, c *ledger.Consumed) (refusal, err error) {
	switch key := engine.KeyOf(c); {
	case s.used.has(key):
		return s.replayed(i, c)
	case int64(engine.CeilSecond(c.Until)) <= s.used.floor.Load():
		return engine.ErrForgotten, nil
	case s.used.full():
		return errTooManyConsumed, nil
	}
	return nil, nil
}

// replayed reads the sealed data of a value that was consumed before.
func (s *session) replayed(i int, c *ledger.Consumed) (refusal, err error) {
	key := engine.KeyOf(c)
	replayed := &ledger.ReplayedError{Index: i}
	// Rows copied from a PostgreSQL database have the first half of the value as their key.
	return replayed, s.List(`SELECT sealed FROM use_up WHERE key IN ($1, $2) ORDER BY until DESC LIMIT 1`, []any{c.Value[:], key[:]},
		func(scan func(...any) error) error { return scan(&replayed.Sealed) })
}

// seal writes the sealed data, which later callers with the same value get.
func (s *session) seal(c *ledger.Consumed) error {
	if len(c.Sealed) == 0 {
		return nil
	}
	// An expired row may be deleted in memory and not yet in the table.
	_, err := s.Exec(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET until = excluded.until, sealed = excluded.sealed`,
		c.Value[:], engine.CeilMilli(c.Until), c.Sealed)
	return err
}
