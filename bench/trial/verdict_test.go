package trial

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	quiet := &Report{Machine: Machine{Pinned: true}, Others: MostDisturbed}
	for _, c := range []struct {
		target Target
		want   Verdict
	}{
		{Target{Want: 5, Got: new(5.0)}, Reached}, {Target{Want: 5, Got: new(4.9)}, Missed}, {Target{Want: 5}, NotMeasured},
		{Target{Want: 5, Got: new(5.0), AtMost: true}, Reached}, {Target{Want: 5, Got: new(5.1), AtMost: true}, Missed}, {Target{Want: 5, AtMost: true}, NotMeasured},
	} {
		if quiet.Judge([]Target{c.target}); quiet.Targets[0].Verdict != c.want {
			t.Errorf("%+v: %s", c.target, quiet.Targets[0].Verdict)
		}
	}
}

// TestNoVerdict covers the three outputs of a run that was disturbed.
func TestNoVerdict(t *testing.T) {
	const disturbed = "no verdict: the machine was disturbed (5.2 %)"
	r := sample()
	r.Others = 0.0521
	r.Judge([]Target{{What: "well", Want: 1, Got: new(2.0)}, {What: "badly", Want: 2, Got: new(1.0)}, {What: "not at all", Want: 1}})
	var markdown, encoded bytes.Buffer
	var said strings.Builder
	if err := r.Markdown(&markdown); err != nil {
		t.Fatal(err)
	}
	if err := r.JSON(&encoded); err != nil {
		t.Fatal(err)
	}
	r.Verdicts(func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) })
	for name, c := range map[string]struct{ text, well, badly, unmeasured string }{
		"Markdown":       {markdown.String(), "| " + disturbed + " | well |", "| " + disturbed + " | badly |", "| ? | not at all |"},
		"JSON":           {encoded.String(), `"got": 2,` + "\n      " + `"verdict": "` + disturbed, `"got": 1,` + "\n      " + `"verdict": "` + disturbed, `"verdict": "not measured"`},
		"standard error": {said.String(), disturbed + "  well: at least 1, 2", disturbed + "  badly: at least 2, 1", "1 targets were not measured"},
	} {
		for _, want := range []string{c.well, c.badly, c.unmeasured} {
			if !strings.Contains(c.text, want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		if strings.ContainsAny(c.text, "✓✗") || strings.Contains(c.text, `"reached"`) || strings.Contains(c.text, `"missed"`) {
			t.Errorf("%s has a verdict", name)
		}
	}
	r.Machine.Pinned, r.Others = false, 0
	if r.Judge(r.Targets); r.Targets[0].Verdict != "no verdict: servers and load shared one core" {
		t.Errorf("without pinning: %s", r.Targets[0].Verdict)
	}
}
