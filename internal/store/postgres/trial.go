package postgres

import (
	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// Trial writes what an append writes, in a transaction of the session that writes, and takes
// it back but for an update of this replica's chain. The server flushes that commit, and
// waits for its standbys, like any other.
func (d *Database) Trial(exec engine.Exec) error {
	s, now := d.session, d.feed.now().UnixMilli()
	if err := s.days.ensure(now); err != nil {
		return err
	}
	s.queued.Queue(`SAVEPOINT trial`)
	s.queued.Queue(insertBatch, ledger.Numbered(s.chain, 0), 1, now, now, []byte{}, []byte{}, []byte{}, make([]byte, 512)) // no entry has that place
	s.queued.Queue(insertConsumed+` ON CONFLICT (key) DO NOTHING`, [][]byte{make([]byte, len(engine.Key{}))}, []int64{now}, [][]byte{{}})
	s.queued.Queue(`ROLLBACK TO SAVEPOINT trial`)
	_, err := exec(`UPDATE ledger_chain SET seq = seq WHERE id = $1`, s.chain)
	return err
}
