// Package keyring keeps the keys with which issuers sign access tokens, through
// their whole life: announced in the JWK set, signing, retired but still
// published, removed; or revoked, in an emergency.
//
// Every stage begins at an instant that is written down beforehand, so all
// processes that read one store switch keys together, and a verifier that obeys
// the cache rules of the JWK set never meets a kid that it does not know.
//
//   - MasterKey seals the private keys that live in the store. Open reads those
//     that live outside of it, by URI.
//   - Keyring.Load reads the keys of every issuer; Signer and JWKS then answer
//     from memory, without a lock.
//   - Rotate, called every now and then, gives each issuer its first key and each
//     key its successor.
//   - Announce, Activate, Retire and Revoke are what an operator does by hand.
//
// It is no store, it does not know what is signed, and it holds no key of a
// client. It makes no timers: the caller calls Rotate and passes the clock.
//
// RFC 7517 section 5 (JWK Set), RFC 7638 (kid), RFC 8414 section 2 (jwks_uri),
// RFC 5869 (HKDF), NIST SP 800-38D (AES-GCM).
package keyring
