package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"moneyer/internal/ledger"
)

// Append implements authority.Ledger. It may also return [ErrBusy] or
// [ErrClosed]: nothing was recorded then. When ctx ends while the entry waits,
// the entry may be recorded all the same. Two equal values are an error.
func (d *DB) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := distinct(consumed); err != nil {
		return err
	}
	l, err := encode(e)
	if err != nil {
		return err
	}
	return d.writer.append(ctx, l, consumed)
}

// line is an entry that is ready to be chained.
type line struct {
	text []byte // canonical, without a line feed
	at   int64  // Unix milliseconds
}

func encode(e *ledger.Entry) (line, error) {
	if e == nil {
		return line{}, errors.New("a change without its ledger entry")
	}
	text, err := e.AppendJSON(nil)
	return line{text: text, at: e.Time.UnixMilli()}, err
}

// batch is a row of the ledger, as it was read and not yet believed.
type batch struct {
	first, count          int64
	timeMax               int64 // Unix milliseconds
	previous, last, marks []byte
	lines                 [][]byte
	unreadable            error // why there are no lines
	// hashes is the chain after each line; chained fills it, and so does a walk.
	hashes [][sha256.Size]byte
}

// What one query reads of the ledger: few batches first, of which the first may be
// enough, then more, but never much more text than that. The database is free
// while they are visited.
const (
	leastAtOnce = 32
	mostAtOnce  = 1024
	textAtOnce  = 1 << 20 // octets
)

// batchReader reads in order the batches that begin from next to last.
type batchReader struct {
	d          *DB
	next, last int64
	atOnce     int
	ahead      []*batch
}

func (d *DB) batchReader(first, last int64) *batchReader {
	return &batchReader{d: d, next: first, last: last, atOnce: leastAtOnce}
}

// read returns the next batch, or nil after the last.
func (r *batchReader) read(ctx context.Context) (*batch, error) {
	if len(r.ahead) == 0 && r.next <= r.last {
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
	}
	if len(r.ahead) == 0 {
		return nil, nil
	}
	b := r.ahead[0]
	r.ahead = r.ahead[1:]
	return b, nil
}

func (r *batchReader) fill(ctx context.Context) error {
	r.ahead = nil
	text := 0
	err := r.d.reads.list(ctx, `SELECT first_seq, count, time_max, previous, last, marks, lines FROM ledger_batch
		WHERE first_seq >= $1 AND first_seq <= $2 ORDER BY first_seq LIMIT $3`,
		[]any{r.next, r.last, r.atOnce},
		func(scan func(...any) error) error {
			b, packed := &batch{}, []byte(nil)
			if err := scan(&b.first, &b.count, &b.timeMax, &b.previous, &b.last, &b.marks, &packed); err != nil {
				return err
			}
			b.lines, b.unreadable = r.d.packer.unpack(packed)
			r.ahead = append(r.ahead, b)
			for _, line := range b.lines {
				text += len(line)
			}
			if text >= textAtOnce && len(r.ahead) > 1 {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) || err == nil && len(r.ahead) == r.atOnce {
		r.turnPage()
		err = nil
	} else {
		r.next = math.MaxInt64
	}
	r.atOnce = min(2*r.atOnce, mostAtOnce)
	return err
}

// turnPage lets the next query begin with the last batch of this one, which is
// left to it: where somebody put it in twice, both are read.
func (r *batchReader) turnPage() {
	last := r.ahead[len(r.ahead)-1].first
	if r.ahead[0].first == last {
		r.next = last + 1
		return
	}
	r.next = last
	r.ahead = slices.DeleteFunc(r.ahead, func(b *batch) bool { return b.first == last })
}

// batches visits in order the batches that begin from first to last.
func (d *DB) batches(ctx context.Context, first, last int64, visit func(*batch) error) error {
	r := d.batchReader(first, last)
	for {
		b, err := r.read(ctx)
		if err != nil || b == nil {
			return err
		}
		if err := visit(b); err != nil {
			return err
		}
	}
}

// chain is what the ledger holds of one chain: the entries from first to the head.
type chain struct {
	number, first int64
	lastBatch     int64 // begins with that entry
	head          ledger.Head
}

// chains finds the chains, and the end of each as it is at one instant: what any
// of them says of another is there.
func (d *DB) chains(ctx context.Context) ([]chain, error) {
	var chains []chain
	err := d.reads.list(ctx, `
		WITH RECURSIVE chain (first) AS (
			SELECT min(first_seq) FROM ledger_batch WHERE first_seq >= 0
			UNION ALL
			SELECT (SELECT min(first_seq) FROM ledger_batch WHERE first_seq >= ((chain.first >> 40) + 1) << 40)
			FROM chain WHERE chain.first IS NOT NULL
		), span (first, last) AS MATERIALIZED (
			SELECT first, (SELECT max(first_seq) FROM ledger_batch
				WHERE first_seq >= chain.first AND first_seq < ((chain.first >> 40) + 1) << 40)
			FROM chain WHERE first IS NOT NULL
		)
		SELECT first, last, (SELECT count FROM ledger_batch WHERE first_seq = span.last LIMIT 1),
			(SELECT ledger_batch.last FROM ledger_batch WHERE first_seq = span.last LIMIT 1)
		FROM span ORDER BY first`,
		nil, func(scan func(...any) error) error {
			var c chain
			var count int64
			var hash []byte
			if err := scan(&c.first, &c.lastBatch, &count, &hash); err != nil {
				return err
			}
			c.number, c.head.Seq = ledger.ChainOf(c.first), c.lastBatch+count-1
			copy(c.head.Hash[:], hash)
			chains = append(chains, c)
			return nil
		})
	return chains, err
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
		hash = ledger.ChainHash(hash, line)
		b.hashes[i] = hash
	}
	return bytes.Equal(b.last, hash[:])
}

// record returns the i-th entry of a chained batch.
func (b *batch) record(i int) *ledger.Record {
	r := &ledger.Record{Seq: b.first + int64(i), Line: b.lines[i], Hash: b.hashes[i]}
	if i > 0 {
		r.Previous = b.hashes[i-1]
	} else {
		r.Previous = [sha256.Size]byte(b.previous)
	}
	return r
}

// errEnough ends a walk that has found all it looked for.
var errEnough = errors.New("enough")

// Entries visits the entries that q selects, chain after chain and in the order of
// their Seq, and stops at the first error of visit, which it returns. It never
// holds more than a few batches in memory; entries that are recorded meanwhile may
// be left out. Whoever wants the newest of all chains sorts them by time.
func (d *DB) Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	ranges, err := d.queryRanges(ctx, &q)
	if err != nil {
		return err
	}
	some := &selection{q: &q, needles: needles(&q), visit: visit}
	for _, r := range ranges {
		some.from = r.from
		err := d.batches(ctx, r.first, r.last, some.batch)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// selection visits the entries that a query selects.
type selection struct {
	q       *ledger.Query
	needles [][]byte
	from    int64 // the first entry of the chain that may be selected
	visit   func(*ledger.Record) error
	visited int
}

// batch visits the selected entries of b; errEnough ends at the query's limit.
func (s *selection) batch(b *batch) error {
	if !b.chained() {
		return brokenf(b.first, "its batch is not as it was written")
	}
	for i := range b.lines {
		if b.first+int64(i) < s.from || !containsAll(b.lines[i], s.needles) {
			continue
		}
		if err := s.record(b.record(i)); err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) record(r *ledger.Record) error {
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

// queryRange is where entries of one chain that a query selects may be: from entry
// from on, in the batches that begin from first to last.
type queryRange struct{ from, first, last int64 }

// queryRanges finds them, in the order of the chains.
func (d *DB) queryRanges(ctx context.Context, q *ledger.Query) ([]queryRange, error) {
	chains, err := d.chains(ctx)
	if err != nil {
		return nil, err
	}
	within, err := d.batchesWithin(ctx, q)
	if err != nil {
		return nil, err
	}
	var ranges []queryRange
	for i := range chains {
		c := &chains[i]
		r := queryRange{from: q.From(c.number), first: c.first, last: c.lastBatch}
		if within != nil {
			in, some := within[c.number]
			if !some {
				continue
			}
			r.first, r.last = in.first, min(in.last, r.last) // the later ones came since
		}
		if r.from > c.head.Seq {
			continue
		}
		if r.from > r.first {
			err := d.reads.row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
				[]any{r.first, r.from}, []any{&r.first})
			if err != nil {
				return nil, err
			}
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// batchesWithin finds of each chain the first and last batch that may hold entries
// of the time that q selects; nil means any.
func (d *DB) batchesWithin(ctx context.Context, q *ledger.Query) (map[int64]queryRange, error) {
	if q.Since.IsZero() && q.Until.IsZero() {
		return nil, nil
	}
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !q.Since.IsZero() {
		since = q.Since.UnixMilli()
	}
	if !q.Until.IsZero() {
		until = q.Until.UnixMilli()
	}
	within := map[int64]queryRange{}
	err := d.reads.list(ctx, `SELECT first_seq >> 40, min(first_seq), max(first_seq) FROM ledger_batch
		WHERE time_max >= $1 AND time_min <= $2 GROUP BY first_seq >> 40`, []any{since, until},
		func(scan func(...any) error) error {
			var number int64
			var r queryRange
			err := scan(&number, &r.first, &r.last)
			within[number] = r
			return err
		})
	return within, err
}

// needles are texts that the line of each entry that q selects contains. They
// spare decoding most of the others.
func needles(q *ledger.Query) [][]byte {
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
