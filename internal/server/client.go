package server

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// The endpoints that a client calls beside the token endpoint. Their wire is the
// RFCs' own, whatever the profile's is.
const (
	revokePath     = "/revoke"     // RFC 7009
	introspectPath = "/introspect" // RFC 7662, RFC 9701
)

// tokenEndpoint is a clientEndpoint whose form has a token.
func (e *endpoint) tokenEndpoint(name string) *endpoint {
	of := e.clientEndpoint(name)
	of.wire.Params = append(of.wire.Params,
		platform.Param{Name: "token", Type: platform.TypeString, Required: true, MaxLength: 8192},
		platform.Param{Name: "token_type_hint", Type: platform.TypeString, MaxLength: 64})
	return of
}

// clientEndpoint is an endpoint with the wire of RFC 7009 and RFC 7662: a form, and the
// client authentication that the issuer's clients have.
func (e *endpoint) clientEndpoint(name string) *endpoint {
	p := e.issuer.Profile
	correlation := p.Wire.Correlation
	correlation.Required = false
	return &endpoint{Server: e.Server, name: name, issuer: e.issuer, wire: &wire{
		Wire: &platform.Wire{
			Bodies: []platform.Body{platform.BodyForm}, Errors: platform.ErrorsRFC6749, Correlation: correlation, Basic: p.Wire.Basic, APIKey: p.Wire.APIKey,
			Params: []platform.Param{
				{Name: "client_id", Means: platform.MeansClientID, Type: platform.TypeString, MaxLength: 256},
				{Name: "client_secret", Means: platform.MeansClientSecret, Type: platform.TypeString, MaxLength: 1024},
				{Name: "client_assertion_type", Means: platform.MeansClientAssertionType, Type: platform.TypeString, MaxLength: 256},
				{Name: "client_assertion", Means: platform.MeansClientAssertion, Type: platform.TypeString, MaxLength: 8192},
			},
		},
		grant:       oauth.ClientCredentials, // there is no grant_type to miss
		correlation: e.wire.correlation, apiKey: e.wire.apiKey,
		takesBasic: p.Policy.Uses(oauth.AuthBasic), takesAPIKey: p.Policy.Uses(oauth.AuthAPIKey), takesSVID: e.issuer.TrustsSPIFFE(),
		mostCredentials: p.Policy.MostCredentials(), certificates: e.wire.certificates,
	}}
}

// revoke lets a client give a token back (RFC 7009 §2).
func (e *endpoint) revoke(w http.ResponseWriter, r *http.Request) {
	c := e.newCall(w, r)
	defer c.end()
	ctx, err := c.begin()
	if err == nil {
		err = e.Authority.Revoke(ctx, e.issuer, c.req, c.req.Param("token").Text)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.grant(nil, nil)
}

// introspectionType is the media type of a signed answer (RFC 9701 §5).
const introspectionType = "token-introspection+jwt"

// introspect answers a client's question about a token (RFC 7662 §2), in JSON or, when it asks
// so, in a signed JWT (RFC 9701).
func (e *endpoint) introspect(w http.ResponseWriter, r *http.Request) {
	c := e.newCall(w, r)
	defer c.end()
	ctx, err := c.begin()
	if err != nil {
		c.fail(err)
		return
	}
	found, err := e.Authority.IntrospectFor(ctx, e.issuer, c.req, c.req.Param("token").Text)
	if err != nil {
		c.fail(err)
		return
	}
	body, contentType := appendIntrospection(nil, found.Token, found.AsOf), jsonType
	if accepts(r.Header, introspectionType) {
		if body, err = e.signIntrospection(body, found.Caller); err != nil {
			c.fail(err)
			return
		}
		contentType = []string{"application/" + introspectionType}
	}
	c.grant(contentType, body)
}

// accepts reports whether the Accept header lists the media type with a weight over
// zero (RFC 9110 §12.4.2).
func accepts(h http.Header, mediaType string) bool {
	for _, value := range h.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			name, params, err := mime.ParseMediaType(part)
			weight, weighed := params["q"]
			if err == nil && name == "application/"+mediaType && (!weighed || strings.Trim(weight, "0.") != "") {
				return true
			}
		}
	}
	return false
}

// appendIntrospection appends the answer of RFC 7662 §2.2: what the token says,
// and for whom it was minted. A token that is not active says no more than that.
// While the store is unavailable, as_of is the time until which the answer is surely
// right, as a NumericDate (RFC 7519 §2).
func appendIntrospection(dst []byte, t *authority.ActiveToken, asOf time.Time) []byte {
	active := t != nil
	dst = append(dst, `{"active":`...)
	dst = strconv.AppendBool(dst, active)
	if !asOf.IsZero() {
		dst = append(dst, `,"as_of":`...)
		dst = strconv.AppendInt(dst, asOf.Unix(), 10)
	}
	if !active {
		return append(dst, '}')
	}
	dst = append(dst, `,"token_type":`...)
	dst = strictjson.AppendString(dst, string(t.Type))
	if t.Client != "" {
		dst = append(dst, `,"client_id":`...)
		dst = strictjson.AppendString(dst, t.Client)
	}
	_ = strictjson.Object(t.Payload, strictjson.Limits{}, func(name string, v strictjson.Value) error {
		switch name {
		case "active", "as_of", "token_type", "client_id":
			return nil
		}
		dst = append(dst, ',')
		dst = strictjson.AppendString(dst, name)
		dst = append(dst, ':')
		dst = append(dst, v.Raw()...)
		return nil
	})
	return append(dst, '}')
}

// signIntrospection makes the JWT of RFC 9701 §5 for the client that asked.
func (e *endpoint) signIntrospection(answer []byte, caller string) ([]byte, error) {
	now := e.Now()
	signer, err := e.Keyring.Signer(e.issuer.Name, now)
	if err != nil {
		return nil, tryAgain(err)
	}
	claims := append([]byte(`{"iss":`), strictjson.AppendString(nil, e.issuer.URL)...)
	claims = append(claims, `,"aud":`...)
	claims = strictjson.AppendString(claims, caller)
	claims = append(claims, `,"iat":`...)
	claims = strconv.AppendInt(claims, now.Unix(), 10)
	claims = append(claims, `,"token_introspection":`...)
	claims = append(append(claims, answer...), '}')
	signed, err := signer.As(introspectionType).SignDocument(claims) // longer than the token that it tells of
	if err != nil {
		return nil, tryAgain(err)
	}
	return signed, nil
}
