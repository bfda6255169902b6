package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/oauth"
)

// authenticate collects what the client shows to authenticate. More at once than the
// profile lists together is refused (RFC 6749 §2.3).
func (p *parameters) authenticate(h http.Header) error {
	if p.secret != "" {
		p.show(authority.Credential{Method: oauth.AuthPost, ID: p.req.ClientID, Secret: p.secret})
	}
	if p.assertion != "" || p.assertionType != "" {
		known := p.assertionType == oauth.AssertionTypeJWT || p.wire.takesSVID && p.assertionType == oauth.AssertionTypeSPIFFE
		if !known || p.assertion == "" {
			return malformed("client_assertion and the client_assertion_type of a JWT belong together")
		}
		p.show(authority.Credential{Method: oauth.AuthPrivateKeyJWT, Assertion: p.assertion, AssertionType: p.assertionType})
	}
	if p.wire.takesAPIKey {
		if err := p.apiKey(h.Values(p.wire.apiKey)); err != nil {
			return err
		}
	}
	if p.wire.takesBasic {
		if err := p.basic(h.Values("Authorization")); err != nil {
			return err
		}
	}
	switch most := p.wire.mostCredentials; {
	case len(p.req.Credentials) <= most:
		return nil
	case most == 1:
		return malformed("the client must authenticate in one way only")
	default:
		return malformed("the client must authenticate in at most %d ways", most)
	}
}

func (p *parameters) show(c authority.Credential) { p.req.Credentials = append(p.req.Credentials, c) }

// apiKey reads "SCHEME key". A header without a key, or of another scheme, is no
// authentication at all.
func (p *parameters) apiKey(values []string) error {
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return malformed("the header %s is repeated", p.wire.APIKey.Header)
	}
	key := values[0]
	if want := p.wire.APIKey.Scheme; want != "" {
		scheme, rest := splitScheme(key)
		if !strings.EqualFold(scheme, want) {
			return nil
		}
		key = rest
	}
	if len(key) > p.wire.APIKey.MaxLength {
		return malformed("the API key is longer than %d bytes", p.wire.APIKey.MaxLength)
	}
	if key == "" {
		return nil
	}
	p.show(authority.Credential{Method: oauth.AuthAPIKey, APIKey: key})
	return nil
}

// basic reads "Basic base64(id:secret)" (RFC 6749 §2.3.1, RFC 7617).
func (p *parameters) basic(values []string) error {
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return malformed("the header Authorization is repeated")
	}
	scheme, rest := splitScheme(values[0])
	if !strings.EqualFold(scheme, "Basic") {
		return nil
	}
	id, secret, err := basicPair(rest, p.wire.Basic)
	if err != nil {
		return err
	}
	if p.req.ClientID != "" && p.req.ClientID != id {
		return malformed("client_id differs from the one in Authorization")
	}
	p.req.ClientID = id
	p.show(authority.Credential{Method: oauth.AuthBasic, ID: id, Secret: secret})
	return nil
}

// splitScheme splits the credentials of an Authorization header: any number of spaces may follow the
// scheme (RFC 9110 §11.4).
func splitScheme(value string) (scheme, rest string) {
	scheme, rest, _ = strings.Cut(value, " ")
	return scheme, strings.TrimLeft(rest, " ")
}

// basicPair reads id and secret in the profile's encoding. Where that is form-encoding, a pair that is
// not form-encoded is taken as it is: a stray % shows a client that does not encode.
func basicPair(encoded string, encoding platform.BasicEncoding) (id, secret string, err error) {
	const most = 4096
	if len(encoded) > most {
		return "", "", malformed("the Authorization header is too long")
	}
	pair, err := base64.StdEncoding.Strict().DecodeString(encoded)
	rawID, rawSecret, colon := strings.Cut(string(pair), ":")
	if err != nil || !colon {
		return "", "", malformed("the Authorization header is malformed")
	}
	if encoding == platform.BasicPlain {
		return rawID, rawSecret, nil
	}
	id, errID := url.QueryUnescape(rawID)
	secret, errSecret := url.QueryUnescape(rawSecret)
	if errID != nil || errSecret != nil {
		return rawID, rawSecret, nil
	}
	return id, secret, nil
}
