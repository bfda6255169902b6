package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// rowKind describes a kind of row that can be imported.
type rowKind struct {
	command string // "account"
	plural  string // "accounts"
	rows    adminclient.Rows
	example string
}

func (o *onboarding) importCommand(kind rowKind) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: fmt.Sprintf("Register many %s out of a file", kind.plural),
		Long: fmt.Sprintf(`Register many %s out of a file, or standard input when it is called '-'.
What is registered already is replaced. Lines are JSON objects (NDJSON):

%s

CSV is as RFC 4180 has it: commas, values in quotes where they hold any, UTF-8 with or
without a byte order mark, and names of columns exactly as above.

The file is stored as it streams, so it may be of any length. At the first invalid
row the import ends with its number: all rows before it are stored and none after.
Correct the file and import it again.`, kind.plural, kind.example),
		Example: fmt.Sprintf(`  moneyer %[1]s import %[1]ss.csv --issuer shop
  zcat %[1]ss.ndjson.gz | moneyer %[1]s import - --issuer shop`, kind.command),
		Args: exactArgs("FILE"),
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
	rows, err := o.openInput(name)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = rows.Close() }()
	if name == "-" {
		name = "standard input"
	}
	switch format {
	case "ndjson":
		text, err := adminclient.SkipMark(rows)
		if err != nil {
			return usagef("%s: %w", name, err)
		}
		return o.importRows(ctx, kind, name, "line", text)
	case "csv":
		converted := adminclient.ConvertCSV(kind.rows, rows)
		defer func() { _ = converted.Close() }()
		err := o.importRows(ctx, kind, name, "row", converted)
		var bad *adminclient.CSVError
		if errors.As(converted.Failure(), &bad) {
			return usagef("%s: %w", name, bad)
		}
		return err
	default:
		return usagef("--format is ndjson or csv")
	}
}

// importRows streams rows to the server and shows the progress.
func (o *onboarding) importRows(ctx context.Context, kind rowKind, name, unit string, rows io.Reader) error {
	at, err := o.at(ctx)
	if err != nil {
		return err
	}
	start := o.now()
	last, err := at.Import(ctx, kind.rows, rows, func(p adminapi.Progress) { o.progress(p, start) })
	var cut *adminclient.CutError
	switch {
	case errors.As(err, &cut):
		return unavailable(fmt.Errorf("the connection broke after %d %s were stored: import the file again", last.Done, kind.plural))
	case err != nil:
		return err
	case last.Error != "":
		return refused(fmt.Errorf("%s: %s %d: %s", name, unit, last.Line, visible(last.Error)))
	}
	return o.done(last, "%d %s are registered with issuer %s (%s)", last.Done, kind.plural, at.Name, o.now().Sub(start).Round(10*time.Millisecond))
}

// progress shows the progress of an import on a terminal.
func (o *onboarding) progress(p adminapi.Progress, start time.Time) {
	f := o.terminal()
	if f == nil {
		return
	}
	fmt.Fprintf(f, "\r\x1b[K%d rows, %.0f rows/s", p.Done, float64(p.Done)/max(o.now().Sub(start).Seconds(), 0.001))
	if p.Finished || p.Error != "" {
		fmt.Fprint(f, "\r\x1b[K")
	}
}
