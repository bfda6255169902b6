package engine

import (
	"fmt"
	"time"
)

// ClockLeeway is how far the clock may be behind the newest entry of the ledger: replicas
// differ, and a clock is corrected a little.
const ClockLeeway = time.Minute

// MaxHorizon bounds how far ahead the end of an accepted assertion may be: the longest
// lifetime that a profile may allow, and its leeway twice.
const MaxHorizon = 24*time.Hour + 10*time.Minute

// Standing is what a store records of its own past.
type Standing struct {
	// ID is the name of the store, which its copies keep.
	ID string
	// Newest is the time of the newest entry of the ledger, zero if there is none.
	// Accepted is the newest time that an operator accepted as wrong.
	Newest, Accepted time.Time
	// Forgotten is the time up to which consumed values may be missing. Those that expire
	// by then are refused.
	Forgotten time.Time
}

// ReadStanding reads the standing of a store by row, which scans the only row of a query.
func ReadStanding(row func(query string, dest ...any) error) (s Standing, err error) {
	var accepted, forgotten, newest int64
	err = row(`SELECT id, accepted, CASE WHEN at > refused THEN at ELSE refused END FROM store, used_forgotten`, &s.ID, &accepted, &forgotten)
	if err != nil {
		return s, err
	}
	if err := row(`SELECT coalesce(max(time_max), 0) FROM ledger_batch`, &newest); err != nil {
		return s, err
	}
	s.Accepted, s.Forgotten = time.UnixMilli(accepted).UTC(), time.Unix(forgotten, 0).UTC()
	if newest != 0 {
		s.Newest = time.UnixMilli(newest).UTC()
	}
	return s, nil
}

// IsAhead reports whether the newest entry of the ledger is ahead of now, so that one of
// the clock and the entry is wrong.
func (s *Standing) IsAhead(now time.Time) bool {
	return s.Newest.After(now.Add(ClockLeeway)) && s.Newest.After(s.Accepted)
}

// acceptAdvice is what to do about what only an operator can decide.
const acceptAdvice = "see moneyer store accept"

// Clock adds the findings on the clock, for assertions that end up to horizon ahead.
func (f *Findings) Clock(s *Standing, now time.Time, horizon time.Duration) {
	f.Judge("newest entry", !s.IsAhead(now), Bad, fmt.Sprintf("of %s, and it is %s", stamp(s.Newest), stamp(now)),
		"set the clock right; if it was ahead when the entry was recorded, "+acceptAdvice)
	found := "assertions that end by " + stamp(s.Forgotten) + " are refused: it is unknown whether they were used"
	switch {
	case s.Forgotten.After(now.Add(horizon + ClockLeeway)):
		f.Add("consumed assertions", Bad, found, "set the clock right; if it was ahead before, "+acceptAdvice)
	case s.Forgotten.After(now):
		f.Add("consumed assertions", Warn, found, "wait until then; or "+acceptAdvice)
	default:
		f.Add("consumed assertions", Good, "none that may be missing would be accepted", "")
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "no time"
	}
	return t.UTC().Format(time.RFC3339)
}
