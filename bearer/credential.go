package bearer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"moneyer/internal/secrettext"
	"moneyer/oauth"
)

// Credential authenticates an API as a client of its issuer, where the issuer shows
// its list of revocations to such clients alone: in one of the ways, or sets of
// them, in which clients authenticate for introspection (RFC 7662 §2.1). The zero Credential is none. It is
// printed without what is secret.
type Credential struct {
	// ClientID and Secret are sent as HTTP Basic (RFC 6749 §2.3.1), or in the form of a
	// POST if Post is set, for issuers that do not take Basic.
	ClientID, Secret string
	Post             bool
	// Header is sent with each request. It is for an API key: Authorization with
	// "APIKEY" and the key, or as the issuer's profile says.
	Header http.Header
	// Certificate says that the client certificate which the HTTPClient shows
	// authenticates the client (RFC 8705 §2), by itself or beside a secret or assertion:
	// ClientID is sent in the form of a POST. Beside Basic or a Header that names the
	// client it may stay unset, which keeps the request a GET.
	Certificate bool
	// Assertion makes a new JWT for each request, as the client's authentication (RFC
	// 7523 §2.2): of package assertion with typ "client-authentication+jwt", iss and sub
	// the client and aud the issuer URL. It is called from one goroutine at a time.
	Assertion func(context.Context) (string, error)
}

// request makes the request for a document. It is a GET unless the credential is sent
// in a form; then the answer is never "not modified".
func (c *Credential) request(ctx context.Context, location string, header http.Header) (*http.Request, error) {
	form, err := c.form(ctx)
	if err != nil {
		return nil, err
	}
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, location, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	for name, values := range c.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if form != nil {
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		header.Del("If-None-Match") // it has no meaning for a POST (RFC 9110 §13.1.2)
	}
	if c.Secret != "" && !c.Post {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
	}
	return req, nil
}

// form returns what is sent in a form, or nil.
func (c *Credential) form(ctx context.Context) (url.Values, error) {
	form := url.Values{}
	if c.Secret != "" {
		if err := secrettext.Check(c.Secret); err != nil {
			return nil, fmt.Errorf("bearer: Credential.Secret cannot be a secret: %w", err)
		}
	}
	switch {
	case c.Certificate && c.ClientID == "":
		return nil, errors.New("bearer: Credential has Certificate and no ClientID")
	case c.Assertion != nil && c.Secret != "":
		return nil, errors.New("bearer: Credential has both Secret and Assertion")
	case c.Assertion != nil:
		jwt, err := c.Assertion(ctx)
		if err != nil {
			return nil, fmt.Errorf("bearer: Credential.Assertion: %w", err)
		}
		form.Set("client_assertion_type", oauth.AssertionTypeJWT)
		form.Set("client_assertion", jwt)
	case c.Secret != "" && c.Post:
		form.Set("client_secret", c.Secret)
	case !c.Certificate:
		return nil, nil
	}
	if c.Certificate || form.Has("client_secret") {
		form.Set("client_id", c.ClientID)
	}
	return form, nil
}

// String returns the client id and no secret.
func (c Credential) String() string { return fmt.Sprintf("credential of client %q", c.ClientID) }

// Format writes String for every verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns the client id and no secret.
func (c Credential) LogValue() slog.Value {
	return slog.GroupValue(slog.String("client_id", c.ClientID))
}

// MarshalText returns String: a credential is not meant to be stored.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
