package ledger

import (
	"time"
)

// Use is the use-up of an assertion.
type Consumed struct {
	// Key stands for the assertion, within its issuer.
	Value [32]byte
	// Until is the first instant at which the assertion is refused for its age,
	// and the key may be forgotten.
	Until time.Time
	// Sealed comes back in the UsedError of later callers. The store cannot read it.
	Sealed []byte
}

// UsedError tells that an assertion had been used up before.
type ReplayedError struct {
	// Sealed is what the first user left.
	Sealed []byte
}

// Error says so.
func (*ReplayedError) Error() string { return "the assertion was used before" }
