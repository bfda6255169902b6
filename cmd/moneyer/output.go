package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// useColor reports whether to colour the output: on a terminal, unless NO_COLOR is
// set.
func useColor(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}

// style is a terminal colour.
type style string

const (
	good  style = "\x1b[32m"
	bad   style = "\x1b[31m"
	faint style = "\x1b[2m"
	bold  style = "\x1b[1m"
)

// paint colours text, if a.color is set.
func (a *app) paint(s style, text string) string {
	if !a.color {
		return text
	}
	return string(s) + text + "\x1b[0m"
}

// printJSON writes v indented, for --json.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in columns under a heading.
func (a *app) table(heading []string, rows [][]string) error {
	return writeTable(a.out, append([][]string{heading}, rows...))
}

// terminal is where progress is shown, nil if standard error is not a terminal.
func (a *app) terminal() *os.File {
	if f, ok := a.err.(*os.File); ok && !a.json && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// note prints a remark to standard error.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, "moneyer: note: "+format+"\n", args...)
}

// printValue writes one value, such as a secret. It ends in a line end on a terminal
// alone: a program that sends a file as it is, as curl's --data-urlencode NAME@FILE does,
// would send the line end, too.
func (a *app) printValue(text string) error {
	if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		text += "\n"
	}
	_, err := io.WriteString(a.out, text)
	return err
}

// section prints an empty line and a table, unless it has no rows.
func (a *app) section(heading []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.table(heading, rows)
}

// done prints the result: v with --json, else the formatted sentence.
func (a *app) done(v any, format string, args ...any) error {
	if a.json {
		return a.printJSON(v)
	}
	_, err := fmt.Fprintln(a.out, visible(fmt.Sprintf(format, args...)))
	return err
}

// outcome is done, unless there is an error.
func (a *app) outcome(v any, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return a.done(v, format, args...)
}

// rowsOf makes the rows of a table.
func rowsOf[T any](items []T, row func(*T) []string) [][]string {
	rows := make([][]string, len(items))
	for i := range items {
		rows[i] = row(&items[i])
	}
	return rows
}

// shown prints a list: v with --json, else a table.
func (a *app) shown(v any, heading []string, rows [][]string) error {
	switch {
	case a.json:
		return a.printJSON(v)
	case len(rows) == 0:
		_, err := fmt.Fprintln(a.out, "none")
		return err
	default:
		return a.table(heading, rows)
	}
}
