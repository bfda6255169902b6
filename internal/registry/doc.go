// Package registry is what an authorization server knows before a request comes:
// its issuers, their clients with all their credentials (keys, secrets, API keys,
// certificates, identities), the accounts and items for which clients may ask, signing
// keys, and what each of them may hold.
//
// It is the one place that decides what may be registered, which key is blocked and
// which credential is live. It decides nothing about a request (internal/authority
// does) and stores nothing (internal/store does).
//
// RFC 6749 (§2), RFC 7517, RFC 7591 (§2), RFC 8414 (§2).
package registry
