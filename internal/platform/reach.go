package platform

import (
	"net/http"
	"slices"
	"strings"

	"moneyer/oauth"
)

// What stands here refuses a profile whose parts are right by themselves, and by which no client could
// get a token, or the server could not serve something else.

// isReserved reports whether the server has another endpoint at that path below the issuer URL.
func isReserved(path string) bool {
	path = strings.TrimSuffix(path, "/")
	return slices.Contains([]string{"/check", "/introspect", "/revoke", "/revocations"}, path) ||
		strings.HasPrefix(path, "/check/") || strings.HasPrefix(path+"/", "/.well-known/")
}

func (w *Wire) checkPaths(c *checker) {
	paths := w.Paths()
	for i, path := range paths {
		key := "wire.path"
		if i > 0 {
			key = "wire.aliases"
		}
		c.endpointPath(key, path)
		c.want(!isReserved(path), key, "%q is another endpoint of the server; choose another path", path)
		c.want(!slices.Contains(paths[:i], path), key, "%q stands twice", path)
	}
}

// ownHeaders are the headers that HTTP, the request's body or a proxy needs.
var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Date", "Expect", "Forwarded", "Host",
	"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent", "X-Forwarded-For",
}

// isOwnHeader reports whether no profile can use the header for something of its own.
func isOwnHeader(name string) bool {
	return slices.Contains(ownHeaders, http.CanonicalHeaderKey(name))
}

// checkStatus: the caller's fault is told as such, and a client tries again after 502, 503 and 504.
func (c *checker) checkStatus(code oauth.Code, status int) {
	key := "wire.status." + string(code)
	if code == oauth.ServerError {
		c.want(status >= 500 && status != http.StatusBadGateway && status != http.StatusGatewayTimeout, key,
			"%d does not say that the server failed for good: choose from 500 to 599 without 502, 503 and 504", status)
		return
	}
	c.want(status < 500, key, "%d blames the server for a fault of the caller: choose from 400 to 499", status)
}

// shortestAssertion is the length of a small signed assertion with an RSA key, in bytes.
const shortestAssertion = 1024

// checkMeanings holds each parameter of RFC 6749 and RFC 7521 to the values that it must carry.
func (p *Profile) checkMeanings(c *checker) {
	for i := range p.Wire.Params {
		param := &p.Wire.Params[i]
		key := "wire.params"
		for _, value := range param.OneOf {
			alone := *param
			alone.OneOf = nil
			c.want(alone.Fault(value) == "", key, "%q: %q in one_of is longer than max_length, not of chars, or empty", param.Name, value)
		}
		for _, value := range p.carried(param.Means) {
			c.want(param.Fault(value) == "", key, "%q must be able to carry %q: see max_length, chars and one_of", param.Name, value)
		}
		switch param.Means {
		case MeansAssertion, MeansClientAssertion:
			c.want(param.MaxLength >= shortestAssertion && (param.Chars == CharsAny || param.Chars == CharsVisible) && len(param.OneOf) == 0, key,
				"%q carries a signed JWT: max_length must be at least %d, chars \"\" or \"visible\", and one_of empty", param.Name, shortestAssertion)
		case MeansClientID:
			id := &p.Policy.ClientID
			c.want(param.MaxLength >= id.MaxLength && param.Chars.covers(id.Chars) && len(param.OneOf) == 0, key,
				"%q must be able to carry each client id: see policy.client_id", param.Name)
		case MeansScope:
			p.checkScopeParam(c, param)
		}
	}
}

// carried lists the values that requests must be able to give a parameter.
func (p *Profile) carried(m Meaning) (values []string) {
	switch m {
	case MeansGrantType:
		for i := range p.Policy.Grants {
			values = append(values, string(p.Policy.Grants[i].Type))
		}
	case MeansClientAssertionType:
		values = []string{oauth.AssertionTypeJWT}
	}
	return values
}

// covers reports whether every text of the other set is one of this set.
func (c Chars) covers(other Chars) bool {
	rank := []Chars{CharsDigits, CharsURLSafe, CharsVisible, CharsAny}
	return slices.Index(rank, c) >= slices.Index(rank, other)
}

// checkScopeParam: each word of the platform can be asked for, and each value that may be sent is a scope.
func (p *Profile) checkScopeParam(c *checker, param *Param) {
	s, key := &p.Policy.Scope, "wire.params"
	for _, word := range s.Words {
		c.want(param.Chars.Allow(word) && len(word) <= param.MaxLength, key, "%q must be able to carry the scope word %q: see max_length and chars", param.Name, word)
	}
	for _, value := range param.OneOf {
		scope, err := oauth.ParseScope(value)
		c.want(err == nil, key, "%q: %q in one_of is no scope (RFC 6749 section 3.3)", param.Name, value)
		word := scope.Missing(s.Words)
		c.want(len(s.Words) == 0 || s.Unknown == UnknownIgnore || word == "", key, "%q: %q in one_of is not among policy.scope.words, so it would always be refused", param.Name, word)
	}
}

// checkSent: a required parameter stands in the requests of each set of methods.
func (p *Profile) checkSent(c *checker, grant *Grant, set AuthSet) {
	sent := map[Meaning]bool{
		"": true, MeansGrantType: true, MeansScope: true,
		MeansAssertion:           grant.Type == oauth.JWTBearer,
		MeansClientID:            set.NamesClient(grant.Type),
		MeansClientSecret:        set.Has(oauth.AuthPost),
		MeansClientAssertion:     set.Has(oauth.AuthPrivateKeyJWT),
		MeansClientAssertionType: set.Has(oauth.AuthPrivateKeyJWT),
	}
	for i := range p.Wire.Params {
		param := &p.Wire.Params[i]
		c.want(!param.Required || sent[param.Means], "wire.params", "%q must not be required: a request of %s by %s has none", param.Name, grant.Type, set)
	}
}

// NamesClient reports whether a request has client_id where the profile has it: with client_secret_post,
// with a certificate (RFC 8705 §2), and beside an assertion (RFC 7521 §4.1, §4.2). In a header the client is named there.
func (s AuthSet) NamesClient(grant oauth.GrantType) bool {
	asserts := grant == oauth.JWTBearer || s.Has(oauth.AuthPrivateKeyJWT)
	return s.Has(oauth.AuthPost) || s.TLSMethod() != "" || asserts && !s.Has(oauth.AuthBasic)
}

// checkReadable: what reads a token (RFC 9068 §4) finds under a registered name what RFC 7519 has there.
func (c *checker) checkReadable(claim Claim) {
	isText := claim.Type == TypeString && claim.From != SourceIssuedAt && claim.From != SourceExpiry && claim.From != SourceConfirmation
	key := "policy.token.claims"
	switch claim.Name {
	case "nbf":
		c.want(false, key, `"nbf" is a time (RFC 7519 section 4.1.5), for which there is no source; a token is good at once`)
	case "sub", "client_id":
		c.want(isText, key, "%q must be a string (RFC 9068 section 2.2)", claim.Name)
	case "scope":
		c.want(claim.From == SourceScope, key, `"scope" must be from "scope" (RFC 9068 section 2.2.3)`)
	case "aud":
		c.want(isText || claim.Type == TypeStrings, key, `"aud" must be a string or strings (RFC 7519 section 4.1.3)`)
	}
}
