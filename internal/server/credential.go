package server

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"moneyer/oauth"
)

// authenticate finds the one way in which the client shows who it is. Two ways
// at once are refused (RFC 6749 §2.3).
func (p *parameters) authenticate(h http.Header) error {
	req := &p.req
	req.Auth = oauth.AuthNone
	if req.Secret != "" {
		req.Auth = oauth.AuthPost
	}
	if req.ClientAssertion != "" || p.assertionType != "" {
		if req.Auth != oauth.AuthNone {
			return twoWays()
		}
		if p.assertionType != oauth.AssertionTypeJWT || req.ClientAssertion == "" {
			return malformed("client_assertion and the client_assertion_type of a JWT belong together")
		}
		req.Auth = oauth.AuthPrivateKeyJWT
	}
	if p.wire.takesAPIKey {
		if err := p.apiKey(h.Values(p.wire.apiKey)); err != nil {
			return err
		}
	}
	if p.wire.takesBasic {
		return p.basic(h.Values("Authorization"))
	}
	return nil
}

func twoWays() error {
	return malformed("the client must authenticate in one way only")
}

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
		return malformed("the API key is longer than %d octets", p.wire.APIKey.MaxLength)
	}
	if key == "" {
		return nil
	}
	if p.req.Auth != oauth.AuthNone {
		return twoWays()
	}
	p.req.Auth, p.req.Secret = oauth.AuthAPIKey, key
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
	if p.req.Auth != oauth.AuthNone {
		return twoWays()
	}
	id, secret, err := basicPair(rest)
	if err != nil {
		return err
	}
	if p.req.ClientID != "" && p.req.ClientID != id {
		return malformed("client_id differs from the one in Authorization")
	}
	p.req.Auth, p.req.ClientID, p.req.Secret = oauth.AuthBasic, id, secret
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
