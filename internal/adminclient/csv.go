package adminclient

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// CSVError is an error in a CSV file.
type CSVError struct{ Err error }

func (e *CSVError) Error() string { return e.Err.Error() }
func (e *CSVError) Unwrap() error { return e.Err }

// Conversion reads CSV as NDJSON.
type Conversion struct {
	*io.PipeReader
	done chan struct{}
	err  error
}

// Failure stops the conversion and returns its error.
func (c *Conversion) Failure() error {
	_ = c.Close()
	<-c.done
	return c.err
}

// ConvertCSV reads CSV, whose first row names the columns, as lines of JSON.
func ConvertCSV(kind Rows, file io.Reader) *Conversion {
	r, w := io.Pipe()
	c := &Conversion{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		out := bufio.NewWriter(w)
		c.err = errors.Join(convertRows(&kind, csv.NewReader(file), out), out.Flush())
		_ = w.CloseWithError(c.err) // never fails
	}()
	return c
}

func convertRows(kind *Rows, in *csv.Reader, out io.Writer) error {
	in.ReuseRecord = true
	columns, err := kind.header(in)
	if err != nil {
		return &CSVError{err}
	}
	enc := json.NewEncoder(out)
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &CSVError{err}
		}
		row, err := kind.row(columns, cells)
		if err != nil {
			line, _ := in.FieldPos(0)
			return &CSVError{fmt.Errorf("line %d: %w", line, err)}
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
}

// header reads the row that names the columns.
func (k *Rows) header(in *csv.Reader) ([]string, error) {
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("the first row must name the columns: %w", err)
	}
	columns := slices.Clone(header)
	columns[0] = strings.TrimPrefix(columns[0], "\ufeff")
	for i, column := range columns {
		switch {
		case !k.attributes && !slices.Contains(k.columns, column):
			return nil, fmt.Errorf("unknown column %q; known are %s", column, strings.Join(k.columns, ", "))
		case slices.Contains(columns[:i], column):
			return nil, fmt.Errorf("two columns are called %q", column)
		}
	}
	return columns, nil
}

// row converts the cells of a row to members, without the empty ones.
func (k *Rows) row(columns, cells []string) (map[string]any, error) {
	row, attributes := map[string]any{}, map[string]string{}
	for i, column := range columns {
		cell := cells[i]
		switch {
		case cell == "":
		case !slices.Contains(k.columns, column):
			attributes[column] = cell
		case column == "disabled":
			disabled, err := strconv.ParseBool(cell)
			if err != nil {
				return nil, errors.New("disabled is true or false")
			}
			row[column] = disabled
		default:
			row[column] = cell
		}
	}
	if len(attributes) > 0 {
		row["attributes"] = attributes
	}
	return row, nil
}
