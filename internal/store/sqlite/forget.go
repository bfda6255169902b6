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
	err := w.Change(ctx, func(exec engine.Exec) error { // first, so that after a restart the database is not behind the set
		_, err := exec(`UPDATE used_forgotten SET at = $1 WHERE at < $1`, now.Unix())
		return err
	})
	if err != nil {
		return 0, err
	}
	keys := s.used.forget(now.Unix())
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
