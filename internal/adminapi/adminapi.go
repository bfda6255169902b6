// Package adminapi has the words of the admin API: what is sent and answered as JSON,
// the path below which it lives, its scopes and error codes. Package admin serves it
// and package adminclient calls it, by the same types.
//
// It judges nothing: what a client, key or account must look like is for authority to
// say. In requests a member that is absent stays as it is, and null takes it away
// (RFC 7396).
//
// RFC 6749 section 5.2 (the form of a refusal), RFC 7591 section 2 (the names of client
// metadata).
package adminapi

import (
	"encoding/json"
	"time"

	"moneyer/oauth"
)

// Prefix is where the API lives below the URL of its listener.
const Prefix = "/admin/v1"

// The scopes that a token needs.
const (
	ScopeRead  = "admin:read"
	ScopeWrite = "admin:write"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// Next is what to give as after for the next page; empty on the last one.
	Next string `json:"next,omitempty"`
}

// The codes of what only an admin API refuses.
const (
	// CodeRefused: what was to be registered does not fit; the text says why.
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

// MarshalJSON writes a time as RFC 3339 has it, or null.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.Time)
}
