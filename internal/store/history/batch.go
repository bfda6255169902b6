package history

import (
	"context"
	"errors"
	"math"
	"slices"

	"moneyer/internal/ledger"
)

// Batch is an unverified row of the ledger.
type Batch struct {
	ledger.Batch
	TimeMax int64 // Unix milliseconds
}

// The size of a query of the ledger: few batches first, because the first may be enough,
// then more, but not much more text than pageBytes. No query is open while they are visited.
const (
	minPage   = 32
	maxPage   = 1024
	pageBytes = 1 << 20 // bytes
)

// batchReader reads in order the batches that begin from next to last.
type batchReader struct {
	ledger     *Ledger
	next, last int64
	atOnce     int
	ahead      []*Batch
}

func (l *Ledger) batchReader(first, last int64) *batchReader {
	return &batchReader{ledger: l, next: first, last: last, atOnce: minPage}
}

// read returns the next batch, or nil after the last.
func (r *batchReader) read(ctx context.Context) (*Batch, error) {
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
	err := r.ledger.reads.List(ctx, `SELECT first_seq, count, time_max, previous, last, marks, lines FROM ledger_batch
		WHERE first_seq >= $1 AND first_seq <= $2 ORDER BY first_seq LIMIT $3`,
		[]any{r.next, r.last, r.atOnce},
		func(scan func(...any) error) error {
			b, packed := &Batch{}, []byte(nil)
			if err := scan(&b.First, &b.Count, &b.TimeMax, &b.Previous, &b.Last, &b.Marks, &packed); err != nil {
				return err
			}
			b.Lines, b.Unreadable = r.ledger.packer.unpack(packed)
			r.ahead = append(r.ahead, b)
			for _, line := range b.Lines {
				text += len(line) + 1
			}
			if text >= pageBytes && len(r.ahead) > 1 {
				return errEnough
			}
			return nil
		})
	if errors.Is(err, errEnough) || err == nil && len(r.ahead) == r.atOnce {
		r.nextPage()
		err = nil
	} else {
		r.next = math.MaxInt64
	}
	r.atOnce = min(2*r.atOnce, maxPage)
	return err
}

// nextPage removes the last batch from this page and begins the next query with it, so that
// a second row with the same number is read, too.
func (r *batchReader) nextPage() {
	last := r.ahead[len(r.ahead)-1].First
	if r.ahead[0].First == last {
		r.next = last + 1
		return
	}
	r.next = last
	r.ahead = slices.DeleteFunc(r.ahead, func(b *Batch) bool { return b.First == last })
}

// Batches visits in order the batches that begin from first to last.
func (l *Ledger) Batches(ctx context.Context, first, last int64, visit func(*Batch) error) error {
	r := l.batchReader(first, last)
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
