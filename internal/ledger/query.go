package ledger

import "time"

// Query selects ledger entries. Zero fields select everything.
type Query struct {
	// After has at most one position for a chain, and selects the entries of that chain
	// with a greater Seq. It selects all entries of a chain without a position.
	After        []int64
	Since, Until time.Time
	Kind         Kind
	Issuer       string
	Client       string
	Correlation  string
	JTI          string
	Limit        int // 0 means no limit
}

// From returns the first entry of a chain after the position given for it.
func (q *Query) From(chain int64) int64 {
	for _, after := range q.After {
		if ChainOf(after) == chain {
			return after + 1
		}
	}
	return Numbered(chain, 1)
}

// Matches reports whether the query selects e, not considering After.
func (q *Query) Matches(e *Entry) bool {
	return (q.Kind == "" || q.Kind == e.Kind) &&
		(q.Issuer == "" || q.Issuer == e.Issuer) &&
		(q.Client == "" || q.Client == e.Client) &&
		(q.Correlation == "" || q.Correlation == e.Correlation) &&
		(q.JTI == "" || q.JTI == e.JTI) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}
