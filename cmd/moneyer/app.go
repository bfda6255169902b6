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
	exitRefused     = 1 // it was done as asked, and the answer is no
	exitUsage       = 2 // the command, a file or a setting is wrong
	exitUnavailable = 3 // a server or a disk did not do its part
)

// version is set by the linker.
var version = "development"

// app is what every command needs of the world around it.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	// json makes a command answer for scripts.
	json bool
	// color says that out is a terminal that wants colours.
	color bool
}

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
func unavailable(err error) error { return &failure{exitUnavailable, err} }

// errSilent ends a command whose output has said everything.
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

// plainError is an error of one of our packages without the package's name,
// which means nothing to people.
type plainError struct{ error }
