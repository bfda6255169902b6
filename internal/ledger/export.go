package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// Export is a source of records line by line, as [Record.AppendJSON] writes them.
type Export struct {
	in    io.Reader
	lines *bufio.Scanner
	last  int64 // the last record's entry
	batch Batch
	line  [1][]byte
}

// ErrReadOnce is returned if a checkpoint or an anchor names an entry far before it, and the
// export is not an [io.ReaderAt].
var ErrReadOnce = errors.New("ledger: the export must be read twice, and cannot be")

// NewExport reads an export, which is partial: see [Options.Partial]. It can be read
// twice if in is an [io.ReaderAt], from its start on.
func NewExport(in io.Reader) *Export {
	return &Export{in: in, lines: linesOf(in)}
}

func linesOf(in io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), MaxRecord)
	return lines
}

// Next implements [Source]: a batch is one record.
func (x *Export) Next(ctx context.Context) (*Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !x.lines.Scan() {
		return nil, x.lines.Err()
	}
	r, err := ParseRecord(x.lines.Bytes())
	if err != nil {
		x.batch = Batch{First: x.last + 1, Count: 1, Unreadable: err}
		return &x.batch, nil
	}
	x.last, x.line[0] = r.Seq, r.Line
	x.batch = Batch{First: r.Seq, Count: 1, Lines: x.line[:], Previous: r.Previous[:], Last: r.Hash[:]}
	return &x.batch, nil
}

// Hashes implements [Source]: it reads the export from its start.
func (x *Export) Hashes(ctx context.Context, seqs []int64, found func(seq int64, hash Hash)) error {
	file, ok := x.in.(io.ReaderAt)
	if !ok {
		return ErrReadOnce
	}
	wanted := make(map[int64]bool, len(seqs))
	for _, seq := range seqs {
		wanted[seq] = true
	}
	lines := linesOf(io.NewSectionReader(file, 0, math.MaxInt64))
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := ParseRecord(lines.Bytes())
		if err != nil { // reported by the first reading
			continue
		}
		if wanted[r.Seq-1] {
			found(r.Seq-1, r.Previous)
		}
		if wanted[r.Seq] {
			found(r.Seq, r.Hash)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrReadOnce, err)
	}
	return nil
}
