// Package evidence is what a request shows of who asks, assertions (RFC 7521) and client
// certificates (RFC 8705), with the rules that each is held to, in their order. A refusal names
// the first rule that does not hold, with what it expected and found; an explanation shows them all.
//
// It looks nothing up and changes nothing: authority finds clients, keys and identities, asks here,
// and consumes. It knows no HTTP and no SQL.
//
// RFC 7523 (§3), RFC 8705 (§2), RFC 10070.
package evidence
