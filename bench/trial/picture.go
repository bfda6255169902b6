package trial

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"moneyer/bench/subject"
)

// A Picture is an exchange that the pictures show, as its main server has it and as others do.
type Picture struct {
	// Server, Kind and Variant of the row that the others are compared with.
	Server  string `json:"server"`
	Kind    string `json:"kind"`
	Variant string `json:"variant"`
	// Beside are other configurations of that server which are shown, too; more of them are not.
	Beside []string `json:"beside,omitempty"`
	// Also are kinds that compare with Kind, for servers that do not have it.
	Also []string `json:"also,omitempty"`
}

// The names of the pictures' files, in the order of the page.
const (
	peersFile       = "peers.svg"
	ceilingFile     = "ceiling.svg"
	connectionsFile = "connections.svg"
)

// The dimensions of pictures, in pixels.
const (
	width      = 900
	margin     = 20
	labelRight = 330 // right edge of the labels of bars, which begin beside it
	barHeight  = 20
	barStep    = 28
	headStep   = 34 // from the end of a group to its first bar
)

// canvas collects the elements of a picture from top to bottom.
type canvas struct {
	strings.Builder
	y float64 // where the next element goes
}

// text writes text at x, so that it stands in the middle of a bar at y.
func (c *canvas) text(class string, x, y float64, text string) {
	fmt.Fprintf(c, "<text class=%q x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y+barHeight/2+5, escape(text))
}

func (c *canvas) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(c, "<rect class=%q x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", class, x, y, max(w, 1), h)
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, "<line class=%q x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

// newCanvas returns a picture with its title and what is to be known of it, one line each. It says
// if the run has no verdict.
func (r *Report) newCanvas(title string, lines ...string) *canvas {
	if why := r.disturbed(); why != "" {
		lines = append(lines, string(why))
	}
	c := &canvas{y: 10}
	c.text("title", margin, c.y, title)
	c.y += 26
	for _, line := range lines {
		c.text("note", margin, c.y, line)
		c.y += 19
	}
	return c
}

// head begins a group.
func (c *canvas) head(text string) {
	c.y += 14
	c.text("head", margin, c.y, text)
	c.y += headStep - 6
}

// legend explains the colours in a line.
func (c *canvas) legend(classes, texts []string) {
	x := float64(margin)
	for i, text := range texts {
		c.rect(classes[i], x, c.y+4, 12, 12)
		c.text("note", x+18, c.y, text)
		x += 18 + 6.5*float64(len([]rune(text))) + 16
	}
	c.y += 22
}

// writeTo writes the picture as SVG.
func (c *canvas) writeTo(w io.Writer, about string) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-label="%[3]s">
<style>
text { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 20px; font-weight: 600 }
.head { font-size: 15px; font-weight: 600 }
.note { font-size: 13px; fill: #57606a }
.label { text-anchor: end }
.strong { text-anchor: end; font-weight: 600 }
.right { text-anchor: end; fill: #57606a }
.middle { text-anchor: middle; fill: #57606a }
.value { font-weight: 600 }
rect.own { fill: #0a7d5a }
rect.beside { fill: #6fb59c }
rect.keeps { fill: #6b7788 }
rect.nothing { fill: #bcc5d0 }
rect.track { fill: #e7ebef }
line.axis { stroke: #d0d7de }
polyline { fill: none; stroke-width: 2 }
polyline.own { stroke: #0a7d5a; stroke-width: 4 }
polyline.bound { stroke: #24292f; stroke-dasharray: 6 5 }
polyline.other { stroke: #8a97a8 }
text.own { fill: #0a7d5a; font-weight: 600 }
text.other { fill: #57606a }
</style>
<rect width="%[1]d" height="%[2]d" fill="#ffffff"/>
%[4]s</svg>
`, width, int(c.y)+margin, escape(about), c.String())
	return err
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return ""
	}
	return b.String()
}

// shown reports whether a row has figures on kept connections.
func (row *Row) shown() bool {
	return row.Error == "" && row.Rounds > 0 && row.Connection == subject.Kept
}

// main returns the row of a picture at a number of connections, or nil.
func (r *Report) main(p *Picture, connections int) *Row {
	row := r.Row(p.Server, p.Kind, p.Variant, connections)
	if row == nil || !row.shown() {
		return nil
	}
	return row
}

// others returns, of each other server that a picture shows, the row that compares with the main one at a number of
// connections.
func (r *Report) others(p *Picture, connections int) []*Row {
	var rows []*Row
	for i := range r.Servers {
		s := &r.Servers[i]
		if s.Reference || s.Name == p.Server || p.hides(s.Name) {
			continue
		}
		for _, kind := range append([]string{p.Kind}, p.Also...) {
			if row := r.first(s.Name, kind, connections); row != nil {
				rows = append(rows, row)
				break
			}
		}
	}
	return rows
}

// hides reports whether a server is another configuration of the main one that is not shown.
func (p *Picture) hides(server string) bool {
	if !strings.HasPrefix(server, p.Server) {
		return false
	}
	for _, shown := range p.Beside {
		if server == shown {
			return false
		}
	}
	return true
}

// first returns the first row of a server and kind with figures, whatever its variant.
func (r *Report) first(server, kind string, connections int) *Row {
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Server == server && row.Kind == kind && row.Connections == connections && row.shown() {
			return row
		}
	}
	return nil
}

// nameIn returns the server's name, with the kind if it is not that of the picture.
func (row *Row) nameIn(p *Picture) string {
	if row.Kind == p.Kind {
		return row.Server
	}
	kind, _, _ := strings.Cut(row.Kind, " ")
	return row.Server + ", " + kind
}
