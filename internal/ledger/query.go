package ledger

import "time"

// Query selects ledger entries. Zero fields select everything.
type Query struct {
	// After has at most one position for a chain: of that chain, entries with a
	// greater Seq. Of a chain without one, all.
	After        []int64
	Since, Until time.Time
	Kind         Kind
	Issuer       string
	Client       string
	Correlation  string
	JTI          string
	Limit        int // at most so many; 0 means no limit
}

// From is the first entry of a chain that is after the position given for it.
func (q *Query) From(chain int64) int64 {
	for _, after := range q.After {
		if ChainOf(after) == chain {
			return after + 1
		}
	}
	return Numbered(chain, 1)
}

// Matches reports whether the query selects e, wherever in the ledger it is.
func (q *Query) Matches(e *Entry) bool {
	return (q.Kind == "" || q.Kind == e.Kind) &&
		(q.Issuer == "" || q.Issuer == e.Issuer) &&
		(q.Client == "" || q.Client == e.Client) &&
		(q.Correlation == "" || q.Correlation == e.Correlation) &&
		(q.JTI == "" || q.JTI == e.JTI) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) &&
		(q.Until.IsZero() || e.Time.Before(q.Until))
}
