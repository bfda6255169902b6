package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"moneyer/internal/authority"
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
		scheme, rest, _ := strings.Cut(key, " ")
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

// basic reads "Basic base64(form(id):form(secret))" (RFC 6749 §2.3.1).
func (p *parameters) basic(values []string) error {
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return malformed("the header Authorization is repeated")
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil
	}
	id, secret, err := basicPair(rest)
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

func basicPair(encoded string) (id, secret string, err error) {
	const most = 4096
	if len(encoded) > most {
		return "", "", malformed("the Authorization header is too long")
	}
	pair, err := base64.StdEncoding.Strict().DecodeString(encoded)
	rawID, rawSecret, colon := strings.Cut(string(pair), ":")
	if err != nil || !colon {
		return "", "", malformed("the Authorization header is malformed")
	}
	id, err = url.QueryUnescape(rawID)
	if err == nil {
		secret, err = url.QueryUnescape(rawSecret)
	}
	if err != nil {
		return "", "", malformed("id and secret in Authorization must be form-encoded (RFC 6749 section 2.3.1)")
	}
	return id, secret, nil
}
