package trial

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// plotConnections is the number of connections in the plots.
const plotConnections = 64

// The dimensions of a plot, in pixels.
const (
	plotWidth  = 900
	labelRight = 320 // right edge of the labels, where bars begin
	barMost    = 440
	barHeight  = 18
	barStep    = 26
	groupSpace = 48
)

// bar is one bar of a plot.
type bar struct {
	label, value string
	length       float64 // relative to the longest
	class        string
}

// Rates plots requests per second at 64 connections, by kind.
func (r *Report) Rates(w io.Writer) error {
	return r.plot(w, "Requests per second, one core, 64 connections", "longer is better",
		func(row *Row) float64 { return row.Rate.Median },
		func(f float64) string { return figure(f) })
}

// Latencies plots the 99th percentile at 64 connections, by kind.
func (r *Report) Latencies(w io.Writer) error {
	return r.plot(w, "99th percentile of latency under full load, one core, 64 connections", "shorter is better",
		func(row *Row) float64 { return row.P99.Median },
		func(f float64) string { return figure(f/1000) + " ms" })
}

// plot writes a group of bars for each kind that has rows.
func (r *Report) plot(w io.Writer, title, better string, of func(*Row) float64, show func(float64) string) error {
	var body strings.Builder
	y := 64
	for _, kind := range r.kindsInOrder() {
		if kind == "" {
			continue
		}
		bars := r.bars(kind, of, show)
		if len(bars) == 0 {
			continue
		}
		fmt.Fprintf(&body, "<text class=\"kind\" x=\"16\" y=\"%d\">%s</text>\n", y+14, escape(kind))
		y += barStep
		for _, b := range bars {
			width := max(1, b.length*barMost)
			fmt.Fprintf(&body, "<text class=\"label\" x=\"%d\" y=\"%d\">%s</text>", labelRight-8, y+14, escape(b.label))
			fmt.Fprintf(&body, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>", b.class, labelRight, y, width, barHeight)
			fmt.Fprintf(&body, "<text class=\"value\" x=\"%.1f\" y=\"%d\">%s</text>\n", labelRight+width+6, y+14, escape(b.value))
			y += barStep
		}
		y += groupSpace - barStep
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.better { fill: #57606a }
.kind { font-weight: 600 }
.label { text-anchor: end }
.own { fill: #0a7d5a }
.bound { fill: #c9ced4 }
.other { fill: #8a97a8 }
</style>
<rect width="%[1]d" height="%[2]d" fill="#ffffff"/>
<text class="title" x="16" y="28">%[3]s</text>
<text class="better" x="16" y="48">%[4]s</text>
%[5]s</svg>
`, plotWidth, y, escape(title), escape(better), body.String())
	return err
}

// bars returns the bars of one kind with its ceiling, the highest rate first.
func (r *Report) bars(kind string, of func(*Row) float64, show func(float64) string) []bar {
	var rows []*Row
	bounds := map[string]bool{}
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Connections == plotConnections && row.Error == "" && row.Kind == kind && row.Rounds > 0 {
			rows = append(rows, row)
			bounds[row.Ceiling] = true
		}
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Reference && row.Connections == plotConnections && bounds[row.Server] && row.Rounds > 0 {
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b *Row) int { return cmp.Compare(b.Rate.Median, a.Rate.Median) })
	most := 0.0
	for _, row := range rows {
		most = max(most, of(row))
	}
	var bars []bar
	for _, row := range rows {
		b := bar{label: row.plotLabel(), value: show(of(row)), length: of(row) / max(most, 1e-9), class: "other"}
		switch {
		case row.Reference:
			b.class, b.label = "bound", "ceiling: "+row.Server
		case strings.HasPrefix(row.Server, "moneyer"):
			b.class = "own"
		}
		bars = append(bars, b)
	}
	return bars
}

func (row *Row) plotLabel() string {
	if row.Variant == "" {
		return row.Server
	}
	return row.Server + " · " + row.Variant
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return ""
	}
	return b.String()
}
