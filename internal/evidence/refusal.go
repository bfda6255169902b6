package evidence

// Refusal is what the log and the ledger know about a refusal and the caller
// does not: the rule, what it wanted, what it found. It holds no secret.
type Refusal struct {
	Rule     string `json:"rule"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	// Hint names the likely mistake; often empty.
	Hint string `json:"hint,omitempty"`
	// Client is the known client that was named, proven or not; often empty.
	Client string `json:"-"`
	// Subject is whom the grant names beside Client, once that was verified; often empty.
	Subject string `json:"-"`
	// Proven is true when the caller proved to be Client. A consumed assertion proves
	// nothing: others may have seen it.
	Proven bool `json:"-"`
}

// ProvenClient is the client that the caller proved to be, or "".
func (r *Refusal) ProvenClient() string {
	if !r.Proven {
		return ""
	}
	return r.Client
}

// Error says everything.
func (r *Refusal) Error() string {
	s := "rule " + r.Rule + ": expected " + r.Expected + ", found " + r.Found
	if r.Hint != "" {
		s += " (" + r.Hint + ")"
	}
	return s
}
