package trial

import (
	"fmt"
	"io"
)

// CeilingPicture draws the share of the ceiling's processor time in that of the main server.
func (r *Report) CeilingPicture(w io.Writer) error {
	const title = "Share of the ceiling, by processor time"
	c := newCanvas(title,
		"The full bar is a server that only parses the form, verifies and signs, with the same library and connections.",
		"The rest is what Moneyer adds: who may have the token, the ledger's entry on the disk, the use of the assertion.")
	for i := range r.Pictures {
		r.shares(c, &r.Pictures[i])
	}
	return c.writeTo(w, title)
}

// shares draws the bars of one kind.
func (r *Report) shares(c *canvas, p *Picture) {
	var rows []*Row
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Kind == p.Kind && p.shares(row) && row.shown() && row.CPURatio != nil && row.Connections >= Compared {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	const whole = 380.0
	c.head(p.Kind)
	for _, row := range rows {
		share := row.CPURatio.Median
		c.text("label", labelRight-8, c.y, fmt.Sprintf("%d connections", row.Connections))
		c.rect("track", labelRight, c.y, whole, barHeight)
		c.rect("own", labelRight, c.y, whole*min(share, 1), barHeight)
		c.text("value", labelRight+whole+8, c.y, fmt.Sprintf("%.0f %%", 100*share))
		c.text("right", width-margin, c.y, fmt.Sprintf("%s of %s µs", figure(share*row.CPU.Median), figure(row.CPU.Median)))
		c.y += barStep
	}
}

// shares reports whether a row is one of the main server's.
func (p *Picture) shares(row *Row) bool { return row.Server == p.Server && row.Variant == p.Variant }
