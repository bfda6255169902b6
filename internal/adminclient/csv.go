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
	"unicode/utf8"
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

// byteOrderMark is what spreadsheets write before UTF-8 text.
const byteOrderMark = "\xef\xbb\xbf"

// SkipMark removes a byte order mark from the start of UTF-8 text. Text in UTF-16 is an
// error.
func SkipMark(file io.Reader) (io.Reader, error) {
	in := bufio.NewReader(file)
	start, _ := in.Peek(len(byteOrderMark)) // an error is the next reader's
	switch {
	case string(start) == byteOrderMark:
		_, _ = in.Discard(len(byteOrderMark)) // it is in the buffer
	case len(start) > 1 && (start[0] == 0xff && start[1] == 0xfe || start[0] == 0xfe && start[1] == 0xff):
		return nil, errors.New("the file is in UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
	}
	return in, nil
}

// ConvertCSV reads CSV (RFC 4180) in UTF-8, whose first row names the columns, as lines of
// JSON. A byte order mark is skipped.
func ConvertCSV(kind Rows, file io.Reader) *Conversion {
	r, w := io.Pipe()
	c := &Conversion{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		out := bufio.NewWriter(w)
		c.err = errors.Join(convertRows(&kind, file, out), out.Flush())
		_ = w.CloseWithError(c.err) // never fails
	}()
	return c
}

func convertRows(kind *Rows, file io.Reader, out io.Writer) error {
	text, err := SkipMark(file)
	if err != nil {
		return &CSVError{err}
	}
	buffer := bufio.NewReader(text)
	start, _ := buffer.Peek(maxHeader) // an error is the next reader's
	in := csv.NewReader(buffer)
	in.ReuseRecord = true
	columns, err := kind.header(in, string(start))
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

// maxHeader is how many bytes of a file are looked at for what separates its columns.
const maxHeader = 1024

// header reads the row that names the columns. start is the text with which the file begins.
func (k *Rows) header(in *csv.Reader, start string) ([]string, error) {
	header, err := in.Read()
	line, _, _ := strings.Cut(start, "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("the file is empty: the first row must name the columns, as in %s", strings.Join(k.columns, ","))
	case err != nil && (strings.Contains(line, `";`) || strings.Contains(line, "\"\t") || strings.Contains(line, `"|`)):
		return nil, k.separated(line)
	case err != nil:
		return nil, fmt.Errorf("the first row must name the columns: %w", err)
	}
	columns := slices.Clone(header)
	if len(columns) == 1 && strings.ContainsAny(columns[0], ";\t|") {
		return nil, k.separated(columns[0])
	}
	for i, column := range columns {
		if err := k.checkColumn(columns[:i], column); err != nil {
			return nil, err
		}
	}
	for _, column := range k.columns[:k.required] {
		if !slices.Contains(columns, column) {
			return nil, fmt.Errorf("the first row, %.100q, must name the columns, and has no %s; %s", strings.Join(columns, ","), column, k.wanted())
		}
	}
	return columns, nil
}

// separated refuses a first row whose columns are not separated by commas.
func (k *Rows) separated(row string) error {
	return fmt.Errorf("the first row is %.100q: columns must be separated by commas, as in %s", row, strings.Join(k.columns, ","))
}

// checkColumn checks the name of a column that follows others. Names are not matched
// without case: an attribute may be called so.
func (k *Rows) checkColumn(before []string, column string) error {
	same := func(known string) bool { return strings.EqualFold(known, strings.TrimSpace(column)) }
	near := slices.IndexFunc(k.columns, same)
	switch {
	case slices.Contains(before, column):
		return fmt.Errorf("two columns are called %.100q", column)
	case near >= 0 && k.columns[near] != column:
		return fmt.Errorf("a column is called %.100q where %q is wanted: write it exactly so; %s", column, k.columns[near], k.wanted())
	case near < 0 && !k.attributes:
		return fmt.Errorf("unknown column %.100q; %s", column, k.wanted())
	case column == "" || strings.TrimSpace(column) != column:
		return fmt.Errorf("a column is called %.100q: leave out blanks and empty columns", column)
	}
	return nil
}

// wanted lists the columns.
func (k *Rows) wanted() string {
	text := "known are " + strings.Join(k.columns, ", ")
	if k.attributes {
		text += " and the names of attributes"
	}
	return text
}

// row converts the cells of a row to members, without the empty ones.
func (k *Rows) row(columns, cells []string) (map[string]any, error) {
	row, attributes := map[string]any{}, map[string]string{}
	for i, column := range columns {
		cell := cells[i]
		switch {
		case !utf8.ValidString(cell):
			return nil, fmt.Errorf("%s is not UTF-8: save the file as UTF-8", column)
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
