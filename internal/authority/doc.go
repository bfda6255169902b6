// Package authority is the domain: the nouns (Issuer, Client, Key, Secret,
// Account, Item, SigningKey, Entry), the rules by which a token is given or
// refused, and Exchange, the one way to a token.
//
// It knows no HTTP and no SQL: server gives it requests, store keeps what it
// records, keyring signs. Those three are reached through the small interfaces in
// ports.go, each with the guarantee that the rules here build on. What a single assertion or
// certificate must be like is package evidence's part.
//
// RFC 6749 (§4.4, §5), RFC 7521, RFC 7523 (§3), RFC 9068, RFC 10070.
package authority
