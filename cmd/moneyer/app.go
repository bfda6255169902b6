package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The exit codes, as `moneyer --help` lists them.
const (
	exitOK          = 0
	exitRefused     = 1 // the command ran and its result is negative: a refusal, a failed check
	exitUsage       = 2 // the command line, a file or a setting is wrong
	exitUnavailable = 3 // a server, the network or a disk failed
	exitUnconfirmed = 4 // a ledger is not broken, and not confirmed either
)

// version is set by the linker.
var version = "development"

// app holds the streams, the clock and the global flags that every command uses.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	// json makes commands print JSON.
	json bool
	// color says whether to colour what goes to out.
	color bool
}

// failure is an error with its exit code.
type failure struct {
	code  int
	cause error
}

func (f *failure) Error() string { return f.cause.Error() }

func (f *failure) Unwrap() error { return f.cause }

// usage returns a failure with exitUsage.
func usage(err error) *failure { return &failure{exitUsage, err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// refused returns a failure with exitRefused.
func refused(err error) error { return &failure{exitRefused, err} }

// unavailable returns a failure with exitUnavailable.
func unavailable(err error) error { return &failure{exitUnavailable, err} }

// errSilent sets the exit code without an error message: the output explains it.
var errSilent = errors.New("")

func (e plainError) Error() string {
	return strings.TrimPrefix(strings.TrimPrefix(e.error.Error(), "assertion: "), "tokensource: ")
}

func (e plainError) Unwrap() error { return e.error }

func plain(err error) error {
	if err == nil {
		return nil
	}
	return plainError{err}
}

// plainError is an error of the SDK without the prefix that names its package.
type plainError struct{ error }
