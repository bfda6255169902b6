package main

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columnGap is the number of blanks between two columns of a table.
const columnGap = 2

// writeTable writes rows in columns. The columns are aligned by what a terminal shows,
// not by the number of bytes or characters.
func writeTable(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], visibleWidth(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			text.WriteString(cell)
			if i < len(row)-1 {
				text.WriteString(strings.Repeat(" ", widths[i]-visibleWidth(cell)+columnGap))
			}
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// visibleWidth is the number of columns of a terminal that text takes: none for the
// escape codes of colours and for combining characters, two for wide ones (Unicode
// Standard Annex 11).
func visibleWidth(text string) int {
	n := 0
	for i, part := range strings.Split(text, "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		for _, r := range part {
			n += runeWidth(r)
		}
	}
	return n
}

func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
