// Package platform is the definition of a profile: it describes a payment platform's token endpoint as data: its
// Wire (the HTTP shape) and its Policy (what is accepted and what is granted).
// The built-in platforms are the TOML files in profile/builtin; an operator's own
// file goes through the same strict parser. One profile drives both the server
// that plays the platform and the client that calls it.
//
// It is not a template language: each dimension is a closed list, there are no
// expressions and no plug-ins, and no platform has Go code of its own. It does
// no I/O beyond reading a profile and holds no state of an issuer.
//
// RFC 6749 (§3.2, §5), RFC 7521, RFC 7523, RFC 9068.
package platform

import (
	"time"

	"moneyer/oauth"
)

// Profile is one platform's token endpoint. Obtain it from Builtin, Load or
// Parse, which check it; it is read-only afterwards.
type Profile struct {
	// Name is how configuration and commands call the profile: [a-z0-9-], 1 to 40 bytes.
	Name string `toml:"name"`
	// Title is the platform's name for people.
	Title string `toml:"title"`
	// Wire is the shape of the request and of its answers.
	Wire Wire `toml:"wire"`
	// Policy is what is accepted and granted.
	Policy Policy `toml:"policy"`
	// Demo is what a sandbox registers to try the platform; optional.
	Demo Demo `toml:"demo"`
}

// Wire is the HTTP shape of a token endpoint.
type Wire struct {
	// Path of the endpoint below the issuer URL, with a leading slash. One at its end belongs to it:
	// /token/ and /token are two paths.
	Path string `toml:"path"`
	// Aliases are further paths that answer alike.
	Aliases []string `toml:"aliases"`
	// Bodies that the endpoint reads. A client sends the first.
	Bodies []Body `toml:"bodies"`
	// UnknownMembers of a JSON body are refused or ignored. Unknown form
	// parameters are always ignored (RFC 6749 §3.2).
	UnknownMembers Unknown `toml:"unknown_members"`
	// Params are the parameters that the endpoint knows, in the order in which a
	// client sends them.
	Params []Param `toml:"params"`
	// Basic says how id and secret stand in an Authorization header; "" means "form".
	Basic BasicEncoding `toml:"basic"`
	// APIKey says where an API key stands; for profiles that use one.
	APIKey APIKey `toml:"api_key"`
	// Correlation is the header that ties a request to its log lines; optional.
	Correlation Correlation `toml:"correlation"`
	// TokenType is the text of an answer's token_type; "" means "Bearer". A client takes it, in any case,
	// beside Bearer, and uses the token as one of that type.
	TokenType string `toml:"token_type"`
	// Response lists the members of a successful answer, in order.
	Response []Member `toml:"response"`
	// Errors is the style of a refusal's body.
	Errors ErrorStyle `toml:"errors"`
	// Status replaces the usual HTTP status of an error code.
	Status map[oauth.Code]int `toml:"status"`
}

// Body is a media type of a token request.
type Body string

// The bodies.
const (
	BodyForm Body = "form" // application/x-www-form-urlencoded (RFC 6749 §4.4.2)
	BodyJSON Body = "json" // application/json, one flat object
)

// BasicEncoding says what is encoded in base64 for HTTP Basic authentication.
type BasicEncoding string

// The encodings.
const (
	BasicForm  BasicEncoding = "form"  // id and secret form-encoded before they are joined (RFC 6749 §2.3.1)
	BasicPlain BasicEncoding = "plain" // id and secret as they are (RFC 7617)
)

// Unknown says what happens to what a profile does not list.
type Unknown string

// The treatments of the unknown.
const (
	UnknownRefuse Unknown = "refuse"
	UnknownIgnore Unknown = "ignore"
)

// Param is one request parameter.
type Param struct {
	// Name on the wire.
	Name string `toml:"name"`
	// Means ties the parameter to a word of RFC 6749 or RFC 7521; empty means
	// the parameter is the platform's own and serves as "param.NAME" in claims.
	Means Meaning `toml:"means"`
	// Type of a JSON value; form parameters are always strings.
	Type ValueType `toml:"type"`
	// Required parameters must be there and not empty.
	Required bool `toml:"required"`
	// MaxLength of the value, or of each value of a list, in characters, as platforms count; 0 means 8192.
	MaxLength int `toml:"max_length"`
	// MaxItems of a list; 0 means 16. Items are distinct and there is at least one.
	MaxItems int `toml:"max_items"`
	// Chars that a value may hold.
	Chars Chars `toml:"chars"`
	// OneOf lists the only values; empty means any.
	OneOf []string `toml:"one_of"`
}

// Meaning is what a parameter is for.
type Meaning string

// The meanings that the server and the client act on.
const (
	MeansGrantType           Meaning = "grant_type"
	MeansAssertion           Meaning = "assertion"
	MeansScope               Meaning = "scope"
	MeansClientID            Meaning = "client_id"
	MeansClientSecret        Meaning = "client_secret"
	MeansClientAssertion     Meaning = "client_assertion"
	MeansClientAssertionType Meaning = "client_assertion_type"
)

// ValueType is the JSON type of a parameter, claim or member.
type ValueType string

// The value types. The zero value stands for String in parameters and claims,
// and for the natural type in answers.
const (
	TypeString  ValueType = "string"
	TypeStrings ValueType = "strings"
	TypeNumber  ValueType = "number"
	// ISO8601 is a time as 2006-01-02T15:04:05.000Z.
	TypeISO8601 ValueType = "iso8601"
)

// Chars is a set of characters. The zero value allows every character that the
// body's encoding can carry.
type Chars string

// The character sets.
const (
	CharsAny     Chars = ""
	CharsURLSafe Chars = "url-safe" // A-Z a-z 0-9 - _
	CharsDigits  Chars = "digits"   // 0-9
	CharsVisible Chars = "visible"  // %x20-7E
)

// APIKey is a header that holds an opaque key: "NAME: SCHEME key".
type APIKey struct {
	Header string `toml:"header"`
	// Scheme before the key, compared without case (RFC 9110 §11.1); empty means
	// that the header holds the key alone.
	Scheme string `toml:"scheme"`
	// MaxLength of the key, in bytes; 0 means 512.
	MaxLength int `toml:"max_length"`
}

// Correlation is the header that carries the caller's name for the request. It
// is echoed, logged, and made up when it is absent.
type Correlation struct {
	// Header is the header's name. Without one a client sends no such name, and the server's own
	// stands in its log alone.
	Header    string `toml:"header"`
	Required  bool   `toml:"required"`
	MaxLength int    `toml:"max_length"` // in bytes; 0 means 64
	Chars     Chars  `toml:"chars"`
}

// Member is one member of a successful answer.
type Member struct {
	Name string `toml:"name"`
	// From is what the member holds.
	From ResponseValue `toml:"from"`
	// Type is the JSON type; empty means the natural one.
	Type ValueType `toml:"type"`
}

// ResponseValue names a value of an answer.
type ResponseValue string

// What an answer can hold.
const (
	FromAccessToken ResponseValue = "access_token"
	FromTokenType   ResponseValue = "token_type" // the text of Wire.TokenType
	FromExpiresIn   ResponseValue = "expires_in" // seconds; number or string
	FromExpiresAt   ResponseValue = "expires_at" // number (NumericDate), string of it, or iso8601
	FromScope       ResponseValue = "scope"      // left out when none was asked for and none granted
)

// ErrorStyle is the shape of a refusal.
type ErrorStyle string

// The error styles.
const (
	// RFC6749: a JSON object with error and error_description (§5.2).
	ErrorsRFC6749 ErrorStyle = "rfc6749"
	// StatusOnly: the HTTP status says it all, the body is empty.
	ErrorsStatusOnly ErrorStyle = "status"
)

// Policy is what a token endpoint accepts and grants.
type Policy struct {
	// ClientID is the form of the platform's client identifiers.
	ClientID Identifier `toml:"client_id"`
	// Grants that the endpoint serves. Without a parameter that means
	// grant_type there is exactly one.
	Grants []Grant `toml:"grants"`
	// Assertion is what a signed JWT must look like, as a grant or as client
	// authentication.
	Assertion Assertion `toml:"assertion"`
	// Scope says what of a client's registered scope a token gets.
	Scope Scope `toml:"scope"`
	// Account ties a request to an account and its items; optional.
	Account Account `toml:"account"`
	// Token is the access token.
	Token Token `toml:"token"`
}

// Identifier bounds a text that is given at onboarding.
type Identifier struct {
	MinLength int   `toml:"min_length"` // 0 means 1
	MaxLength int   `toml:"max_length"` // 0 means 128, of an attribute 1024
	Chars     Chars `toml:"chars"`
}

// Grant is a grant type and the ways in which its clients authenticate.
type Grant struct {
	Type oauth.GrantType `toml:"type"`
	// ClientAuth lists sets of methods of client authentication. A request shows all
	// members of one of them, and all name the same client.
	ClientAuth []AuthSet `toml:"client_auth"`
}

// Assertion is the policy for signed JWTs (RFC 7523 §3).
type Assertion struct {
	// Algs that a client's key may have. The key's own algorithm rules, never
	// the header's.
	Algs []string `toml:"algs"`
	// Kid is "required", or "optional": without one, a client's only key is meant.
	Kid Presence `toml:"kid"`
	// Require lists the claims that must be there, from iss sub aud exp iat nbf
	// jti. iss and exp always must.
	Require []string `toml:"require"`
	// Forbid lists the claims that must not be there, from sub aud iat nbf jti: a client leaves
	// them out, and the server refuses an assertion with one of them.
	Forbid []string `toml:"forbid"`
	// Subject says whom sub may name: "issuer", the client itself, or "registered", also
	// one of the subjects that are registered with the client.
	Subject SubjectKind `toml:"subject"`
	// Audience lists what aud may be when the assertion is a grant. As client
	// authentication it is the issuer URL alone (RFC 10070).
	Audience []AudienceKind `toml:"audience"`
	// MaxLifetime bounds exp by the server's clock.
	MaxLifetime time.Duration `toml:"max_lifetime"`
	// Leeway forgives clock differences.
	Leeway time.Duration `toml:"leeway"`
	// Replay says what a second use of the same assertion gets; an issuer may
	// choose another.
	Replay Replay `toml:"replay"`
}

// Horizon returns how far ahead the end of an accepted assertion may be, with its leeway:
// so long after it was accepted it is refused as expired.
func (a *Assertion) Horizon() time.Duration { return a.MaxLifetime + 2*a.Leeway }

// issuedBack is how far back a client sets iat: a server whose clock is a little behind refuses an
// assertion of the future.
const issuedBack = 5 * time.Second

// Times returns the times of an assertion that a client signs now: iat and nbf, which are zero where they
// are left out, and exp, which is the lifetime after iat, or MaxLifetime if that is less.
func (a *Assertion) Times(now time.Time, lifetime time.Duration) (issued, notBefore, expiry time.Time) {
	lifetime = min(lifetime, a.MaxLifetime)
	start := now
	if lifetime >= 4*issuedBack { // of a shorter life, too little would be left
		start = now.Add(-issuedBack)
	}
	expiry = start.Add(lifetime)
	if !a.Forbids("iat") {
		issued = start
	}
	if a.Requires("nbf") {
		notBefore = start
	}
	return issued, notBefore, expiry
}

// Presence says whether something must be there.
type Presence string

// The presences.
const (
	KidRequired Presence = "required"
	KidOptional Presence = "optional"
)

// SubjectKind is whom an assertion's sub may name.
type SubjectKind string

// The kinds of subjects.
const (
	SubjectIssuer     SubjectKind = "issuer"
	SubjectRegistered SubjectKind = "registered"
)

// AudienceKind is something that an assertion's aud may name.
type AudienceKind string

// The audience kinds.
const (
	AudienceIssuer   AudienceKind = "issuer"   // the issuer URL
	AudienceEndpoint AudienceKind = "endpoint" // the URL of the token endpoint, or an alias
	AudienceName     AudienceKind = "name"     // one of the issuer's audience names
)

// Replay is the treatment of an assertion that comes again.
type Replay string

// The replay modes.
const (
	// Once: an assertion is good for one token.
	ReplayOnce Replay = "once"
	// UntilExp: an assertion is good for any number of tokens until it expires.
	ReplayUntilExp Replay = "until-exp"
	// SameToken: the same assertion gives the same token again, for clients that
	// retry over bad links.
	ReplaySameToken Replay = "same-token"
)

// Scope says how the granted scope comes about.
type Scope struct {
	// Words that the platform knows; empty means that any word may be registered.
	Words []string `toml:"words"`
	// Unknown words of a request are refused or ignored (dropped).
	Unknown Unknown `toml:"unknown"`
	// Default is what a request gets that asks for nothing: all that the client
	// is registered for, or nothing.
	Default ScopeDefault `toml:"default"`
}

// ScopeDefault is the scope of a request that asks for none.
type ScopeDefault string

// The default scopes.
const (
	DefaultRegistered ScopeDefault = "registered"
	DefaultNothing    ScopeDefault = "nothing"
)

// Account names the parameters that hold an account and its items. Each item must be
// of one of the kinds and belong to that account, and the account to the client that
// asks.
type Account struct {
	// Name is how the people of the platform call an account, such as "merchant", in
	// messages; empty means "account".
	Name string `toml:"name"`
	// Param holds the account. Without it the platform has no accounts.
	Param string `toml:"param"`
	// Items is the list that holds the account's items; optional.
	Items string `toml:"items"`
	// ItemName is how they call an item, such as "card token"; empty means "item".
	ItemName string `toml:"item_name"`
	// Kinds of items that are accepted, in lower case, such as "visa".
	Kinds []string `toml:"kinds"`
}

// Token is the access token.
type Token struct {
	Alg string `toml:"alg"`
	Typ string `toml:"typ"`
	// Lifetime is how long a token is good; an issuer may choose another.
	Lifetime time.Duration `toml:"lifetime"`
	// FixedLifetime is set where the platform's documentation promises exactly that lifetime: callers may
	// count on it without looking at the answer.
	FixedLifetime bool `toml:"fixed_lifetime"`
	// Claims in the order in which they stand in the token.
	Claims []Claim `toml:"claims"`
}

// Claim is one claim of an access token.
type Claim struct {
	Name string `toml:"name"`
	// From is one of: issuer, subject, audience, client, scope, jti, iat, exp,
	// confirmation, account, client.ATTRIBUTE, account.ATTRIBUTE, param.NAME.
	From Source `toml:"from"`
	// Type of an attribute or parameter: string or strings.
	Type ValueType `toml:"type"`
	// Release names the scope word without which the claim is left out.
	Release string `toml:"release"`
	// Required attributes must be registered, or no token is minted. Others are
	// left out when they are absent.
	Required bool `toml:"required"`
	// Form bounds the texts of an attribute that is given at onboarding.
	Form Identifier `toml:"form"`
}

// Source says where a claim's value comes from.
type Source string

// The sources that stand for themselves.
const (
	SourceIssuer   Source = "issuer"   // the issuer URL
	SourceSubject  Source = "subject"  // who the token is about: the assertion's sub, else the client
	SourceAudience Source = "audience" // the issuer's resource audience
	SourceClient   Source = "client"   // the client's identifier
	SourceScope    Source = "scope"    // the granted scope; left out when empty
	SourceJTI      Source = "jti"
	SourceIssuedAt Source = "iat"
	SourceExpiry   Source = "exp"
	SourceAccount  Source = "account" // the account's identifier
	// SourceConfirmation is what the token is bound to (RFC 7800); left out when it is
	// bound to nothing.
	SourceConfirmation Source = "confirmation"
)

// The prefixes of sources that name an attribute or a parameter.
const (
	clientAttribute  = "client."
	accountAttribute = "account."
	paramValue       = "param."
)
