package sqlite

import (
	"context"
	"time"

	"moneyer/internal/store/engine"
)

// forgetAtOnce is how many rows one transaction deletes. It is small, so that appends do
// not wait long.
const forgetAtOnce = 128

// ForgetConsumed implements engine.Engine. The mark of what was deleted is in seconds, so
// nothing that ends within the current second is deleted.
func (s *File) ForgetConsumed(ctx context.Context, w engine.Writer, now time.Time) (int64, error) {
	now = now.Truncate(time.Second)
	// Between two transactions of the writer, so that no value that ends by now is consumed
	// after the last one was found, and deleted without a mark.
	before := s.used.floor.Load()
	err := w.Change(ctx, func(engine.Exec) error {
		s.used.floor.Store(max(before, now.Unix()))
		return nil
	})
	defer func() { s.used.floor.Store(max(before, s.used.forgotten.Load())) }()
	if err != nil {
		return 0, err
	}
	last := s.used.last(now.Unix())
	err = w.Change(ctx, func(exec engine.Exec) error { // first, so that after a restart the database is not behind the set
		_, err := exec(`UPDATE used_forgotten SET at = $1 WHERE at < $1`, last)
		return err
	})
	if err != nil {
		return 0, err
	}
	keys := s.used.forget(now.Unix(), last)
	for _, statement := range []string{
		`DELETE FROM used_batch WHERE (until, first_seq) IN
		(SELECT until, first_seq FROM used_batch WHERE until <= $1 ORDER BY until LIMIT $2)`,
		`DELETE FROM use_up WHERE key IN
		(SELECT key FROM use_up WHERE until <= $1 ORDER BY until LIMIT $2)`,
	} {
		if _, err := engine.DeleteInSteps(ctx, w, statement, forgetAtOnce, now.UnixMilli(), forgetAtOnce); err != nil {
			return keys, err
		}
	}
	return keys, nil
}

// Refuse implements engine.Engine.
func (s *File) Refuse(ctx context.Context, w engine.Writer, until time.Time) error {
	at := int64(engine.CeilSecond(until))
	err := w.Change(ctx, func(exec engine.Exec) error {
		_, err := exec(`UPDATE used_forgotten SET refused = $1 WHERE refused < $1`, at)
		return err
	})
	if err == nil {
		s.used.floor.Store(max(at, s.used.floor.Load()))
	}
	return err
}

// WriteLastUsed implements engine.Engine.
func (s *File) WriteLastUsed(ctx context.Context, w engine.Writer, times map[engine.Credential]int64) error {
	return w.Change(ctx, func(exec engine.Exec) error {
		for key, at := range times {
			_, err := exec(`INSERT INTO last_used (issuer, client, credential, at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (issuer, client, credential) DO UPDATE SET at = excluded.at WHERE last_used.at < excluded.at`,
				key.Issuer, key.Client, key.ID, at)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
