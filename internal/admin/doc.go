// Package admin is the admin API: JSON over HTTP by which clients, their keys and
// secrets, accounts, items and signing keys are registered and changed,
// access tokens are revoked, and the ledger is read.
//
// It is a resource server of the server's own issuer: every request carries an access
// token of that issuer, whose scope is admin:read for what changes nothing and
// admin:write for what does. Every change is recorded in the ledger in one step
// with the change itself, under the client identifier of the token, and holds
// from the next request on.
//
//   - API.Handler serves all of it, below adminapi.Prefix.
//   - Package adminapi has the types of requests and responses, and package
//     adminclient calls the API with them.
//
// Requests are decoded strictly: an unknown, repeated or mistyped member is refused
// by name. A PATCH is a JSON merge patch: an absent member is unchanged, null removes
// it. Bulk imports and the ledger are streamed as lines of JSON and take
// the same memory for one row as for a million.
//
// It has no rules of its own: registry checks clients, keys and accounts, and keyring
// the changes of signing keys. It serves no tokens.
//
// RFC 6750 (bearer tokens), RFC 7396 (JSON merge patch), RFC 7591 section 2 (the
// names of client metadata), RFC 9110.
package admin
