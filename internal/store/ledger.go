package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"

	"moneyer/internal/authority"
)

// Append implements authority.Ledger. It may also return [ErrBusy] or
// [ErrClosed]: nothing was recorded then. When ctx ends while the entry waits,
// the entry may be recorded all the same.
func (d *DB) Append(ctx context.Context, e *authority.Entry, use *authority.Use) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := encode(e)
	if err != nil {
		return err
	}
	return d.writer.append(ctx, l, use)
}

// line is an entry that is ready to be chained.
type line struct {
	text []byte // canonical, without a line feed
	at   int64  // Unix milliseconds
}

func encode(e *authority.Entry) (line, error) {
	if e == nil {
		return line{}, errors.New("a change without its ledger entry")
	}
	text, err := e.AppendJSON(nil)
	return line{text: text, at: e.Time.UnixMilli()}, err
}

// batch is a row of the ledger, as it was read and not yet believed.
type batch struct {
	first, count          int64
	previous, last, marks []byte
	lines                 [][]byte
	unreadable            error // why there are no lines
	// hashes is the chain after each line; chained fills it.
	hashes [][sha256.Size]byte
}

// batchesAtOnce are read by one query: few enough to be held, and the database
// is free while they are visited.
const batchesAtOnce = 32

// batches visits in order the batches that begin from first to last.
func (d *DB) batches(ctx context.Context, first, last int64, visit func(*batch) error) error {
	for {
		some, err := d.someBatches(ctx, first, last)
		if err != nil {
			return err
		}
		for _, b := range some {
			if err := visit(b); err != nil {
				return err
			}
		}
		if len(some) < batchesAtOnce {
			return nil
		}
		first = some[len(some)-1].first + 1
	}
}

func (d *DB) someBatches(ctx context.Context, first, last int64) (some []*batch, err error) {
	err = d.reads.list(ctx, `SELECT first_seq, count, previous, last, `+d.marks+`, lines FROM ledger_batch
		WHERE first_seq >= $1 AND first_seq <= $2 ORDER BY first_seq LIMIT $3`,
		[]any{first, last, batchesAtOnce},
		func(scan func(...any) error) error {
			b, packed := &batch{}, []byte(nil)
			err := scan(&b.first, &b.count, &b.previous, &b.last, &b.marks, &packed)
			b.lines, b.unreadable = d.packer.unpack(packed)
			some = append(some, b)
			return err
		})
	return some, err
}

// chained computes the chain of a batch, and tells whether it leads to where it
// led when the batch was written.
func (b *batch) chained() bool {
	if b.unreadable != nil || int64(len(b.lines)) != b.count || len(b.previous) != sha256.Size {
		return false
	}
	hash := [sha256.Size]byte(b.previous)
	b.hashes = make([][sha256.Size]byte, len(b.lines))
	for i, line := range b.lines {
		hash = authority.ChainHash(hash, line)
		b.hashes[i] = hash
	}
	return bytes.Equal(b.last, hash[:])
}

// record returns the i-th entry of a chained batch.
func (b *batch) record(i int) *authority.Record {
	r := &authority.Record{Seq: b.first + int64(i), Line: b.lines[i], Hash: b.hashes[i]}
	if i > 0 {
		r.Previous = b.hashes[i-1]
	} else {
		r.Previous = [sha256.Size]byte(b.previous)
	}
	return r
}

// errEnough ends a walk that has found all it looked for.
var errEnough = errors.New("enough")

// Entries visits, in the order of their Seq, the entries that q selects, and
// stops at the first error of visit, which it returns. It never holds more than
// a few batches in memory; entries that are recorded meanwhile may be left out.
func (d *DB) Entries(ctx context.Context, q authority.Query, visit func(*authority.Record) error) error {
	first, last, err := d.queryRange(ctx, &q)
	if err != nil {
		return err
	}
	some := &selection{q: &q, needles: needles(&q), visit: visit}
	err = d.batches(ctx, first, last, some.batch)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// selection visits the entries that a query selects.
type selection struct {
	q       *authority.Query
	needles [][]byte
	visit   func(*authority.Record) error
	visited int
}

// batch visits the selected entries of b; errEnough ends at the query's limit.
func (s *selection) batch(b *batch) error {
	if !b.chained() {
		return brokenf(b.first, "its batch is not as it was written")
	}
	for i := range b.lines {
		if b.first+int64(i) <= s.q.After || !containsAll(b.lines[i], s.needles) {
			continue
		}
		if err := s.record(b.record(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) record(r *authority.Record) error {
	e, err := r.Entry()
	if err != nil || !s.q.Matches(e) {
		return err
	}
	if err := s.visit(r); err != nil {
		return err
	}
	if s.visited++; s.visited == s.q.Limit {
		return errEnough
	}
	return nil
}

// queryRange finds the first_seq of the first and last batch that may hold what
// q selects.
func (d *DB) queryRange(ctx context.Context, q *authority.Query) (first, last int64, err error) {
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.Since.IsZero() {
		since = q.Since.UnixMilli()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixMilli()
	}
	var from int64
	if q.Since.IsZero() && q.Until.IsZero() {
		err = d.reads.row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch`, nil, []any{&last})
	} else {
		err = d.reads.row(ctx, `SELECT coalesce(min(first_seq), 0), coalesce(max(first_seq), 0) FROM ledger_batch
			WHERE time_max >= $1 AND time_min <= $2`, []any{since, until}, []any{&first, &last})
	}
	if err != nil {
		return 0, 0, err
	}
	err = d.reads.row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch WHERE first_seq <= $1`,
		[]any{q.After + 1}, []any{&from})
	return max(first, from), last, err
}

// needles are texts that the line of each entry that q selects contains. They
// spare decoding most of the others.
func needles(q *authority.Query) [][]byte {
	var needles [][]byte
	for _, text := range []string{q.JTI, q.Correlation, q.Client, q.Issuer, string(q.Kind)} {
		if text == "" {
			continue
		}
		if needle, err := json.Marshal(text); err == nil {
			needles = append(needles, needle)
		}
	}
	return needles
}

func containsAll(line []byte, needles [][]byte) bool {
	for _, needle := range needles {
		if !bytes.Contains(line, needle) {
			return false
		}
	}
	return true
}
