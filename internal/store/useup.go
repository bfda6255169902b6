package store

import (
	"slices"
	"time"

	"moneyer/internal/authority"
)

// useUp decides which appends of a batch are the first with their assertion, by
// the set in memory and by what the batch itself brings, and records the keys of
// those; on each other one it sets lost. The set takes the keys once they are
// committed.
func (t *tx) useUp(batch []*appending) error {
	winners := make(map[usedKey]*appending, len(batch))
	t.usedUp = t.usedUp[:0]
	minutes := map[int64][]byte{} // what ends in a minute is forgotten at once, however long others live
	for _, a := range batch {
		if a.lost = nil; a.use == nil {
			continue
		}
		key := usedKeyOf(a.use)
		if err := t.judge(a, key, winners[key]); err != nil {
			return err
		}
		if a.lost != nil {
			continue
		}
		winners[key] = a
		until := ceilSecond(a.use.Until)
		minute := int64(until)/60 + 1
		minutes[minute] = appendUsed(minutes[minute], key, until)
		t.usedUp = appendUsed(t.usedUp, key, until)
	}
	for minute, keys := range minutes {
		_, err := t.exec(`INSERT INTO used_batch (until, first_seq, keys) VALUES ($1, $2, $3)`,
			minute*60_000, t.head.seq+1, keys)
		if err != nil {
			return err
		}
	}
	return nil
}

// judge sets lost on a if its assertion was used up before, in this batch by
// winner or in an earlier one.
func (t *tx) judge(a *appending, key usedKey, winner *appending) error {
	switch {
	case winner != nil:
		a.lost = &authority.UsedError{Sealed: slices.Clone(winner.use.Sealed)}
		return nil
	case t.used.has(key):
		used := &authority.UsedError{}
		a.lost = used
		return t.list(`SELECT sealed FROM use_up WHERE key = $1`, []any{a.use.Key[:]},
			func(scan func(...any) error) error { return scan(&used.Sealed) })
	case int64(ceilSecond(a.use.Until)) <= t.used.forgotten.Load():
		a.lost = errClockBack
		return nil
	case t.used.full():
		a.lost = errTooManyUsed
		return nil
	case len(a.use.Sealed) == 0:
		return nil
	}
	// An earlier use may be forgotten in memory and not yet in the table.
	_, err := t.exec(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET until = excluded.until, sealed = excluded.sealed`,
		a.use.Key[:], ceilMilli(a.use.Until), a.use.Sealed)
	return err
}

// ceilMilli is the first whole Unix millisecond not before t.
func ceilMilli(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}
