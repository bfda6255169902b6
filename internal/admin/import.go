package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
)

// The bounds of an import.
const (
	maxLine = 64 << 10 // bytes of one row
	chunk   = 500      // rows of one transaction
	// maxDiscarded bounds what is read and discarded after an invalid row, so that the
	// caller can read the response.
	maxDiscarded = 64 << 20
)

// table describes the rows of an import.
type table[R any] struct {
	// imported is the change in the ledger entry of a stored chunk.
	imported change
	// row reads and checks one row.
	row func(line []byte) (R, error)
	// put stores rows with their ledger entry, all or none.
	put func(context.Context, []R, *ledger.Entry) error
}

// importRows stores the lines of the body as they arrive, a chunk at a time, and writes
// a line of Progress after each chunk.
func importRows[R any](a *API, c *call, t *table[R]) error {
	if err := requireMediaType(c.r, "application/x-ndjson"); err != nil {
		return err
	}
	control := http.NewResponseController(c.w)
	if err := errors.Join(control.EnableFullDuplex(), withoutDeadlines(control)); err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	enc := json.NewEncoder(c.w)
	in := &importer[R]{api: a, call: c, table: t, rows: make([]R, 0, chunk), lines: make([]int64, 0, chunk),
		report: func(p adminapi.Progress) error { return errors.Join(enc.Encode(p), control.Flush()) }}
	err := in.run(c.r.Body)
	last := adminapi.Progress{Done: in.done, Finished: err == nil}
	if err != nil {
		last.Line = in.line
		last.Error = a.streamError(c, err) + " (every line before it is stored)"
	}
	_ = in.report(last) // an error means that the connection is closed
	_, _ = io.CopyN(io.Discard, c.r.Body, maxDiscarded)
	a.Log.LogAttrs(c.r.Context(), slog.LevelInfo, "registry changed", slog.String("issuer", c.issuer.Name),
		slog.String("action", t.imported.action), slog.Int64("rows", in.done), slog.String("actor", c.actor))
	return nil
}

// withoutDeadlines removes the deadlines of a request that streams.
func withoutDeadlines(control *http.ResponseController) error {
	return errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
}

// streamError returns the text for the caller of an error that ends a stream, after
// the status was sent. A server failure is logged.
func (a *API) streamError(c *call, err error) string {
	public := publicError(err)
	if public.Code.Retryable() {
		a.logFailure(c.r, public)
	}
	return public.Description
}

// importer is the state of an import.
type importer[R any] struct {
	api    *API
	call   *call
	table  *table[R]
	report func(adminapi.Progress) error

	rows  []R     // read and not yet stored
	lines []int64 // the line number of each
	line  int64   // the current line; after an error the invalid one
	done  int64   // rows stored
}

// run imports every line. On an error all lines before the invalid one are stored.
func (in *importer[R]) run(body io.Reader) error {
	scanner := bufio.NewScanner(body)
	scanner.Buffer(make([]byte, 0, 4<<10), maxLine)
	for scanner.Scan() {
		in.line++
		if err := in.take(bytes.TrimSpace(scanner.Bytes())); err != nil {
			return err
		}
	}
	err := scanner.Err()
	if err == nil {
		return in.flush()
	}
	in.line++
	if errors.Is(err, bufio.ErrTooLong) {
		return in.stop(invalid("the line is longer than %d bytes", maxLine))
	}
	return in.stop(unreadable(err))
}

// take reads one line, and stores the rows when a chunk is full. It skips empty lines.
func (in *importer[R]) take(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	row, err := in.table.row(line)
	if err != nil {
		return in.stop(err)
	}
	in.rows, in.lines = append(in.rows, row), append(in.lines, in.line)
	if len(in.rows) < chunk {
		return nil
	}
	if err := in.flush(); err != nil {
		return err
	}
	return in.report(adminapi.Progress{Done: in.done})
}

// stop stores the rows before the invalid line. If that fails, its error is the
// first.
func (in *importer[R]) stop(fault error) error {
	if err := in.flush(); err != nil {
		return err
	}
	return fault
}

// flush stores the pending rows.
func (in *importer[R]) flush() error {
	stored, err := in.put(in.rows)
	in.done += int64(stored)
	if err != nil {
		in.line = in.lines[stored]
		return err
	}
	in.rows, in.lines = in.rows[:0], in.lines[:0]
	return nil
}

// put stores rows and returns how many. All or none of a put is stored, so a put
// that is refused is halved until the invalid row is found.
func (in *importer[R]) put(rows []R) (stored int, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	entry := in.api.entry(in.call, in.table.imported)
	entry.Count = int64(len(rows))
	err = in.table.put(in.call.r.Context(), rows, entry)
	if err == nil {
		return len(rows), nil
	}
	if len(rows) == 1 || publicError(err).Code.Retryable() {
		return 0, err
	}
	half := len(rows) / 2
	if stored, err = in.put(rows[:half]); err != nil {
		return stored, err
	}
	more, err := in.put(rows[half:])
	return stored + more, err
}
