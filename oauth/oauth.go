// Package oauth defines the terms of OAuth 2.0 that the other packages share:
// grant types, methods of client authentication, token types, scopes and errors,
// under the names that the RFCs give them.
//
// It is neither a client nor a server: it does no I/O, and imports nothing but the
// standard library. Package tokensource gets tokens, package bearer verifies them.
//
// RFC 6749 (§2.3, §3.3, §5.2, §7.1), RFC 6750, RFC 7521, RFC 7523, RFC 8414 §2.
package oauth

import "strings"

// GrantType is the value of a token request's grant_type parameter
// (RFC 6749 §4, RFC 7523 §2.1).
type GrantType string

// The grants of machine clients. Grants that need a person are left out.
const (
	ClientCredentials GrantType = "client_credentials"
	JWTBearer         GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"
)

// ClientAuth is a method of client authentication, under its name in the IANA
// registry "OAuth Token Endpoint Authentication Methods" where it has one.
type ClientAuth string

// The methods of client authentication.
const (
	// AuthNone: the grant identifies the client, by the iss of the assertion.
	AuthNone ClientAuth = "none"
	// AuthBasic: client_id and client_secret by HTTP Basic, form-encoded
	// before base64 (RFC 6749 §2.3.1).
	AuthBasic ClientAuth = "client_secret_basic"
	// AuthPost: client_id and client_secret in the body (RFC 6749 §2.3.1).
	AuthPost ClientAuth = "client_secret_post"
	// AuthPrivateKeyJWT: a signed client_assertion (RFC 7523 §2.2, RFC 10070).
	AuthPrivateKeyJWT ClientAuth = "private_key_jwt"
	// AuthTLS: a certificate of a trusted authority, with a registered subject (RFC 8705 §2.1).
	AuthTLS ClientAuth = "tls_client_auth"
	// AuthSelfSignedTLS: a certificate that is registered itself (RFC 8705 §2.2).
	AuthSelfSignedTLS ClientAuth = "self_signed_tls_client_auth"
	// AuthAPIKey: one opaque key in a header, which identifies its client. It is
	// in no RFC, but payment platforms use it.
	AuthAPIKey ClientAuth = "api_key"
)

// AssertionTypeJWT is the client_assertion_type of a JWT (RFC 7523 §2.2).
const AssertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// AssertionTypeSPIFFE is the client_assertion_type of a JWT-SVID
// (draft-ietf-oauth-spiffe-client-auth §3.1).
const AssertionTypeSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

// TokenType says how an access token is used (RFC 6749 §7.1). It is also the
// scheme of the Authorization header that carries the token.
type TokenType string

// TokenTypeBearer is the type of a token that is used without any other proof
// (RFC 6750).
const TokenTypeBearer TokenType = "Bearer"

// ParseTokenType returns the token type that s names, without regard to case, and
// whether it is one that this package knows.
func ParseTokenType(s string) (TokenType, bool) {
	if strings.EqualFold(s, string(TokenTypeBearer)) {
		return TokenTypeBearer, true
	}
	return "", false
}
