package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
)

// wentBack detects a database that lost acknowledged entries, or of which some tables were
// restored without the others.
func (e *checker) wentBack(ctx context.Context) error {
	there, err := value[bool](ctx, e.conn, `SELECT to_regclass('ledger_chain') IS NOT NULL`)
	if err != nil || !there {
		return err
	}
	rows, err := e.conn.Query(ctx, `SELECT seq, coalesce((SELECT first_seq + count - 1 FROM ledger_batch
			WHERE first_seq >= ledger_chain.id << $1::int AND first_seq < (ledger_chain.id + 1) << $1::int ORDER BY first_seq DESC LIMIT 1), id << $1::int),
		coalesce((SELECT max(acknowledged) FROM replica WHERE acknowledged >> $1::int = ledger_chain.id AND seen > now() - interval '1 minute'), 0)
		FROM ledger_chain ORDER BY id`, ledger.ChainShift)
	if err != nil {
		return err
	}
	var lost []string
	var end, last, acknowledged int64
	_, err = pgx.ForEachRow(rows, []any{&end, &last, &acknowledged}, func() error {
		if acknowledged > end {
			lost = append(lost, fmt.Sprintf("a replica got entry %s acknowledged, and the database ends at %s", ledger.ShowSeq(acknowledged), ledger.ShowSeq(end)))
		}
		if last != end {
			lost = append(lost, fmt.Sprintf("the ledger ends at entry %s, and its chain at %s", ledger.ShowSeq(last), ledger.ShowSeq(end)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	gone, err := value[[]string](ctx, e.conn, `SELECT coalesce(array_agg(id), '{}') FROM replica
		WHERE acknowledged > 0 AND seen > now() - interval '1 minute' AND NOT EXISTS (SELECT FROM ledger_chain AS c WHERE c.id = acknowledged >> $1::int)`, ledger.ChainShift)
	if err != nil {
		return err
	}
	for _, id := range gone {
		lost = append(lost, "the chain of replica "+id+" is gone")
	}
	e.list("history", lost, engine.Bad, "nothing that was acknowledged is missing",
		"the database went back, by a failover that lost commits or by a restore, and consumed assertions with it: find out which, and follow \"Restore\" in the operations manual before you start the replicas again")
	return nil
}

// list adds a finding that lists what is wrong, or says that nothing is.
func (e *checker) list(what string, wrong []string, level engine.Level, good, advice string) {
	found := good
	if len(wrong) > 0 {
		found = strings.Join(wrong, "; ")
	}
	e.Judge(what, len(wrong) == 0, level, found, advice)
}

const (
	// oldSnapshot is how long a transaction may be open, and oldXmin how many transactions
	// ago a standby or slot may have its oldest row: half a day of a small cluster.
	oldSnapshot = time.Hour
	oldXmin     = 500_000
)

// snapshots finds what keeps vacuum from removing rows that were deleted.
func (e *checker) snapshots(ctx context.Context) error {
	return e.snapshotsOlder(ctx, oldSnapshot, oldXmin)
}

func (e *checker) snapshotsOlder(ctx context.Context, than time.Duration, xids int64) error {
	rows, err := e.conn.Query(ctx, `SELECT format('session %s of %s (%s) for %s', pid, usename, application_name, date_trunc('second', clock_timestamp() - xact_start))
			FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND clock_timestamp() - xact_start > make_interval(secs => $1)
		UNION ALL SELECT format('prepared transaction %s since %s', gid, prepared) FROM pg_prepared_xacts
			WHERE database = current_database() AND clock_timestamp() - prepared > make_interval(secs => $1)
		UNION ALL SELECT format('replication slot %s, %s transactions ago', slot_name, greatest(age(xmin), age(catalog_xmin))) FROM pg_replication_slots
			WHERE greatest(age(xmin), age(catalog_xmin)) > $2
		UNION ALL SELECT format('standby %s, %s transactions ago', application_name, age(backend_xmin)) FROM pg_stat_replication WHERE age(backend_xmin) > $2
		LIMIT 5`, than.Seconds(), xids)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	e.list("snapshots", found, engine.Warn, "none is old",
		"vacuum removes nothing that was deleted since, so tables grow and the database slows down: end the session with pg_terminate_backend, the prepared transaction with ROLLBACK PREPARED, an unused slot with pg_drop_replication_slot")
	return nil
}
