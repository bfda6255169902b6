package trial

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// mostLines is how many other servers a panel shows, the fastest.
const mostLines = 3

// The dimensions of a panel, in pixels.
const (
	panelLeft   = 90.0
	panelRight  = 600.0
	panelHeight = 170.0
	labelApart  = 18.0 // the least distance of two labels
)

// curve is one line of a panel: tokens per second by the index of the number of connections.
type curve struct {
	name, class string
	points      map[int]float64
	label       float64 // where its name stands
}

// ConnectionsPicture draws the tokens per second by the number of connections, beside the ceiling
// and the fastest other servers.
func (r *Report) ConnectionsPicture(w io.Writer) error {
	const title = "Tokens per second by the number of connections"
	c := r.newCanvas(title, "One core, connections kept open. The dashed line is the ceiling: form and signatures alone, by the same library.")
	for i := range r.Pictures {
		r.panel(c, &r.Pictures[i])
	}
	return c.writeTo(w, title)
}

// panel draws the curves of one kind.
func (r *Report) panel(c *canvas, p *Picture) {
	curves := r.curves(p)
	if len(curves) == 0 {
		return
	}
	most := 0.0
	for i := range curves {
		for _, rate := range curves[i].points {
			most = max(most, rate)
		}
	}
	most = roundUp(most)
	c.head(p.Kind)
	c.y += 8
	top, bottom := c.y, c.y+panelHeight
	r.axes(c, most)
	y := func(rate float64) float64 { return bottom - panelHeight*rate/most }
	for i := range curves {
		var points strings.Builder
		for n := range r.Settings.Connections {
			if rate, known := curves[i].points[n]; known {
				fmt.Fprintf(&points, "%.1f,%.1f ", r.column(n), y(rate))
				curves[i].label = y(rate)
			}
		}
		fmt.Fprintf(c, "<polyline class=%q points=%q/>\n", curves[i].class, strings.TrimSpace(points.String()))
	}
	spreadLabels(curves, top)
	for i := range curves {
		c.text(curves[i].class, panelRight+12, curves[i].label-barHeight/2, curves[i].name)
	}
	c.y = max(bottom+34, curves[len(curves)-1].label+barHeight)
}

// roundUp returns the next number of one digit and zeros, for a scale.
func roundUp(f float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, step := range []float64{1, 2, 3, 4, 5, 6, 8} {
			if step*unit >= f {
				return step * unit
			}
		}
	}
}

// column returns where the n-th number of connections stands.
func (r *Report) column(n int) float64 {
	steps := max(len(r.Settings.Connections)-1, 1)
	return panelLeft + 20 + (panelRight-panelLeft-20)*float64(n)/float64(steps)
}

// axes draws the scale of the rates and the numbers of connections.
func (r *Report) axes(c *canvas, most float64) {
	for _, part := range []float64{0, 0.5, 1} {
		y := c.y + panelHeight*(1-part)
		c.line("axis", panelLeft, y, panelRight, y)
		c.text("right", panelLeft-8, y-barHeight/2, figure(part*most))
	}
	for n, connections := range r.Settings.Connections {
		c.text("middle", r.column(n), c.y+panelHeight+2, fmt.Sprint(connections))
	}
}

// curves returns the main server's curve, its ceiling's, and those of the fastest others.
func (r *Report) curves(p *Picture) []curve {
	ours := curve{name: p.Server, class: "own", points: map[int]float64{}}
	bound := curve{name: "ceiling", class: "bound", points: map[int]float64{}}
	others := map[string]map[int]float64{}
	for n, connections := range r.Settings.Connections {
		row := r.main(p, connections)
		if row == nil {
			continue
		}
		ours.points[n] = row.Rate.Median
		if most := r.first(row.Ceiling, row.Ceiling, connections); most != nil {
			bound.points[n] = most.Rate.Median
		}
		for _, other := range r.others(p, connections) {
			name := other.nameIn(p)
			if others[name] == nil {
				others[name] = map[int]float64{}
			}
			others[name][n] = other.Rate.Median
		}
	}
	if len(ours.points) == 0 {
		return nil
	}
	last := len(r.Settings.Connections) - 1
	maps.DeleteFunc(others, func(_ string, points map[int]float64) bool { return points[last] == 0 }) // measured with few connections only
	curves := fastest(others)
	if len(bound.points) > 0 {
		curves = append(curves, bound)
	}
	return append(curves, ours) // on top of the others
}

// fastest returns the curves that reach the highest rates.
func fastest(others map[string]map[int]float64) []curve {
	var curves []curve
	for name, points := range others {
		curves = append(curves, curve{name: name, class: "other", points: points})
	}
	peak := func(c curve) (most float64) {
		for _, rate := range c.points {
			most = max(most, rate)
		}
		return most
	}
	slices.SortFunc(curves, func(a, b curve) int { return cmp.Or(cmp.Compare(peak(b), peak(a)), cmp.Compare(a.name, b.name)) })
	return curves[:min(len(curves), mostLines)]
}

// spreadLabels sorts the curves from top to bottom and moves labels down that would overlap.
func spreadLabels(curves []curve, top float64) {
	slices.SortStableFunc(curves, func(a, b curve) int { return cmp.Compare(a.label, b.label) })
	for i := range curves {
		least := top
		if i > 0 {
			least = curves[i-1].label + labelApart
		}
		curves[i].label = max(curves[i].label, least)
	}
}
