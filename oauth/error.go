package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is an error code that a caller may see.
type Code string

// The codes of RFC 6749 §5.2 and §4.1.2.1, RFC 6750 §3.1, and two for limits
// that the RFCs leave to HTTP.
const (
	InvalidRequest         Code = "invalid_request"
	InvalidClient          Code = "invalid_client"
	InvalidGrant           Code = "invalid_grant"
	UnauthorizedClient     Code = "unauthorized_client"
	UnsupportedGrantType   Code = "unsupported_grant_type"
	InvalidScope           Code = "invalid_scope"
	ServerError            Code = "server_error"
	TemporarilyUnavailable Code = "temporarily_unavailable"
	InvalidToken           Code = "invalid_token"
	InsufficientScope      Code = "insufficient_scope"
	// NotFound is for platforms that tell a missing resource apart (thales-etp).
	NotFound Code = "not_found"
	// RateLimited: the caller asks too often; RetryAfter says when to come back.
	RateLimited Code = "rate_limited"
	// TooLarge: the body is over its limit.
	TooLarge Code = "request_too_large"
	// UnsupportedMediaType: the body is of a kind that the endpoint does not take.
	UnsupportedMediaType Code = "unsupported_media_type"
	// MethodNotAllowed: the endpoint takes another HTTP method.
	MethodNotAllowed Code = "method_not_allowed"
)

// Retryable tells whether the same request may succeed later (DESIGN
// invariant 7: nothing else is retryable).
func (c Code) Retryable() bool { return c == RateLimited || c == TemporarilyUnavailable }

// Error is a refusal. Code and Description go to the caller; the cause goes to
// the log and nowhere else.
type Error struct {
	Code        Code
	Description string
	// RetryAfter is how long to wait before asking again; only for retryable codes.
	RetryAfter time.Duration
	cause      error
}

// Errorf makes an Error whose description the caller may read. The description
// keeps to the characters of RFC 6749 §5.2; others become '?'.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: printable(fmt.Sprintf(format, args...))}
}

// Because returns a copy of e with the cause that the log shows.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// After returns a copy of e that asks the caller to wait for d.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error tells everything, the private cause too: it is for logs.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives the private cause.
func (e *Error) Unwrap() error { return e.cause }

// AsError finds the *Error in err's chain. An error that holds none is a
// server_error with err as its cause: what a caller may know is only ever in an
// *Error.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: ServerError, cause: err}
}

// printable keeps to %x20-21 / %x23-5B / %x5D-7E (RFC 6749 §5.2).
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7E || r == '\\':
			return '?'
		}
		return r
	}, s)
}
