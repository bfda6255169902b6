package trial

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// PeersPicture draws the tokens per second of each server at 64 connections, and how many times as
// many the main one makes.
func (r *Report) PeersPicture(w io.Writer) error {
	const title = "Tokens per second beside other servers"
	c := r.newCanvas(title, "One core, 64 connections kept open. Longer is better. On the right: Moneyer's rate as a multiple of that server's.")
	c.legend([]string{"own", "beside", "keeps", "nothing"},
		[]string{"Moneyer, each token on the disk", "with another store", "stores something for a token", "stores nothing for a token"})
	for i := range r.Pictures {
		r.peers(c, &r.Pictures[i])
	}
	return c.writeTo(w, title)
}

// peers draws the bars of one kind.
func (r *Report) peers(c *canvas, p *Picture) {
	ours := r.main(p, Compared)
	if ours == nil {
		return
	}
	rows := append(r.others(p, Compared), ours)
	slices.SortStableFunc(rows, func(a, b *Row) int { return cmp.Compare(b.Rate.Median, a.Rate.Median) })
	const most, factors = 430.0, float64(width - margin)
	c.head(p.Kind)
	for _, row := range rows {
		label := "label"
		if row == ours {
			label = "strong"
		}
		length := most * row.Rate.Median / rows[0].Rate.Median
		c.text(label, labelRight-8, c.y, row.nameIn(p))
		c.rect(r.colour(row, p), labelRight, c.y, length, barHeight)
		c.text("value", labelRight+length+8, c.y, figure(row.Rate.Median))
		if row != ours && row.Rate.Median > 0 {
			c.text("right", factors, c.y, fmt.Sprintf("%s ×", figure(ours.Rate.Median/row.Rate.Median)))
		}
		c.y += barStep
	}
}

// colour returns the class of a server's bar.
func (r *Report) colour(row *Row, p *Picture) string {
	switch {
	case row.Server == p.Server:
		return "own"
	case strings.HasPrefix(row.Server, p.Server):
		return "beside"
	}
	for i := range r.Servers {
		if s := &r.Servers[i]; s.Name == row.Server && strings.HasPrefix(s.Keeps, "nothing") {
			return "nothing"
		}
	}
	return "keeps"
}
