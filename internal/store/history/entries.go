package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"

	"moneyer/internal/ledger"
)

// errEnough ends a walk early without an error.
var errEnough = errors.New("enough")

// Entries visits the entries that q selects, chain after chain, each in the order of Seq.
// It stops at the first error of visit and returns it. It holds only a few batches in
// memory, and may leave out entries that are recorded during the call. To get the newest
// entries of all chains, sort by time.
func (l *Ledger) Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	ranges, err := l.queryRanges(ctx, &q)
	if err != nil {
		return err
	}
	some := &selection{q: &q, needles: needles(&q), visit: visit}
	for _, r := range ranges {
		some.from = r.from
		err := l.Batches(ctx, r.first, r.last, some.batch)
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
	hashes  []ledger.Hash // of one batch
	visited int
}

// batch visits the selected entries of b; errEnough ends at the query's limit.
func (s *selection) batch(b *Batch) (err error) {
	if s.hashes, err = b.Hashes(s.hashes[:0]); err != nil {
		return err
	}
	for i, line := range b.Lines {
		seq := b.First + int64(i)
		if seq < s.from || !containsAll(line, s.needles) {
			continue
		}
		r := &ledger.Record{Seq: seq, Line: line, Hash: s.hashes[i], Previous: ledger.Hash(b.Previous)}
		if i > 0 {
			r.Previous = s.hashes[i-1]
		}
		if err := s.record(r); err != nil {
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

// queryRange bounds the entries of one chain that a query may select: from entry from on,
// in the batches with first entries from first to last.
type queryRange struct{ from, first, last int64 }

// queryRanges returns them in the order of the chains.
func (l *Ledger) queryRanges(ctx context.Context, q *ledger.Query) ([]queryRange, error) {
	chains, err := Chains(ctx, l.reads)
	if err != nil {
		return nil, err
	}
	within, err := l.batchesWithin(ctx, q)
	if err != nil {
		return nil, err
	}
	var ranges []queryRange
	for i := range chains {
		c := &chains[i]
		r := queryRange{from: q.From(c.Number), first: c.First, last: c.LastBatch}
		if within != nil {
			in, some := within[c.Number]
			if !some {
				continue
			}
			r.first, r.last = in.first, min(in.last, r.last) // later ones were added since
		}
		if r.from > c.Head.Seq {
			continue
		}
		if r.from > r.first {
			err := l.reads.Row(ctx, `SELECT coalesce(max(first_seq), 0) FROM ledger_batch WHERE first_seq >= $1 AND first_seq <= $2`,
				[]any{r.first, r.from}, []any{&r.first})
			if err != nil {
				return nil, err
			}
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// batchesWithin returns for each chain the first and last batch that may hold entries of
// the time range of q; nil if q has none.
func (l *Ledger) batchesWithin(ctx context.Context, q *ledger.Query) (map[int64]queryRange, error) {
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
	err := l.reads.List(ctx, `SELECT first_seq >> 40, min(first_seq), max(first_seq) FROM ledger_batch
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

// needles returns texts that every line which q selects contains. Lines without them need
// not be decoded.
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
