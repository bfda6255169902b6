package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
)

// Status tells how a store is, by what is cheap to know.
type Status struct {
	// Name is its URL without what is not for logs.
	Name string
	// Version of its schema; 0 if there is none. Oldest is what a program must know to
	// work with it, and Known what this one knows.
	Version, Oldest, Known int
	// Unfinished tells that it is half of a copy.
	Unfinished bool
	Replicas   []ReplicaStatus
	Chains     []ChainStatus
	// Octets that it takes, of which Sizes are the largest parts of a database.
	Octets int64
	Sizes  []TableSize
}

// ReplicaStatus is a process that serves a database.
type ReplicaStatus struct {
	ID string
	// Silent is how long ago it was heard. It is gone when that is more than some seconds.
	Silent time.Duration
}

// ChainStatus is the end of a chain of the ledger.
type ChainStatus struct {
	ledger.Head
	// Holder is the replica that goes on with it, if any.
	Holder string
}

// TableSize is what a table takes with its indexes; the rows are an estimate.
type TableSize struct {
	Table        string
	Octets, Rows int64
}

// ReadStatus tells how the store at url is, and changes nothing in it. Whoever has it
// open is not disturbed.
func ReadStatus(ctx context.Context, url string) (Status, error) {
	s, err := readStatus(ctx, url)
	if err != nil {
		return Status{}, fmt.Errorf("store %s: %w", nameOfStore(url), err)
	}
	s.Name = nameOfStore(url)
	return s, nil
}

func readStatus(ctx context.Context, url string) (Status, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return Status{}, err
	case u == nil:
		return fileStatus(ctx, path)
	default:
		return databaseStatus(ctx, u)
	}
}

func fileStatus(ctx context.Context, path string) (s Status, err error) {
	steps, err := fileSteps()
	if err != nil {
		return s, err
	}
	reads, err := readOnly(path)
	if err != nil {
		return s, err
	}
	defer func() { _ = reads.Close() }() // it only read
	s.Known, s.Oldest = len(steps), 1
	if s.Version, err = fileVersion(ctx, reads); err != nil {
		return s, err
	}
	s.Oldest = s.Version
	if err := refuseUnfinishedFile(ctx, reads); errors.Is(err, errUnfinished) {
		s.Unfinished = true
	} else if err != nil {
		return s, err
	}
	heads, err := lastBatches(ctx, reads)
	for _, h := range heads {
		s.Chains = append(s.Chains, ChainStatus{Head: h})
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			s.Octets += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return s, err
}

func databaseStatus(ctx context.Context, u *postgresURL) (s Status, err error) {
	steps, err := postgresSteps(migrations)
	if err != nil {
		return s, err
	}
	conn, _, err := u.dial(ctx, nil)
	if err != nil {
		return s, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	s.Known = len(steps)
	if s.Version, s.Oldest, err = postgresVersion(ctx, conn); err != nil || s.Version == 0 {
		return s, err
	}
	var batch pgx.Batch
	batch.Queue(`SELECT to_regclass('` + unfinished + `') IS NOT NULL, pg_database_size(current_database())`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&s.Unfinished, &s.Octets) })
	batch.Queue(`SELECT id, extract(epoch FROM clock_timestamp() - seen)::float8 FROM replica ORDER BY id`).Query(s.addReplicas)
	batch.Queue(`SELECT seq, hash, holder FROM ledger_chain ORDER BY id`).Query(s.addChains)
	batch.Queue(`SELECT coalesce(parent.relname, part.relname)::text, sum(pg_total_relation_size(part.oid))::bigint, sum(greatest(part.reltuples, 0))::bigint
		FROM pg_class AS part LEFT JOIN pg_inherits ON inhrelid = part.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
		WHERE part.relnamespace = current_schema()::regnamespace AND part.relkind = 'r'
		GROUP BY 1 ORDER BY 2 DESC LIMIT 6`).Query(s.addSizes)
	return s, conn.SendBatch(ctx, &batch).Close()
}

func (s *Status) addReplicas(rows pgx.Rows) error {
	var id string
	var seconds float64
	_, err := pgx.ForEachRow(rows, []any{&id, &seconds}, func() error {
		s.Replicas = append(s.Replicas, ReplicaStatus{id, time.Duration(seconds * float64(time.Second))})
		return nil
	})
	return err
}

func (s *Status) addChains(rows pgx.Rows) error {
	var c ChainStatus
	var hash []byte
	_, err := pgx.ForEachRow(rows, []any{&c.Seq, &hash, &c.Holder}, func() error {
		copy(c.Hash[:], hash)
		s.Chains = append(s.Chains, c)
		return nil
	})
	return err
}

func (s *Status) addSizes(rows pgx.Rows) error {
	var t TableSize
	_, err := pgx.ForEachRow(rows, []any{&t.Table, &t.Octets, &t.Rows}, func() error {
		s.Sizes = append(s.Sizes, t)
		return nil
	})
	return err
}
