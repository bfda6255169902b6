package trial

import "fmt"

// MostDisturbed is the share of the servers' core that other work may take during rounds. Above it
// a run has no verdict: such work takes more from a server that nearly fills the core than from one
// that waits, so it changes ratios, too.
const MostDisturbed = 0.03

// A Target is a goal and its result.
type Target struct {
	What string `json:"what"`
	// Want is the minimum, or the maximum if AtMost; Got is the result, nil if it was not measured.
	Want   float64  `json:"want"`
	AtMost bool     `json:"at_most,omitempty"`
	Unit   string   `json:"unit"`
	Got    *float64 `json:"got"`
	// Verdict is set by [Report.Judge].
	Verdict Verdict `json:"verdict"`
}

// A Verdict says whether a target is reached, or why that is unknown.
type Verdict string

// The verdicts of a run that was not disturbed.
const (
	Reached     Verdict = "reached"
	Missed      Verdict = "missed"
	NotMeasured Verdict = "not measured"
)

// mark returns the verdict as a sign where there is one.
func (v Verdict) mark() string {
	switch v {
	case Reached:
		return "✓"
	case Missed:
		return "✗"
	case NotMeasured:
		return "?"
	}
	return string(v)
}

// Judge gives each target its verdict and keeps them. A run that other work disturbed has none.
func (r *Report) Judge(targets []Target) {
	for i := range targets {
		targets[i].Verdict = targets[i].verdict(r.disturbed())
	}
	r.Targets = targets
}

// disturbed returns why the run has no verdict, or "".
func (r *Report) disturbed() Verdict {
	switch {
	case !r.Machine.Pinned:
		return "no verdict: servers and load shared one core"
	case r.Others > MostDisturbed:
		return Verdict(fmt.Sprintf("no verdict: the machine was disturbed (%.1f %%)", 100*r.Others))
	}
	return ""
}

func (t *Target) verdict(disturbed Verdict) Verdict {
	switch {
	case t.Got == nil:
		return NotMeasured
	case disturbed != "":
		return disturbed
	case t.AtMost && *t.Got <= t.Want, !t.AtMost && *t.Got >= t.Want:
		return Reached
	}
	return Missed
}

// bounds returns what is wanted, and what was measured.
func (t *Target) bounds() (want, got string) {
	want, got = "at least ", string(NotMeasured)
	if t.AtMost {
		want = "at most "
	}
	if t.Got != nil {
		got = figure(*t.Got) + t.Unit
	}
	return want + figure(t.Want) + t.Unit, got
}

// Verdicts says each target that was measured and its verdict, and how many were not.
func (r *Report) Verdicts(say func(format string, args ...any)) {
	unknown := 0
	for i := range r.Targets {
		t := &r.Targets[i]
		if t.Verdict == NotMeasured {
			unknown++
			continue
		}
		want, got := t.bounds()
		say("%s  %s: %s, %s", t.Verdict.mark(), t.What, want, got)
	}
	if unknown > 0 {
		say("%d targets were not measured", unknown)
	}
}
