package ledger

import "time"

// Consumed is a value that can be used once, such as that of an assertion (RFC 7523
// section 3) or of a DPoP proof (RFC 9449 section 11.1). It is consumed together with an
// entry.
type Consumed struct {
	// Value is a hash that includes the issuer. Two values are the same if their first 16
	// bytes are equal.
	Value [32]byte
	// Until is the time from which the assertion or proof is refused as expired, so that
	// the value may be deleted.
	Until time.Time
	// Sealed is returned in the ReplayedError of later callers. The store cannot decrypt it.
	Sealed []byte
}

// ReplayedError reports that a value had been consumed before. Nothing was recorded,
// and none of the caller's other values was consumed.
type ReplayedError struct {
	// Index is which of the caller's values it was, the first such one.
	Index int
	// Sealed is the Consumed.Sealed of the first caller.
	Sealed []byte
}

// Error implements error.
func (*ReplayedError) Error() string { return "the assertion was used before" }
