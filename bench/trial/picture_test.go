package trial

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"moneyer/bench/subject"
)

// draw returns what is written in a picture, in order, and checks that it is XML.
func draw(t *testing.T, picture func(io.Writer) error) (text []string, svg string) {
	t.Helper()
	var b bytes.Buffer
	if err := picture(&b); err != nil {
		t.Fatal(err)
	}
	svg = b.String()
	inside := ""
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return text, svg
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inside = token.Name.Local
		case xml.CharData:
			if inside == "text" && strings.TrimSpace(string(token)) != "" {
				text = append(text, string(token))
			}
		}
	}
}

// pictured is a run with all that the pictures show and some that they do not.
func pictured() *Report {
	row := func(server, kind, variant string, connections int, rate float64) Row {
		return Row{Server: server, Kind: kind, Variant: variant, Connections: connections, Rounds: 3, Rate: s(rate), CPU: s(1e6 / rate)}
	}
	const cc, grant, pkj, sign = "client_credentials ES256", "jwt-bearer ES256", "private_key_jwt ES256", "form + sign ES256"
	r := &Report{
		Machine: Machine{Pinned: true}, Settings: RunSettings{Connections: []int{1, 64, 256}},
		Servers: []Server{{Name: sign, Reference: true}, {Name: "own"}, {Name: "own on disk"}, {Name: "own, many"},
			{Name: "quick", Keeps: "nothing"}, {Name: "own, TLS"}, {Name: "slow", Keeps: "a row"}, {Name: "none"}},
		Pictures: []Picture{{Server: "own", Kind: cc, Variant: "plain", Beside: []string{"own on disk"}},
			{Server: "own", Kind: grant, Variant: "main", Also: []string{pkj}}, {Server: "own", Kind: "not measured"}},
	}
	for _, connections := range []int{1, 64, 256} {
		reference := row(sign, sign, "", connections, 20000)
		reference.Reference = true
		ours := row("own", cc, "plain", connections, 12000)
		ours.Ceiling, ours.Ratio, ours.CPURatio = sign, &Spread{Median: 0.6}, &Spread{Median: 0.8}
		r.Rows = append(r.Rows, reference, row("own", cc, "odd", connections, 1), ours, row("own on disk", cc, "plain", connections, 6000), row("own, many", cc, "plain", connections, 7),
			row("quick", cc, "", connections, 8000), row("slow", cc, "", connections, 500), row("quick", pkj, "", connections, 3000), row("own", grant, "main", connections, 4500))
	}
	r.Servers = append(r.Servers, Server{Name: "seldom"})
	r.Rows = append(r.Rows, row("seldom", cc, "", 1, 9000))
	for _, connection := range []subject.Connection{subject.TLSFull, subject.TLSResumed} {
		ours, theirs := row("own", cc, "other", Together, 2000), row("quick", cc, "", Together, 1000)
		ours.Connection, theirs.Connection, ours.CPURatio = connection, connection, &Spread{Median: 0.95}
		r.Rows = append(r.Rows, ours, theirs)
	}
	broken := row("none", cc, "", 64, 1)
	broken.Error = "it ended"
	r.Rows = append(r.Rows, broken)
	return r
}

func TestPeersPicture(t *testing.T) {
	text, svg := draw(t, pictured().PeersPicture)
	text = text[slices.Index(text, "client_credentials ES256"):]
	want := []string{"client_credentials ES256", "own", "12,000", "quick", "8,000", "1.50 ×", "own on disk", "6,000", "2 ×", "slow", "500", "24 ×",
		"jwt-bearer ES256", "own", "4,500", "quick, private_key_jwt", "3,000", "1.50 ×"}
	if !slices.Equal(text, want) {
		t.Errorf("got %q", text)
	}
	bars := regexp.MustCompile(`<rect class="(\w+)" x="330.0" y="[\d.]+" width="([\d.]+)"`).FindAllStringSubmatch(svg, -1)
	for i, want := range []string{"own 430.0", "nothing 286.7", "beside 215.0", "keeps 17.9", "own 430.0", "nothing 286.7"} {
		if got := strings.Join(bars[i][1:], " "); got != want {
			t.Errorf("bar %d: %s, want %s", i, got, want)
		}
	}
}

func TestCeilingPicture(t *testing.T) {
	text, svg := draw(t, pictured().CeilingPicture)
	text = text[slices.Index(text, "client_credentials ES256"):]
	if want := []string{"client_credentials ES256", "64 kept connections", "80 %", "66.7 of 83.3 µs", "256 kept connections", "80 %", "66.7 of 83.3 µs",
		"new TLS connection", "95 %", "475 of 500 µs", "resumed TLS connection", "95 %", "475 of 500 µs"}; !slices.Equal(text, want) {
		t.Errorf("got %q", text)
	}
	if strings.Count(svg, `<rect class="own" x="330.0"`) != 4 || strings.Count(svg, `width="304.0"`) != 2 {
		t.Errorf("bars of %s", svg)
	}
}

func TestConnectionsPicture(t *testing.T) {
	r := pictured()
	for i := range r.Rows { // the ceiling, and so all curves, depends on the number of connections
		r.Rows[i].Rate.Median *= float64(r.Rows[i].Connections) / 256
	}
	text, svg := draw(t, r.ConnectionsPicture)
	text = text[slices.Index(text, "client_credentials ES256"):slices.Index(text, "jwt-bearer ES256")]
	if want := []string{"client_credentials ES256", "0", "10,000", "20,000", "1", "64", "256", "ceiling", "own", "quick", "own on disk", "slow"}; !slices.Equal(text, want) {
		t.Errorf("got %q", text)
	}
	for class, want := range map[string]int{"own": 2, "bound": 1, "other": 4} {
		if got := strings.Count(svg, `<polyline class="`+class+`"`); got != want {
			t.Errorf("%d lines of class %s, want %d", got, class, want)
		}
	}
	if !strings.Contains(svg, `points="110.0,274.3 355.0,232.5 600.0,105.0"`) {
		t.Errorf("the ceiling's curve: %s", svg)
	}
}

func TestPictureOfDisturbedRun(t *testing.T) {
	r := pictured()
	const want = "no verdict: the machine was disturbed (4.0 %)"
	for _, picture := range []func(io.Writer) error{r.PeersPicture, r.CeilingPicture, r.ConnectionsPicture} {
		r.Others = MostDisturbed
		if text, _ := draw(t, picture); slices.Contains(text, want) {
			t.Errorf("a quiet run: %q", text)
		}
		r.Others = 0.04
		if text, _ := draw(t, picture); !slices.Contains(text, want) {
			t.Errorf("a disturbed run: %q", text)
		}
	}
}

func TestPicturesOfNothing(t *testing.T) {
	for _, picture := range []func(io.Writer) error{(&Report{}).PeersPicture, (&Report{}).CeilingPicture, (&Report{}).ConnectionsPicture, (&Report{Pictures: []Picture{{}}}).ConnectionsPicture} {
		draw(t, picture)
	}
}

func TestLabelsStayApart(t *testing.T) {
	curves := []curve{{name: "c", label: 110}, {name: "a", label: 100}, {name: "b", label: 100}, {name: "far", label: 300}, {name: "above", label: 10}}
	spreadLabels(curves, 50)
	var got []string
	last := 0.0
	for _, c := range curves {
		got = append(got, c.name)
		if c.label < 50 || c.label < last+labelApart {
			t.Errorf("%s at %v after %v", c.name, c.label, last)
		}
		last = c.label
	}
	if want := []string{"above", "a", "b", "c", "far"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestRoundUp(t *testing.T) {
	for f, want := range map[float64]float64{0: 1, 1: 1, 7: 8, 17165: 20000, 2269: 3000, 10000: 10000, 10001: 20000} {
		if got := roundUp(f); got != want {
			t.Errorf("%v: %v, want %v", f, got, want)
		}
	}
}
