// Package admin is the admin API: JSON over HTTP by which clients, their keys and
// secrets, accounts, items and signing keys are registered and changed,
// access tokens are revoked, and the ledger is read.
//
// It is a resource server of our own authority: every request carries one of our
// access tokens, whose scope is admin:read for what changes nothing and
// admin:write for what does. Every change is recorded in the ledger in one step
// with the change itself, under the client identifier of the token, and holds
// from the next request on.
//
//   - API.Handler serves all of it, below adminapi.Prefix.
//   - What is sent and answered is in package adminapi, and package adminclient calls
//     it by the same types.
//
// What is sent is decoded strictly: an unknown, repeated or mistyped member is
// refused by name. A PATCH is a JSON merge patch: what is absent stays, null
// removes. Bulk imports and the ledger are streamed as lines of JSON and take
// the same memory for one row as for a million.
//
// It is not where rules live: what a client, key or account must look like is
// for authority to judge, and what may happen to a signing key for keyring. It
// serves no tokens.
//
// RFC 6750 (bearer tokens), RFC 7396 (JSON merge patch), RFC 7591 section 2 (the
// names of client metadata), RFC 9110.
package admin
