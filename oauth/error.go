package oauth

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the error code of a refusal, as the caller sees it.
type Code string

// The codes of RFC 6749 §5.2 and §4.1.2.1, RFC 6750 §3.1, and others for what
// the RFCs leave to HTTP.
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
	// NotFound: what the request names does not exist, where a platform says so.
	NotFound Code = "not_found"
	// RateLimited: there were too many requests; RetryAfter says when to try again.
	RateLimited Code = "rate_limited"
	// TooLarge: the body of the request is too large.
	TooLarge Code = "request_too_large"
	// UnsupportedMediaType: the endpoint does not accept the Content-Type.
	UnsupportedMediaType Code = "unsupported_media_type"
	// MethodNotAllowed: the endpoint does not accept the HTTP method.
	MethodNotAllowed Code = "method_not_allowed"
)

// Retryable reports whether the same request may succeed later. That is so for
// RateLimited and TemporarilyUnavailable alone.
func (c Code) Retryable() bool { return c == RateLimited || c == TemporarilyUnavailable }

// Error is a refusal. Its Code and Description are for the caller. It may wrap a
// cause, which is for the log alone.
type Error struct {
	Code        Code
	Description string
	// RetryAfter is how long to wait before the next try; 0 when nothing says so.
	RetryAfter time.Duration
	// Inferred is set by a client where the answer had no code, and Code is its own word for the HTTP status.
	Inferred bool
	cause    error
}

// Errorf returns an Error with a formatted description. Characters that RFC 6749
// §5.2 does not allow in a description become '?', and '"' becomes "'".
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: printable(fmt.Sprintf(format, args...))}
}

// Because returns a copy of e that wraps cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// After returns a copy of e with d as its RetryAfter.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error returns code, description and cause. It is for logs: a caller must not see
// the cause.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Inferred {
		s += " (our word: the answer has no code)"
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause, which may be nil.
func (e *Error) Unwrap() error { return e.cause }

// AsError returns the first *Error in err's chain. It returns nil for a nil error,
// and a ServerError that wraps err when the chain has none: what is not in an
// *Error is not for the caller.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
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
