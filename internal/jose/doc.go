// Package jose signs and verifies compact JWS over crypto.Signer, and reads and writes the keys for
// that.
//
// It supports four algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1): ES256, RS256, PS256 and
// EdDSA with Ed25519, which is also called Ed25519 (RFC 9864). A PublicKey is bound to one of them when it is created, so the header of a
// token never chooses how the token is verified (RFC 8725 section 3.1). Input is read strictly: a
// token has exactly one valid encoding, member names are exact and occur once, and header members
// that change how the token is processed are refused.
//
//   - Parse, JWS.Verify and ParseClaims read a token: RFC 7515, RFC 7519.
//   - NewSigner and Signer.Sign write one.
//   - ParsePublic, ParseJWK and ParseKeySet read public keys: RFC 7517, RFC 7518
//     section 6, RFC 8037 section 2, RFC 7468. NearMiss says what a file holds that they do not read.
//   - KeySet.Find chooses the key of a token.
//   - ParsePrivate, GenerateKey and MarshalPrivatePEM handle private keys.
//   - PublicKey.Thumbprint identifies a key: RFC 7638.
//
// There is no JWE, no JSON serialization of a JWS, no symmetric key, and no key is taken from a
// header. The package does not validate claims: the caller decides which claims a token must have
// and whether it has expired.
package jose
