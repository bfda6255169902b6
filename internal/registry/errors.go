package registry

import (
	"errors"
	"fmt"
)

// Errors of a store that callers distinguish.
var (
	// ErrNotFound: the registry has no such thing.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it was changed since it was read, or exists already.
	ErrConflict = errors.New("changed by somebody else meanwhile, or exists already")
)

// KeyTakenError means that a key cannot be registered because it is registered already,
// for another client of the issuer or in another environment.
type KeyTakenError struct {
	// Issuer, Client, Kid and Environment identify the existing registration.
	Issuer, Client, Kid, Environment string
}

// Error says who holds the key.
func (e *KeyTakenError) Error() string {
	return fmt.Sprintf("the key is registered already: key %q of client %q of issuer %q, environment %q",
		e.Kid, e.Client, e.Issuer, e.Environment)
}

// InvalidError says what is wrong with what an operator asked for. Its text is for the operator.
type InvalidError struct{ Problem string }

// Error gives the problem and, where there is one, the fix.
func (e *InvalidError) Error() string { return e.Problem }

// Invalidf makes an *InvalidError.
func Invalidf(format string, args ...any) error {
	return &InvalidError{fmt.Sprintf(format, args...)}
}
