// Package keyring holds the keys with which issuers sign access tokens and rotates them. A key is
// announced in the JWK set, signs, is retired but stays published, and is removed. In an emergency
// it is revoked.
//
// Each of these steps happens at an instant that is stored beforehand. All processes that share a
// store therefore switch keys at the same time, and a verifier that follows the cache rules of the
// JWK set never sees an unknown kid.
//
//   - MasterKey seals the private keys that are stored. Open reads private keys that
//     are kept outside the store, by URI.
//   - Keyring.Load reads the keys of every issuer; Signer and JWKS then answer
//     from memory, without a lock.
//   - Rotate, called periodically, gives each issuer its first key and each key its
//     successor.
//   - Announce, Activate, Retire and Revoke are the operator's commands.
//
// The package is not a store, does not know what is signed, and holds no client keys. It starts no
// timers: the caller calls Rotate and supplies the clock.
//
// RFC 7517 section 5 (JWK Set), RFC 7638 (kid), RFC 8414 section 2 (jwks_uri), RFC 5869 (HKDF),
// NIST SP 800-38D (AES-GCM).
package keyring
