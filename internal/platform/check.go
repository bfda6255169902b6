package platform

import (
	"cmp"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"moneyer/internal/stricttoml"
	"moneyer/oauth"
)

const (
	defaultValueLength = 8192
	defaultItems       = 16
	maxTokenLifetime   = 24 * time.Hour
	// minAssertionLifetime is what a request takes on its way: times are in whole seconds.
	minAssertionLifetime = 10 * time.Second
	// maxParams is as many as the server's bit set of parameters holds.
	maxParams = 64
)

// setDefaults fills in what the comments of the fields promise.
func (p *Profile) setDefaults() {
	w := &p.Wire
	for i := range w.Params {
		param := &w.Params[i]
		param.Type = cmp.Or(param.Type, TypeString)
		param.MaxLength = cmp.Or(param.MaxLength, defaultValueLength)
		param.MaxItems = cmp.Or(param.MaxItems, defaultItems)
	}
	w.UnknownMembers = cmp.Or(w.UnknownMembers, UnknownRefuse)
	w.Basic, w.TokenType = cmp.Or(w.Basic, BasicForm), cmp.Or(w.TokenType, string(oauth.TokenTypeBearer))
	w.APIKey.MaxLength = cmp.Or(w.APIKey.MaxLength, 512)
	w.Correlation.MaxLength = cmp.Or(w.Correlation.MaxLength, 64)
	id := &p.Policy.ClientID
	id.MinLength, id.MaxLength, id.Chars = cmp.Or(id.MinLength, 1), cmp.Or(id.MaxLength, 128), cmp.Or(id.Chars, CharsVisible)
	p.Policy.Scope.Unknown = cmp.Or(p.Policy.Scope.Unknown, UnknownRefuse)
	p.Policy.Assertion.Kid = cmp.Or(p.Policy.Assertion.Kid, KidRequired)
	p.Policy.Assertion.Subject = cmp.Or(p.Policy.Assertion.Subject, SubjectIssuer)
	p.Policy.Assertion.Replay = cmp.Or(p.Policy.Assertion.Replay, ReplayOnce)
	for i := range p.Policy.Token.Claims {
		claim := &p.Policy.Token.Claims[i]
		claim.Type = cmp.Or(claim.Type, TypeString)
		form := &claim.Form
		form.MinLength, form.MaxLength = cmp.Or(form.MinLength, 1), cmp.Or(form.MaxLength, 1024)
	}
	p.Policy.Account.setDefaults()
	p.Demo.setDefaults(p.Name)
}

func (a *Account) setDefaults() {
	if a.Param != "" {
		a.Name = cmp.Or(a.Name, "account")
	}
	if a.Items != "" {
		a.ItemName = cmp.Or(a.ItemName, "item")
	}
}

// checker collects the first thing that is wrong.
type checker struct {
	doc *stricttoml.Document
	err error
}

// want records that key is wrong unless ok.
func (c *checker) want(ok bool, key, format string, args ...any) {
	if c.err == nil && !ok {
		c.err = c.doc.Errorf(key, format, args...)
	}
}

// oneOf records that key is wrong unless value is among the choices.
func oneOf[T ~string](c *checker, key string, value T, choices ...T) {
	if slices.Contains(choices, value) {
		return
	}
	words := make([]string, len(choices))
	for i, choice := range choices {
		words[i] = `"` + string(choice) + `"`
	}
	c.want(false, key, "%q is not known; choose from %s", string(value), strings.Join(words, ", "))
}

func (p *Profile) check(doc *stricttoml.Document) error {
	c := &checker{doc: doc}
	c.want(p.Name != "" && len(p.Name) <= 40 && isSlug(p.Name), "name", "must be 1 to 40 of a-z, 0-9 and -")
	c.want(p.Title != "", "title", "must say the platform's name for people")
	p.checkWire(c)
	p.checkParams(c)
	p.checkResponse(c)
	p.checkGrants(c)
	p.checkAssertion(c)
	p.checkScope(c)
	p.checkAccount(c)
	p.checkToken(c)
	p.checkDemo(c)
	return c.err
}

func isSlug(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (p *Profile) checkWire(c *checker) {
	w := &p.Wire
	w.checkPaths(c)
	c.want(len(w.Bodies) > 0, "wire.bodies", `must list "form", "json" or both`)
	for _, b := range w.Bodies {
		oneOf(c, "wire.bodies", b, BodyForm, BodyJSON)
	}
	oneOf(c, "wire.unknown_members", w.UnknownMembers, UnknownRefuse, UnknownIgnore)
	oneOf(c, "wire.errors", w.Errors, ErrorsRFC6749, ErrorsStatusOnly)
	oneOf(c, "wire.basic", w.Basic, BasicForm, BasicPlain)
	c.want(w.Basic == BasicForm || p.Policy.Uses(oauth.AuthBasic), "wire.basic", "is for client_secret_basic, which no grant takes")
	c.want(isToken(w.TokenType) && len(w.TokenType) <= 40, "wire.token_type", "%q is not a word of 1 to 40 characters", w.TokenType)
	p.checkCorrelation(c)
	p.checkAPIKey(c)
	for _, code := range slices.Sorted(maps.Keys(w.Status)) {
		status := w.Status[code]
		oneOf(c, "wire.status."+string(code), code, answerCodes...)
		c.want(status >= 400 && status < 600 && http.StatusText(status) != "", "wire.status."+string(code), "%d is not an HTTP error status", status)
		c.want(!code.Retryable() && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable,
			"wire.status."+string(code), "429 and 503 belong to the retryable errors alone")
		c.checkStatus(code, status)
	}
}

// answerCodes are the refusals of a token endpoint whose status a profile may set.
var answerCodes = []oauth.Code{
	oauth.InvalidRequest, oauth.InvalidClient, oauth.InvalidGrant, oauth.UnauthorizedClient, oauth.UnsupportedGrantType,
	oauth.InvalidScope, oauth.NotFound, oauth.MethodNotAllowed, oauth.TooLarge, oauth.UnsupportedMediaType, oauth.ServerError,
}

// endpointPath is plainPath for a path that may end in a slash.
func (c *checker) endpointPath(key, text string) {
	if len(text) > 2 && strings.HasSuffix(text, "/") {
		text = text[:len(text)-1]
	}
	c.plainPath(key, text)
}

// plainPath records a path that has more than one spelling in a request.
func (c *checker) plainPath(key, text string) {
	ok := len(text) > 1 && text[0] == '/' && path.Clean(text) == text && CharsVisible.Allow(text) && !strings.ContainsAny(text, `?#{}%\ `)
	c.want(ok, key, "%q must be a plain path such as /oauth2/token", text)
}

func (p *Profile) checkCorrelation(c *checker) {
	h, key := &p.Wire.Correlation, "wire.correlation"
	if h.Header == "" {
		c.want(!c.doc.Has(key), key+".header", "must name the header that ties a request to its log lines; leave [wire.correlation] out where there is none")
		return
	}
	oneOf(c, key+".chars", h.Chars, CharsVisible, CharsURLSafe, CharsDigits, CharsAny)
	c.want(isToken(h.Header), key+".header", "%q is not the name of a header", h.Header)
	c.want(!isOwnHeader(h.Header) && !strings.EqualFold(h.Header, "Authorization"), key+".header", "%q has another use in each request", h.Header)
	c.want(!p.Policy.Uses(oauth.AuthAPIKey) || !strings.EqualFold(h.Header, p.Wire.APIKey.Header), key+".header", "%q holds the API key", h.Header)
	c.want(h.MaxLength > 0 && h.MaxLength <= 256, key+".max_length", "must be 1 to 256")
}

// isToken reports whether s is a token of RFC 9110 §5.6.2, as header names and
// schemes are; of its characters the usual ones.
func isToken(s string) bool { return s != "" && CharsURLSafe.Allow(s) }

func (p *Profile) checkAPIKey(c *checker) {
	k := &p.Wire.APIKey
	if !p.Policy.Uses(oauth.AuthAPIKey) {
		return
	}
	c.want(isToken(k.Header), "wire.api_key.header", "must name the header that holds the API key")
	c.want(!isOwnHeader(k.Header), "wire.api_key.header", "%q has another use in each request", k.Header)
	c.want(k.Scheme == "" || isToken(k.Scheme), "wire.api_key.scheme", "%q is not a word that may stand before a key", k.Scheme)
	c.want(k.MaxLength > 0 && k.MaxLength <= 4096, "wire.api_key.max_length", "must be 1 to 4096")
	c.want(k.Scheme != "" && !strings.EqualFold(k.Scheme, "Basic") || !strings.EqualFold(k.Header, "Authorization") || !p.Policy.Uses(oauth.AuthBasic),
		"wire.api_key.scheme", "is needed to tell the key from Basic in the same header")
}

func (p *Profile) checkParams(c *checker) {
	seen, means := map[string]bool{}, map[Meaning]bool{}
	c.want(len(p.Wire.Params) <= maxParams, "wire.params", "has more than %d parameters", maxParams)
	for _, param := range p.Wire.Params {
		key := "wire.params"
		c.want(param.Name != "", key, "each parameter needs a name")
		c.want(!seen[param.Name], key, "%q stands twice", param.Name)
		seen[param.Name] = true
		oneOf(c, key, param.Type, TypeString, TypeStrings)
		oneOf(c, key, param.Chars, CharsAny, CharsVisible, CharsURLSafe, CharsDigits)
		c.want(param.MaxLength > 0 && param.MaxLength <= defaultValueLength, key, "%q: max_length must be 1 to %d", param.Name, defaultValueLength)
		c.want(param.MaxItems > 0 && param.MaxItems <= 100, key, "%q: max_items must be 1 to 100", param.Name)
		c.want(param.Type == TypeString || !p.Wire.Reads(BodyForm), key, "%q: a form cannot carry a list", param.Name)
		if param.Means == "" {
			continue
		}
		oneOf(c, key, param.Means, MeansGrantType, MeansAssertion, MeansScope, MeansClientID, MeansClientSecret, MeansClientAssertion, MeansClientAssertionType)
		c.want(param.Type == TypeString, key, "%q: what means %s is a string", param.Name, param.Means)
		c.want(!means[param.Means], key, "two parameters mean %q", param.Means)
		means[param.Means] = true
	}
	p.checkMeanings(c)
}

func (p *Profile) checkResponse(c *checker) {
	var token bool
	seen := map[string]bool{}
	for _, m := range p.Wire.Response {
		key := "wire.response"
		c.want(m.Name != "", key, "each member needs a name")
		c.want(!seen[m.Name], key, "%q stands twice", m.Name)
		c.want(m.Name != "error", key, `"error" makes a client read the answer as a refusal (RFC 6749 section 5.2)`)
		seen[m.Name] = true
		oneOf(c, key, m.From, FromAccessToken, FromTokenType, FromExpiresIn, FromExpiresAt, FromScope)
		oneOf(c, key, m.Type, "", TypeString, TypeNumber, TypeISO8601)
		c.want(m.Type != TypeISO8601 || m.From == FromExpiresAt, key, "%q: only expires_at can be iso8601", m.Name)
		c.want(m.Type != TypeNumber || m.From == FromExpiresAt || m.From == FromExpiresIn, key, "%q: only a time can be a number", m.Name)
		token = token || m.From == FromAccessToken
	}
	c.want(token, "wire.response", "no member holds the access_token")
}

// checkAuthSet checks the members of a set of methods, each of which has a place of its
// own on the wire.
func (p *Profile) checkAuthSet(c *checker, key string, set AuthSet) {
	for i, auth := range set {
		oneOf(c, key, auth, oauth.AuthNone, oauth.AuthBasic, oauth.AuthPost, oauth.AuthPrivateKeyJWT, oauth.AuthAPIKey, oauth.AuthTLS, oauth.AuthSelfSignedTLS)
		c.want(auth != oauth.AuthNone, key, "%s: \"none\" stands alone", set)
		c.want(!slices.Contains(set[:i], auth), key, "%s: a method stands twice", set)
		for _, m := range authParams[auth] {
			c.want(p.Wire.Meaning(m) != nil, key, "%s needs a parameter that means %q", auth, m)
		}
	}
	c.want(!set.Has(oauth.AuthTLS) || !set.Has(oauth.AuthSelfSignedTLS), key, "%s: a request shows one certificate", set)
	c.want(!set.Has(oauth.AuthBasic) || !set.Has(oauth.AuthPost), key, "%s: a request holds one client secret", set)
	c.want(!set.Has(oauth.AuthBasic) || !set.Has(oauth.AuthAPIKey) || !strings.EqualFold(p.Wire.APIKey.Header, "Authorization"), key,
		"%s: a request holds one Authorization header; wire.api_key.header must be another", set)
}

// authParams are the parameters in which a method of client authentication stands.
var authParams = map[oauth.ClientAuth][]Meaning{
	oauth.AuthPost:          {MeansClientID, MeansClientSecret},
	oauth.AuthPrivateKeyJWT: {MeansClientAssertion, MeansClientAssertionType},
}

func (p *Profile) checkGrants(c *checker) {
	key := "policy.grants"
	c.want(len(p.Policy.Grants) > 0, key, "must list at least one grant")
	for i, g := range p.Policy.Grants {
		c.want(p.Policy.Grant(g.Type) == &p.Policy.Grants[i], key, "%q stands twice", g.Type)
		oneOf(c, key, g.Type, oauth.ClientCredentials, oauth.JWTBearer)
		c.want(len(g.ClientAuth) > 0, key, "%s: client_auth must say how its clients authenticate", g.Type)
		for n, set := range g.ClientAuth {
			c.want(!slices.ContainsFunc(g.ClientAuth[:n], set.equal), key, "%s: %s stands twice", g.Type, set)
			c.want(len(set) > 0 || g.Type == oauth.JWTBearer, key, "%s: without client authentication nobody is known; only an assertion says by itself who asks", g.Type)
			p.checkAuthSet(c, key, set)
			p.checkSent(c, &p.Policy.Grants[i], set)
			c.want(len(set) > 1 || set.TLSMethod() == "" || g.Type == oauth.JWTBearer || p.Wire.Meaning(MeansClientID) != nil, key,
				"%s needs a parameter that means %q, to name the client (RFC 8705 section 2)", set, MeansClientID)
		}
		if g.Type == oauth.JWTBearer {
			c.want(p.Wire.Meaning(MeansAssertion) != nil, key, "%s needs a parameter that means \"assertion\"", g.Type)
		}
	}
	c.want(len(p.Policy.Grants) == 1 || p.Wire.Meaning(MeansGrantType) != nil, key, "several grants need a parameter that means \"grant_type\"")
	oneOf(c, "policy.client_id.chars", p.Policy.ClientID.Chars, CharsAny, CharsVisible, CharsURLSafe, CharsDigits)
	c.want(p.Policy.ClientID.MinLength > 0 && p.Policy.ClientID.MinLength <= p.Policy.ClientID.MaxLength && p.Policy.ClientID.MaxLength <= 256, "policy.client_id", "min_length must be over 0 and not pass max_length, nor that 256")
}

func (p *Profile) checkAssertion(c *checker) {
	p.checkSubject(c, "policy.assertion.subject")
	if p.Policy.Grant(oauth.JWTBearer) == nil && !p.Policy.Uses(oauth.AuthPrivateKeyJWT) {
		return
	}
	a, key := &p.Policy.Assertion, "policy.assertion."
	c.want(len(a.Algs) > 0, key+"algs", "must list the algorithms of clients' keys")
	for n := range a.Algs {
		a.Algs[n] = algName(a.Algs[n])
		oneOf(c, key+"algs", a.Algs[n], "ES256", "PS256", "RS256", "EdDSA")
	}
	oneOf(c, key+"kid", a.Kid, KidRequired, KidOptional)
	for _, claim := range a.Require {
		oneOf(c, key+"require", claim, "iss", "sub", "aud", "exp", "iat", "nbf", "jti")
	}
	for _, claim := range a.Forbid {
		oneOf(c, key+"forbid", claim, "sub", "aud", "iat", "nbf", "jti")
		c.want(!slices.Contains(a.Require, claim), key+"forbid", "%q is also in require", claim)
	}
	for _, claim := range []string{"sub", "aud"} {
		c.want(!slices.Contains(a.Forbid, claim) || !p.Policy.Uses(oauth.AuthPrivateKeyJWT), key+"forbid", "private_key_jwt needs %s (RFC 7523 section 3)", claim)
	}
	c.want(a.Subject != SubjectRegistered || !slices.Contains(a.Forbid, "sub"), key+"forbid", "subject = \"registered\" needs sub")
	c.want(len(a.Audience) > 0, key+"audience", "must say what aud may name")
	for _, kind := range a.Audience {
		oneOf(c, key+"audience", kind, AudienceIssuer, AudienceEndpoint, AudienceName)
	}
	c.want(a.MaxLifetime >= minAssertionLifetime && a.MaxLifetime <= maxTokenLifetime, key+"max_lifetime", "must be 10s to 24h")
	c.want(a.Leeway >= 0 && a.Leeway <= 5*time.Minute, key+"leeway", "must be 0 to 5m")
	oneOf(c, key+"replay", a.Replay, ReplayOnce, ReplayUntilExp, ReplaySameToken)
}

// checkSubject wants a token to say for whom it is, where that may be another than the client.
func (p *Profile) checkSubject(c *checker, key string) {
	policy := &p.Policy
	oneOf(c, key, policy.Assertion.Subject, SubjectIssuer, SubjectRegistered)
	if policy.Assertion.Subject != SubjectRegistered {
		return
	}
	c.want(policy.Grant(oauth.JWTBearer) != nil, key, "\"registered\" needs grant %q: as client authentication an assertion names the client alone", oauth.JWTBearer)
	c.want(policy.Account.Param == "", key, "\"registered\" goes without policy.account, which says for whom a token is")
	named := slices.ContainsFunc(policy.Token.Claims, func(claim Claim) bool { return claim.From == SourceSubject && claim.Release == "" })
	c.want(named, key, "\"registered\" needs a claim from %q, always there", SourceSubject)
}

func (p *Profile) checkScope(c *checker) {
	s := &p.Policy.Scope
	oneOf(c, "policy.scope.unknown", s.Unknown, UnknownRefuse, UnknownIgnore)
	oneOf(c, "policy.scope.default", s.Default, DefaultRegistered, DefaultNothing)
	c.want(s.Unknown == UnknownRefuse || len(s.Words) > 0, "policy.scope.unknown", `"ignore" needs words: without them no word is unknown`)
	tells := slices.ContainsFunc(p.Wire.Response, func(m Member) bool { return m.From == FromScope })
	c.want(s.Unknown == UnknownRefuse || tells || p.Wire.Meaning(MeansScope) == nil, "policy.scope.unknown",
		`"ignore" needs a member from "scope" in wire.response: an answer tells what of the scope was granted (RFC 6749 section 5.1)`)
	for _, word := range s.Words {
		scope, err := oauth.ParseScope(word)
		c.want(err == nil && len(scope) == 1, "policy.scope.words", "%q is not a scope word (RFC 6749 section 3.3)", word)
	}
}

func (p *Profile) checkAccount(c *checker) {
	a := p.Policy.Account
	if a.Param == "" {
		c.want(!c.doc.Has("policy.account"), "policy.account", "needs param, the parameter that names the account")
		return
	}
	param := p.Wire.Param(a.Param)
	c.want(param != nil && param.Means == "" && param.Type == TypeString && param.Required, "policy.account.param",
		"%q must be a required string of the platform's own among wire.params", a.Param)
	c.want(isNoun(a.Name), "policy.account.name", "must be 1 to 40 of a-z, 0-9, - and single blanks between words")
	if a.Items == "" {
		c.want(a.ItemName == "" && len(a.Kinds) == 0, "policy.account", "item_name and kinds need items, the parameter that lists the account's items")
		return
	}
	items := p.Wire.Param(a.Items)
	c.want(items != nil && items.Type == TypeStrings, "policy.account.items", "%q must be a list among wire.params", a.Items)
	c.want(isNoun(a.ItemName), "policy.account.item_name", "must be 1 to 40 of a-z, 0-9, - and single blanks between words")
	c.want(len(a.Kinds) > 0, "policy.account.kinds", "must list the kinds of items that are accepted")
}

// isNoun reports whether s can stand in a message to a caller.
func isNoun(s string) bool {
	return s != "" && len(s) <= 40 && isSlug(strings.ReplaceAll(s, " ", "")) && strings.Join(strings.Fields(s), " ") == s
}

// algName returns the name of an algorithm as it is known here: "Ed25519" of RFC 9864 is EdDSA.
func algName(alg string) string {
	if alg == "Ed25519" {
		return "EdDSA"
	}
	return alg
}

func (p *Profile) checkToken(c *checker) {
	t := &p.Policy.Token
	t.Alg = algName(t.Alg)
	oneOf(c, "policy.token.alg", t.Alg, "ES256", "PS256", "RS256", "EdDSA")
	c.want(t.Lifetime >= time.Second && t.Lifetime <= maxTokenLifetime, "policy.token.lifetime", "must be 1s to 24h")
	seen := map[string]bool{}
	for _, claim := range t.Claims {
		c.want(claim.Name != "", "policy.token.claims", "each claim needs a name")
		c.want(!seen[claim.Name], "policy.token.claims", "%q stands twice", claim.Name)
		seen[claim.Name] = true
		oneOf(c, "policy.token.claims", claim.Type, TypeString, TypeStrings)
		c.want(claim.From != SourceConfirmation || claim.Release == "", "policy.token.claims", "%q: has no release: a caller would leave it out by asking for less", claim.Name)
		c.want(claim.Release == "" || slices.Contains(p.Policy.Scope.Words, claim.Release), "policy.token.claims",
			"%q: release names %q, which is not among policy.scope.words", claim.Name, claim.Release)
		oneOf(c, "policy.token.claims", claim.Form.Chars, CharsAny, CharsVisible, CharsURLSafe, CharsDigits)
		c.want(claim.Form.MinLength <= claim.Form.MaxLength && claim.Form.MaxLength <= 1024, "policy.token.claims",
			"%q: the form's min_length must not pass max_length, nor that 1024", claim.Name)
		p.checkSource(c, claim)
		c.checkReadable(claim)
	}
	for _, want := range []Claim{{Name: "iss", From: SourceIssuer}, {Name: "iat", From: SourceIssuedAt}, {Name: "exp", From: SourceExpiry}, {Name: "jti", From: SourceJTI}} {
		found := t.Claim(want.Name)
		c.want(found != nil && found.From == want.From && found.Release == "", "policy.token.claims",
			"%q must be among the claims, from %q and always: without it a token cannot be checked or revoked", want.Name, want.From)
	}
}

func (p *Profile) checkSource(c *checker, claim Claim) {
	if name, ok := claim.From.Param(); ok {
		param := p.Wire.Param(name)
		c.want(param != nil && param.Means == "", "policy.token.claims", "%q: from %q names no parameter of the platform's own among wire.params", claim.Name, claim.From)
		c.want(param == nil || param.Type == claim.Type, "policy.token.claims", "%q must have the type of the parameter that it comes from", claim.Name)
		return
	}
	if name, ok := claim.From.ClientAttribute(); ok {
		c.want(name != "", "policy.token.claims", "%q: from names no attribute", claim.Name)
		return
	}
	name, ofAccount := claim.From.AccountAttribute()
	if ofAccount || claim.From == SourceAccount {
		c.want(!ofAccount || name != "", "policy.token.claims", "%q: from names no attribute", claim.Name)
		c.want(p.Policy.Account.Param != "", "policy.token.claims", "%q: from %q needs policy.account", claim.Name, claim.From)
		return
	}
	c.want(claim.Type == TypeString && !claim.Required, "policy.token.claims", "%q: from %q has a type of its own and is always there", claim.Name, claim.From)
	oneOf(c, "policy.token.claims", claim.From, SourceIssuer, SourceSubject, SourceAudience, SourceClient, SourceScope, SourceJTI, SourceIssuedAt, SourceExpiry, SourceConfirmation)
	c.want((claim.From == SourceConfirmation) == (claim.Name == "cnf"), "policy.token.claims", "%q: cnf and no other claim is from %q (RFC 7800)", claim.Name, SourceConfirmation)
}
