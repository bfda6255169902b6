package adminclient

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"moneyer/internal/adminapi"
	"moneyer/oauth"
)

// RefusedError is a request that the server refused. Its text is partly the server's, and
// Code is the server's code, if it gave one.
type RefusedError struct {
	Err  error
	Code oauth.Code
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// UnavailableError is a request without a complete response.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return e.Err.Error() }
func (e *UnavailableError) Unwrap() error { return e.Err }

// unreached is the error of a request without a response: there was no token or no
// connection.
func (c *Client) unreached(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var told *oauth.Error
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return &UnavailableError{fmt.Errorf("%s: %s; if a private authority made it, name its certificate as tls_ca in %s, or by --cacert", c.File.URL, plain(err), c.path)}
	case errors.As(err, &told) && !told.Code.Retryable() && told.Code != oauth.ServerError:
		return &RefusedError{fmt.Errorf("%s: the server gives client %q no token for key %q: %s", c.path, c.File.ClientID, c.File.Kid, told.Description), told.Code}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &UnavailableError{fmt.Errorf("no server at %s: start it with 'moneyer serve'", c.File.URL)}
	case told == nil && c.mayLackCertificate(err):
		return &UnavailableError{fmt.Errorf("%s; if the listener requires a client certificate, name one as tls_cert and tls_key in %s", plain(err), c.path)}
	case told != nil && told.Code != oauth.RateLimited:
		return &UnavailableError{fmt.Errorf("%s; the server's log says why, and /readyz may", plain(err))}
	default:
		return &UnavailableError{errors.New(plain(err))}
	}
}

// plain returns the text of an error without the prefix that names the SDK's package.
func plain(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "assertion: "), "tokensource: ")
}

// mayLackCertificate reports whether a request may have failed because it had no client
// certificate. The TLS alert that says so does not always arrive.
func (c *Client) mayLackCertificate(err error) bool {
	var op *net.OpError
	unconnected := errors.As(err, &op) && op.Op == "dial"
	return c.File.TLSCert == "" && strings.HasPrefix(c.File.URL, "https:") && !unconnected
}

// maxFailure bounds the body of an error response, in bytes.
const maxFailure = 1 << 20

// refusal returns the error in a response.
func (c *Client) refusal(resp *http.Response) error {
	var told adminapi.Failure
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "application/json" {
		_ = json.NewDecoder(io.LimitReader(resp.Body, maxFailure)).Decode(&told) // the status is enough
	}
	text := errors.New(cmp.Or(told.Description, string(told.Code), resp.Status))
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return &RefusedError{fmt.Errorf("%s: what client %q asks is not granted: %w", c.path, c.File.ClientID, text), told.Code}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return &UnavailableError{text}
	default:
		return &RefusedError{text, told.Code}
	}
}
