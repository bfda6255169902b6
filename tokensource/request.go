package tokensource

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
)

// check checks scope and parameters against the profile.
func (p *plan) check() error {
	wire := &p.profile.Wire
	if len(p.scope) > 0 && wire.Meaning(platform.MeansScope) == nil {
		return fmt.Errorf("tokensource: %s takes no scope: a token gets what the client is registered for", p.profile.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(p.params)) {
		if param := wire.Param(name); param == nil || param.Means != "" {
			return fmt.Errorf("tokensource: %s has no parameter %q of its own; it has: %s", p.profile.Name, name, strings.Join(ownParams(wire), ", "))
		}
	}
	for i := range wire.Params {
		param := &wire.Params[i]
		if err := checkParam(param, p.values(param, signed{grant: "assertion", auth: "assertion"})); err != nil {
			return fmt.Errorf("tokensource: %s: parameter %q %w", p.profile.Name, param.Name, err)
		}
	}
	return nil
}

// ownParams names the parameters that RFC 6749 does not know.
func ownParams(wire *platform.Wire) []string {
	var names []string
	for _, param := range wire.Params {
		if param.Means == "" {
			names = append(names, param.Name)
		}
	}
	return names
}

// checkParam holds the values of a parameter to its limits.
func checkParam(param *platform.Param, values []string) error {
	if len(values) == 0 {
		if param.Required {
			return errors.New("is required")
		}
		return nil
	}
	switch param.Fault(values...) {
	case "":
		return nil
	case platform.WrongCount:
		if param.Type != platform.TypeStrings {
			return fmt.Errorf("has one value, not %d", len(values))
		}
		return fmt.Errorf("has at most %d values, not %d", param.MaxItems, len(values))
	case platform.Empty:
		return errors.New("has an empty value")
	case platform.Repeated:
		return errors.New("holds a value twice")
	case platform.TooLong:
		return fmt.Errorf("is longer than %d characters", param.MaxLength)
	case platform.BadChars:
		return fmt.Errorf("may hold only characters of the set %s", param.Chars)
	default:
		return fmt.Errorf("must be one of: %s", strings.Join(param.OneOf, ", "))
	}
}

// values returns the values of a parameter in this request; there may be none.
func (p *plan) values(param *platform.Param, jwt signed) []string {
	one := func(needed bool, value string) []string {
		if !needed || value == "" {
			return nil
		}
		return []string{value}
	}
	switch param.Means {
	case platform.MeansGrantType:
		return one(true, string(p.grant))
	case platform.MeansAssertion:
		return one(p.asGrant != nil, jwt.grant)
	case platform.MeansScope:
		return one(true, p.scope.String())
	case platform.MeansClientID:
		return one(p.auth.NamesClient(p.grant), p.credential.ClientID)
	case platform.MeansClientSecret:
		return one(p.auth.Has(oauth.AuthPost), p.credential.Secret)
	case platform.MeansClientAssertionType:
		return one(p.asAuth != nil, p.assertionType())
	case platform.MeansClientAssertion:
		return one(p.asAuth != nil, jwt.auth)
	default:
		return p.params[param.Name]
	}
}

// assertionType is the client_assertion_type of the client's assertion.
func (p *plan) assertionType() string {
	if p.asAuth == nil || p.asAuth.provided == nil {
		return oauth.AssertionTypeJWT
	}
	return cmp.Or(p.credential.AssertionType, oauth.AssertionTypeJWT)
}

// request builds the HTTP request of one try.
func (p *plan) request(ctx context.Context, now time.Time) (*http.Request, error) {
	signed, err := p.sign(ctx, now)
	if err != nil {
		return nil, err
	}
	for _, means := range []platform.Meaning{platform.MeansAssertion, platform.MeansClientAssertion} {
		if param := p.profile.Wire.Meaning(means); param != nil { // one that was provided may be too long
			if err := checkParam(param, p.values(param, signed)); err != nil {
				return nil, fmt.Errorf("%s: parameter %q %w", p.profile.Name, param.Name, err)
			}
		}
	}
	encode, mediaType := p.form, "application/x-www-form-urlencoded"
	wire := &p.profile.Wire
	if wire.Bodies[0] == platform.BodyJSON {
		encode, mediaType = p.json, "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(encode(signed)))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // what is sent again is signed again
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Accept", "application/json")
	if wire.Correlation.Header != "" {
		req.Header.Set(wire.Correlation.Header, p.correlation)
	}
	if p.auth.Has(oauth.AuthBasic) {
		id, secret := p.credential.ClientID, p.credential.Secret
		if wire.Basic == platform.BasicForm {
			id, secret = url.QueryEscape(id), url.QueryEscape(secret)
		}
		req.SetBasicAuth(id, secret)
	}
	p.remember(p.credential.Secret, p.credential.APIKey, strings.TrimPrefix(req.Header.Get("Authorization"), "Basic "), signed.grant, signed.auth)
	if p.auth.Has(oauth.AuthAPIKey) {
		req.Header.Set(wire.APIKey.Header, strings.TrimSpace(wire.APIKey.Scheme+" "+p.credential.APIKey))
	}
	return req, nil
}

// form encodes the parameters in the profile's order.
func (p *plan) form(jwt signed) []byte {
	var body []byte
	for i := range p.profile.Wire.Params {
		param := &p.profile.Wire.Params[i]
		for _, value := range p.values(param, jwt) {
			if len(body) > 0 {
				body = append(body, '&')
			}
			body = append(body, url.QueryEscape(param.Name)+"="+url.QueryEscape(value)...)
		}
	}
	return body
}

// json encodes the parameters as one flat object in the profile's order.
func (p *plan) json(jwt signed) []byte {
	body := []byte{'{'}
	for i := range p.profile.Wire.Params {
		param := &p.profile.Wire.Params[i]
		values := p.values(param, jwt)
		if len(values) == 0 {
			continue
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, quote(param.Name)...)
		body = append(body, ':')
		if param.Type == platform.TypeStrings {
			body = append(body, quote(values)...)
		} else {
			body = append(body, quote(values[0])...)
		}
	}
	return append(body, '}')
}

// quote is JSON of a string or strings, for which there is no error.
func quote(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}
