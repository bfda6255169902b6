package trial

import (
	"fmt"
	"io"

	"moneyer/bench/subject"
)

// CeilingPicture draws the share of the ceiling's processor time in that of the main server.
func (r *Report) CeilingPicture(w io.Writer) error {
	const title = "Share of the ceiling, by processor time"
	c := r.newCanvas(title,
		"The full bar is a server that only parses the form, verifies and signs, with the same library and connections.",
		"The rest is what Moneyer adds: who may have the token, the ledger's entry on the disk, the use of the assertion.")
	for i := range r.Pictures {
		r.shares(c, &r.Pictures[i])
	}
	return c.writeTo(w, title)
}

// shares draws the bars of one kind: kept connections, and new ones with TLS.
func (r *Report) shares(c *canvas, p *Picture) {
	const whole = 380.0
	begun := false
	for i := range r.Rows {
		row := &r.Rows[i]
		label := p.connections(row)
		if label == "" || row.Kind != p.Kind || row.Error != "" || row.CPURatio == nil {
			continue
		}
		if !begun {
			begun = true
			c.head(p.Kind)
		}
		share := row.CPURatio.Median
		c.text("label", labelRight-8, c.y, label)
		c.rect("track", labelRight, c.y, whole, barHeight)
		c.rect("own", labelRight, c.y, whole*min(share, 1), barHeight)
		c.text("value", labelRight+whole+8, c.y, fmt.Sprintf("%.0f %%", 100*share))
		c.text("right", width-margin, c.y, fmt.Sprintf("%s of %s µs", figure(share*row.CPU.Median), figure(row.CPU.Median)))
		c.y += barStep
	}
}

// connections returns what a row of the main server says of its connections, or "" for one that is
// not shown. Few connections say little: the server waits for the disk. With TLS there is one variant.
func (p *Picture) connections(row *Row) string {
	switch {
	case row.Server != p.Server:
		return ""
	case row.Connection == subject.Kept && row.Variant == p.Variant && row.Connections >= Compared:
		return fmt.Sprintf("%d kept connections", row.Connections)
	}
	return map[subject.Connection]string{subject.TLSFull: "new TLS connection", subject.TLSClassic: "new TLS connection, no ML-KEM",
		subject.TLSResumed: "resumed TLS connection", subject.MutualTLS: "new mutual TLS connection"}[row.Connection]
}
