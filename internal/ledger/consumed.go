package ledger

import "time"

// Consumed is a value that may be used once, such as that of an assertion (RFC 7523
// section 3) or of a DPoP proof (RFC 9449 section 11.1), and is consumed with an entry.
type Consumed struct {
	// Value stands for what is consumed, within its issuer. Two are the same value
	// when their first 16 bytes are equal.
	Value [32]byte
	// Until is the first instant at which what it stands for is refused for its age,
	// and the value may be forgotten.
	Until time.Time
	// Sealed comes back in the ReplayedError of later callers. The store cannot read it.
	Sealed []byte
}

// ReplayedError reports that a value had been consumed before. Nothing was recorded,
// and none of the caller's other values was consumed.
type ReplayedError struct {
	// Index is which of the caller's values it was, the first such one.
	Index int
	// Sealed is what the first caller left with that value.
	Sealed []byte
}

// Error says so.
func (*ReplayedError) Error() string { return "the assertion was used before" }
