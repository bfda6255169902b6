package ledger

import "time"

// Consumed is the consumption of a value that may be used once: an assertion.
type Consumed struct {
	// Value stands for the assertion, within its issuer.
	Value [32]byte
	// Until is the first instant at which the assertion is refused for its age,
	// and the value may be forgotten.
	Until time.Time
	// Sealed comes back in the ReplayedError of later callers. The store cannot read it.
	Sealed []byte
}

// ReplayedError says that an assertion was consumed before.
type ReplayedError struct {
	// Sealed is what the first user left.
	Sealed []byte
}

func (*ReplayedError) Error() string { return "the assertion was used before" }
