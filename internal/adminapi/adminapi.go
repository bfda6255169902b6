// Package adminapi has the types of the admin API: requests and responses in JSON, the
// path prefix, scopes and error codes. Package admin serves the API and package
// adminclient calls it, with the same types.
//
// It checks nothing: package registry has the rules for clients, keys and accounts. In
// requests an absent member is unchanged, and null removes it (RFC 7396).
//
// RFC 6749 section 5.2 (the form of a refusal), RFC 7591 section 2 (the names of client
// metadata).
package adminapi

import (
	"encoding/json"
	"time"

	"moneyer/oauth"
)

// Prefix is the path of the API below the URL of its listener.
const Prefix = "/admin/v1"

// The scopes that a token needs.
const (
	ScopeRead  = "admin:read"
	ScopeWrite = "admin:write"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is the value of after for the next page; empty on the last one.
	Next string `json:"next,omitempty"`
}

// Error codes that only the admin API uses.
const (
	// CodeRefused: the object may not be registered; the text says why.
	CodeRefused oauth.Code = "refused"
	// CodeConflict: it exists already, is in use, or is in a state that forbids it.
	CodeConflict oauth.Code = "conflict"
)

// Failure is the body of every answer that is not a success.
type Failure struct {
	Code        oauth.Code `json:"error"`
	Description string     `json:"error_description,omitempty"`
}

// Moment is a time in a request. The zero time is null.
type Moment struct{ time.Time }

// MarshalJSON writes a time in RFC 3339 form, or null.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.Time)
}
