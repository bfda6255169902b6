package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"moneyer/internal/adminclient"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"
)

// failure is an error with the exit code that it means.
type failure struct {
	code  int
	cause error
}

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// usage: the command line, a file or a setting is wrong.
func usage(err error) *failure { return &failure{exitUsage, err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// refused: all went well, and the answer is no.
func refused(err error) error { return &failure{exitRefused, err} }

// trouble: a server or a disk did not do its part.
func trouble(err error) error { return &failure{exitTrouble, err} }

// failureOf is the failure that ends a command. What a server said is shown with care.
func failureOf(err error) *failure {
	var told *failure
	var no *adminclient.RefusedError
	var away *adminclient.UnavailableError
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &no):
		return &failure{exitRefused, errors.New(visible(err.Error()))}
	case errors.As(err, &away):
		return &failure{exitTrouble, errors.New(visible(err.Error()))}
	default: // cobra's own: an unknown command, flag or argument
		return usage(err)
	}
}

// errSilent ends a command whose output has said everything.
var errSilent = errors.New("")

func (a *app) printFailure(f *failure) {
	if errors.Is(f.cause, errSilent) {
		return
	}
	if a.json {
		_ = json.NewEncoder(a.err).Encode(map[string]string{"error": f.Error()})
		return
	}
	fmt.Fprintf(a.err, "moneyer: %s\n", f)
}

// wantsColor: colours only on a terminal, and never when NO_COLOR is set.
func wantsColor(f *os.File) bool {
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

// paint colours text where that is wanted.
func (a *app) paint(s style, text string) string {
	if !a.color {
		return text
	}
	return string(s) + text + "\x1b[0m"
}

// count says how many there are of a thing.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprint(n, " ", thing)
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

func writeTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(tw, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}
