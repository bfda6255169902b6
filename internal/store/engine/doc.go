// Package engine says what the store asks of a database, and has the values that both
// speak of: [Engine] and [Session] are implemented by the packages sqlite and postgres.
//
// It knows no SQL of either, and none of the registry: what is written, and when, is
// for package store to say.
package engine
