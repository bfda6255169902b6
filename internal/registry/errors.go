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

// KeyTakenError means that a key cannot be registered or used because it is registered
// already, for another client of the issuer or in another environment, or that this
// holds for a certificate, or for the jwks_uri where keys are published.
type KeyTakenError struct {
	// Issuer, Client, Kid and Environment identify the existing registration. Kid is
	// the ID of a certificate, and empty where it is that of a jwks_uri.
	Issuer, Client, Kid, Environment string
	// Certificate is set if it is one of a certificate.
	Certificate bool
	// Fetched is set if the existing key is not registered, but was fetched from the
	// client's jwks_uri and used.
	Fetched bool
}

// Error says who holds the key.
func (e *KeyTakenError) Error() string {
	switch {
	case e.Kid == "":
		return fmt.Sprintf("the jwks_uri is registered already: for client %q of issuer %q, environment %q; publish the keys of each environment at a URL of its own",
			e.Client, e.Issuer, e.Environment)
	case e.Fetched:
		return fmt.Sprintf("the key is in use already: key %q at the jwks_uri of client %q of issuer %q, environment %q",
			e.Kid, e.Client, e.Issuer, e.Environment)
	}
	what := "key"
	if e.Certificate {
		what = "certificate"
	}
	return fmt.Sprintf("the %s is registered already: %[1]s %q of client %q of issuer %q, environment %q",
		what, e.Kid, e.Client, e.Issuer, e.Environment)
}

// IdentityTakenError means that another client of the issuer is registered with the same claims of
// a trusted issuer. It is an ErrConflict.
type IdentityTakenError struct{ Issuer, Client, Trusted string }

// Error says who has them.
func (e *IdentityTakenError) Error() string {
	return fmt.Sprintf("these claims of trusted issuer %q are registered already: for client %q of issuer %q", e.Trusted, e.Client, e.Issuer)
}

// Is makes it an ErrConflict to errors.Is.
func (*IdentityTakenError) Is(target error) bool { return target == ErrConflict }

// InvalidError says what is wrong with what an operator asked for. Its text is for the operator.
type InvalidError struct{ Problem string }

// Error gives the problem and, where there is one, the fix.
func (e *InvalidError) Error() string { return e.Problem }

// Invalidf makes an *InvalidError.
func Invalidf(format string, args ...any) error {
	return &InvalidError{fmt.Sprintf(format, args...)}
}

// UnverifiedError means that a row of the store does not verify under the master key:
// something other than Moneyer wrote it, or it was written under another master key.
// Nothing of the row is believed.
type UnverifiedError struct {
	// Kind of the row, such as "client", with its issuer and its ID there. Signing keys
	// have no ID.
	Kind, Issuer, ID string
}

// IsUnverified reports whether err is an *UnverifiedError.
func IsUnverified(err error) bool {
	_, ok := errors.AsType[*UnverifiedError](err)
	return ok
}

// Error names the row, and what to do.
func (e *UnverifiedError) Error() string {
	name := e.Kind
	if e.ID != "" {
		name += fmt.Sprintf(" %q", e.ID)
	}
	return fmt.Sprintf("the %s of issuer %q in the store does not verify under the master key: something other than Moneyer wrote it, "+
		"or it was written under another master key; see moneyer store repair", name, e.Issuer)
}
