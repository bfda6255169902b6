package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"moneyer/internal/admin"
	"moneyer/internal/registry"
)

func (o *onboarding) merchantCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "merchant",
		Short: "Register merchants on whose behalf a client may ask for tokens",
		Example: `  moneyer merchant add m-1 --issuer etp --client gateway --attribute trId=12345678901
  moneyer merchant import merchants.csv --issuer etp`,
	}, o.merchantAdd(), o.merchantList(), o.importCommand(merchantRows), o.merchantRemove())
}

func (o *onboarding) merchantAdd() *cobra.Command {
	var client string
	var disabled bool
	var attributes attributeFlags
	c := &cobra.Command{
		Use:     "add MERCHANT",
		Short:   "Register a merchant, or replace what is registered of it",
		Example: `  moneyer merchant add m-1 --issuer etp --client gateway --attribute trId=12345678901`,
		Args:    wants("MERCHANT"),
		RunE: func(c *cobra.Command, args []string) error {
			members := map[string]any{"client": client, "disabled": disabled}
			if err := attributes.put(members); err != nil {
				return err
			}
			api, path, err := o.below(c.Context(), "merchants", args[0])
			if err != nil {
				return err
			}
			var made registry.Merchant
			if err := api.do(c.Context(), http.MethodPut, path, members, &made); err != nil {
				return err
			}
			return o.done(made, "merchant %s of issuer %s is registered; client %s may act for it", made.ID, made.Issuer, made.Client)
		},
	}
	c.Flags().StringVar(&client, "client", "", "the `client` that may act for the merchant")
	c.Flags().BoolVar(&disabled, "disabled", false, "give no tokens for it")
	attributes.add(c)
	return c
}

func (o *onboarding) merchantList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the merchants of an issuer",
		Example: `  moneyer merchant list --issuer etp`,
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			api, path, err := o.below(c.Context(), "merchants")
			if err != nil {
				return err
			}
			merchants, err := list[registry.Merchant](c.Context(), api, path)
			if err != nil {
				return err
			}
			var rows [][]string
			for i := range merchants {
				m := &merchants[i]
				rows = append(rows, []string{visible(m.ID), visible(m.Client), o.enabled(m.Disabled), visible(attributesWords(m.Attributes))})
			}
			return o.shown(merchants, []string{"MERCHANT", "CLIENT", "STATE", "ATTRIBUTES"}, rows)
		},
	}
}

func (o *onboarding) merchantRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove MERCHANT",
		Short:             "Remove a merchant that has no card tokens",
		Example:           `  moneyer merchant remove m-1 --issuer etp`,
		Args:              wants("MERCHANT"),
		ValidArgsFunction: o.completeIDs("merchants"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "merchants", args[0])
			if err != nil {
				return err
			}
			if err := api.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			return o.removed("merchant", args[0], "")
		},
	}
}

// rowKind is what can be imported.
type rowKind struct {
	command string // "merchant"
	plural  string // "merchants"
	path    string // "merchants:import"
	// columns of a CSV file. Others are attributes, where there are such.
	columns    []string
	attributes bool
	example    string
}

var merchantRows = rowKind{command: "merchant", plural: "merchants", path: "merchants:import", columns: []string{"id", "client", "disabled"}, attributes: true,
	example: `  {"id":"m-1","client":"gateway","attributes":{"trId":"12345678901"}}

or, as CSV, whose further columns are attributes:

  id,client,trId
  m-1,gateway,12345678901`}

func (o *onboarding) importCommand(kind rowKind) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: fmt.Sprintf("Register many %s out of a file", kind.plural),
		Long: fmt.Sprintf(`Register many %s out of a file, or standard input when it is called '-'.
What is registered already is replaced. Lines are JSON objects (NDJSON):

%s

It is read and stored as it streams, so a file may be of any length. When a row
is at fault, the import ends there and names it: all rows before it are stored
and none after. Mend the file and import it again.`, kind.plural, kind.example),
		Example: fmt.Sprintf(`  moneyer %[1]s import %[1]ss.csv --issuer etp
  zcat %[1]ss.ndjson.gz | moneyer %[1]s import - --issuer etp`, kind.command),
		Args: wants("FILE"),
		RunE: func(c *cobra.Command, args []string) error { return o.importFile(c.Context(), kind, args[0], format) },
	}
	c.Flags().StringVar(&format, "format", "", "ndjson or csv (default by the file's extension, else ndjson)")
	complete(c, "format", "ndjson", "csv")
	return c
}

func (o *onboarding) importFile(ctx context.Context, kind rowKind, name, format string) error {
	if format == "" {
		if format = "ndjson"; strings.EqualFold(filepath.Ext(name), ".csv") {
			format = "csv"
		}
	}
	rows := o.in
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return usage(err)
		}
		defer func() { _ = f.Close() }()
		rows = f
	}
	switch format {
	case "ndjson":
		return o.importRows(ctx, kind, name, "line", rows)
	case "csv":
		converted := convert(kind, rows)
		defer func() { _ = converted.Close() }()
		err := o.importRows(ctx, kind, name, "row", converted)
		var bad *csvError
		if errors.As(converted.failure(), &bad) {
			return usagef("%s: %w", name, bad)
		}
		return err
	default:
		return usagef("--format is ndjson or csv")
	}
}

// importRows streams rows to the server while it tells how far it is.
func (o *onboarding) importRows(ctx context.Context, kind rowKind, name, unit string, rows io.Reader) error {
	api, path, err := o.below(ctx, kind.path)
	if err != nil {
		return err
	}
	start := o.now()
	// Without a Close, so that the file stays ours.
	resp, err := api.send(ctx, http.MethodPost, path, "application/x-ndjson", io.NopCloser(rows))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var last admin.Progress
	dec := json.NewDecoder(resp.Body)
	for !last.Finished && last.Error == "" {
		if err := dec.Decode(&last); err != nil {
			return trouble(fmt.Errorf("the connection broke after %d %s were stored: import the file again", last.Done, kind.plural))
		}
		o.progress(last, start)
	}
	if last.Error != "" {
		return refused(fmt.Errorf("%s: %s %d: %s", name, unit, last.Line, visible(last.Error)))
	}
	return o.done(last, "%d %s are registered with issuer %s (%s)", last.Done, kind.plural, o.issuer, o.now().Sub(start).Round(10*time.Millisecond))
}

// progress tells people at a terminal how far an import is.
func (o *onboarding) progress(p admin.Progress, start time.Time) {
	f, ok := o.err.(*os.File)
	if !ok || o.json || !term.IsTerminal(int(f.Fd())) {
		return
	}
	fmt.Fprintf(f, "\r\x1b[K%d rows, %.0f rows/s", p.Done, float64(p.Done)/max(o.now().Sub(start).Seconds(), 0.001))
	if p.Finished || p.Error != "" {
		fmt.Fprint(f, "\r\x1b[K")
	}
}

// csvError says what is wrong with a CSV file.
type csvError struct{ error }

// conversion is CSV that is read as NDJSON.
type conversion struct {
	*io.PipeReader
	done chan struct{}
	err  error
}

// failure stops the conversion and tells what went wrong with it.
func (c *conversion) failure() error {
	_ = c.Close()
	<-c.done
	return c.err
}

// convert reads CSV, whose first row names the columns, as lines of JSON.
func convert(kind rowKind, file io.Reader) *conversion {
	r, w := io.Pipe()
	c := &conversion{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		out := bufio.NewWriter(w)
		c.err = errors.Join(convertRows(kind, csv.NewReader(file), out), out.Flush())
		_ = w.CloseWithError(c.err) // never fails
	}()
	return c
}

func convertRows(kind rowKind, in *csv.Reader, out io.Writer) error {
	in.ReuseRecord = true
	columns, err := kind.header(in)
	if err != nil {
		return &csvError{err}
	}
	enc := json.NewEncoder(out)
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &csvError{err}
		}
		row, err := kind.row(columns, cells)
		if err != nil {
			line, _ := in.FieldPos(0)
			return &csvError{fmt.Errorf("line %d: %w", line, err)}
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
}

// header reads the row that names the columns.
func (k *rowKind) header(in *csv.Reader) ([]string, error) {
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

// row makes the members of a row out of its cells; empty ones are left out.
func (k *rowKind) row(columns, cells []string) (map[string]any, error) {
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
