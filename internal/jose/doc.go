// Package jose signs and verifies compact JWS over crypto.Signer, and reads and
// writes the keys that this takes.
//
// It knows four algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1): ES256,
// RS256, PS256 and EdDSA with Ed25519. A PublicKey is bound to one of them when
// it is made, so that the header of a token never chooses how it is verified
// (RFC 8725 section 3.1). What is read is read strictly: one spelling of every
// token, exact member names, no duplicates, no header member that would change
// how the token is to be processed.
//
//   - Parse, JWS.Verify and ParseClaims read a token: RFC 7515, RFC 7519.
//   - NewSigner and Signer.Sign write one.
//   - ParsePublic, ParseJWK and ParseJWKS read public keys: RFC 7517, RFC 7518
//     section 6, RFC 8037 section 2, RFC 7468.
//   - ParsePrivate, GenerateKey and MarshalPrivatePEM handle private keys.
//   - PublicKey.Thumbprint names a key: RFC 7638.
//
// There is no JWE, no JSON serialization of a JWS, no symmetric key and no key
// that comes out of a header. The package does not judge claims: what a token
// must say, and when it ends, is decided by the caller.
package jose
