package evidence

// rule is one thing that must hold of something signed, such as an assertion (RFC 7523
// §3). A refusal names the first rule of a list that does not hold; an explanation
// shows them all.
type rule[T any] struct {
	name string
	// tell is what the caller may know. Up to the signature it reveals nothing of what
	// is registered.
	tell string
	// testable reports whether there is what the rule looks at; it is for explanations,
	// where earlier rules may be broken. nil means that there always is.
	testable func(T) bool
	// holds may rely on every earlier rule.
	holds    func(T) bool
	expected func(T) string
	// found says what is there; where it is nil, broken does if the rule is, and else "that".
	found, broken func(T) string
	// hint names the likely mistake once the rule is broken; nil when there is none.
	hint func(T) string
}

// refusal says how the rule is broken.
func (r *rule[T]) refusal(subject T) *Refusal {
	f := r.finding(subject, false)
	return &Refusal{Rule: f.Rule, Expected: f.Expected, Found: f.Found, Hint: f.Hint}
}

func (r *rule[T]) finding(subject T, holds bool) Finding {
	f := Finding{Rule: r.name, Holds: holds, Expected: r.expected(subject), Found: "that"}
	switch {
	case r.found != nil:
		f.Found = r.found(subject)
	case !holds:
		f.Found = r.broken(subject)
	}
	if !holds && r.hint != nil {
		f.Hint = r.hint(subject)
	}
	return f
}

// firstBroken finds the first rule that does not hold; nil when all do.
func firstBroken[T any](rules []*rule[T], subject T) *rule[T] {
	for _, r := range rules {
		if !r.holds(subject) {
			return r
		}
	}
	return nil
}

// explain tests every rule that can be tested.
func explain[T any](rules []*rule[T], subject T) []Finding {
	var findings []Finding
	for _, r := range rules {
		if r.testable == nil || r.testable(subject) {
			findings = append(findings, r.finding(subject, r.holds(subject)))
		}
	}
	return findings
}

// Finding is what one rule says of an assertion.
type Finding struct {
	Rule     string `json:"rule"`
	Holds    bool   `json:"holds"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Hint     string `json:"hint,omitempty"`
}

// RuleNames lists the rules for assertions that clients sign, in their order.
func RuleNames() []string { return names(assertionRules) }

// TrustedRuleNames lists the rules for tokens of trusted issuers, in their order.
func TrustedRuleNames() []string { return names(workloadRules) }

func names(rules []*rule[*Assertion]) []string {
	all := make([]string, len(rules))
	for i, r := range rules {
		all[i] = r.name
	}
	return all
}
