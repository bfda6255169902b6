package adminclient

import (
	"context"
	"encoding/json"
	"io"
	"net/http"

	"moneyer/internal/adminapi"
)

// Rows is a kind of row that can be imported.
type Rows struct {
	path string
	// columns of a CSV file, of which the first ones are required. Others are attributes,
	// where there are such.
	columns    []string
	required   int
	attributes bool
}

// The rows that can be imported.
var (
	AccountRows = Rows{path: "accounts:import", columns: []string{"id", "client", "disabled"}, required: 2, attributes: true}
	ItemRows    = Rows{path: "items:import", columns: []string{"id", "account", "kind"}, required: 2}
)

// CutError is an import whose connection broke.
type CutError struct{ Err error }

func (e *CutError) Error() string { return "the connection broke: " + e.Err.Error() }
func (e *CutError) Unwrap() error { return e.Err }

// Import streams lines of JSON to the server, each a row, and calls progress after every
// chunk. The last Progress says whether every row is stored.
func (i *Issuer) Import(ctx context.Context, rows Rows, lines io.Reader, told func(adminapi.Progress)) (last adminapi.Progress, err error) {
	// Hide Close: the caller closes the reader.
	resp, err := i.send(ctx, http.MethodPost, i.url(rows.path), "application/x-ndjson", io.NopCloser(lines))
	if err != nil {
		return last, err
	}
	defer func() { _ = resp.Body.Close() }()
	dec := json.NewDecoder(resp.Body)
	for !last.Finished && last.Error == "" {
		if err := dec.Decode(&last); err != nil {
			return last, &CutError{err}
		}
		told(last)
	}
	return last, nil
}
