// Package oauth holds the words that every other package shares: grant types,
// ways of client authentication, scopes and errors, under the names that the
// RFCs give them.
//
// It is not a client and not a server: it does no I/O, knows no platform and
// imports nothing but the standard library.
//
// RFC 6749 (§2.3, §3.3, §5.2), RFC 7521, RFC 7523, RFC 8414 §2.
package oauth

// GrantType is the value of a token request's grant_type parameter
// (RFC 6749 §4, RFC 7523 §2.1).
type GrantType string

// The grants that a machine can use. There is no other: nobody logs in.
const (
	ClientCredentials GrantType = "client_credentials"
	JWTBearer         GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// ClientAuth names how a client shows who it is, in the words of the IANA
// registry "OAuth Token Endpoint Authentication Methods" where it has one.
type ClientAuth string

// The ways of client authentication.
const (
	// AuthNone: the grant itself says who asks (the assertion's iss).
	AuthNone ClientAuth = "none"
	// AuthBasic: client_id and client_secret by HTTP Basic, form-encoded
	// before base64 (RFC 6749 §2.3.1).
	AuthBasic ClientAuth = "client_secret_basic"
	// AuthPost: client_id and client_secret in the body (RFC 6749 §2.3.1).
	AuthPost ClientAuth = "client_secret_post"
	// AuthPrivateKeyJWT: a signed client_assertion (RFC 7523 §2.2, RFC 10070).
	AuthPrivateKeyJWT ClientAuth = "private_key_jwt"
	// AuthAPIKey: one opaque key in a header, which names its client by itself.
	// No RFC has it; payment platforms do.
	AuthAPIKey ClientAuth = "api_key"
)

// AssertionTypeJWT is the client_assertion_type of a JWT (RFC 7523 §2.2).
const AssertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// TokenTypeBearer is the token_type of every token here (RFC 6750).
const TokenTypeBearer = "Bearer"
