package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// Source is a file that is the source of a copy. It implements transfer.Source.
type Source struct {
	held  *held
	reads *sql.DB
	used  *consumedSet
	point *transfer.Point
}

// OpenSource locks the file at path against other processes, and opens it read-only.
func OpenSource(ctx context.Context, path string) (*Source, error) {
	if err := refuseName(path); err != nil {
		return nil, err
	}
	held, err := hold(path, false)
	if err != nil {
		return nil, err
	}
	reads, err := readOnly(held.path)
	if err != nil {
		return nil, errors.Join(err, held.release())
	}
	s := &Source{held: held, reads: reads}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Source) open(ctx context.Context) error {
	version, err := readVersion(ctx, s.reads)
	if err != nil {
		return err
	}
	known, err := steps()
	if err != nil {
		return err
	}
	if version != len(known) {
		return fmt.Errorf("its schema has version %d, and this program copies version %d: bring it forward with `moneyer store migrate`, or use a newer program", version, len(known))
	}
	if err := refuseUnfinished(ctx, s.reads); err != nil {
		return err
	}
	reader := engine.NewReader(s.reads, nil)
	if s.used, err = loadConsumed(ctx, reader); err != nil {
		return err
	}
	if s.point, err = transfer.ReadPoint(ctx, s.reads); err != nil {
		return err
	}
	s.point.Counts["use_up"] = s.used.size.Load()
	s.point.Heads, err = heads(ctx, reader)
	return err
}

// Querier implements transfer.Source.
func (s *Source) Querier() transfer.Querier { return s.reads }

// Point implements transfer.Source.
func (s *Source) Point() *transfer.Point { return s.point }

// UsedTwice implements transfer.Source: the file stores values with sealed data twice.
func (s *Source) UsedTwice() bool { return true }

// EachUsed implements transfer.Source.
func (s *Source) EachUsed(ctx context.Context, visit func(key engine.Key, until int64, sealed []byte) error) error {
	err := transfer.EachUsed(ctx, s.reads, "AND length(sealed) > 0", s.point.Forgotten, visit)
	if err != nil {
		return err
	}
	return s.used.each(func(key engine.Key, until uint32) error { return visit(key, int64(until)*1000, nil) })
}

// Release implements transfer.Source.
func (s *Source) Release(context.Context) error { return nil }

// Close implements transfer.Source.
func (s *Source) Close() error { return errors.Join(s.reads.Close(), s.held.release()) }
