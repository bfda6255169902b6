package config

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// New returns a logger with these settings that writes to w. A line has no character that a
// terminal would interpret, such as U+202E, which reverses the text after it.
func (l Log) New(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		level = slog.LevelInfo // Load has validated it
	}
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options)) // it escapes them itself
	}
	return slog.New(slog.NewJSONHandler(printable{w}, options))
}

// printable writes lines of JSON, and escapes the characters in strings that are not
// printable (RFC 8259 section 7).
type printable struct{ w io.Writer }

func (p printable) Write(line []byte) (int, error) {
	if bytes.ContainsFunc(line, isHidden) {
		line = escape(line)
	}
	return p.w.Write(line)
}

// isHidden reports whether a rune of a line is escaped. encoding/json and log/slog escape
// only those below U+0020, U+2028 and U+2029.
func isHidden(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

func escape(line []byte) []byte {
	out := make([]byte, 0, len(line)+16)
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		if !isHidden(r) {
			out = append(out, line[:n]...)
		} else if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		line = line[n:]
	}
	return out
}
