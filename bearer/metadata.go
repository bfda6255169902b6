package bearer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"moneyer/oauth"
)

// metadataPath is where a protected resource's metadata are (RFC 9728 §3).
const metadataPath = "/.well-known/oauth-protected-resource"

// metadata are what an API says of itself (RFC 9728 §2). What it does not know or have is left out.
type metadata struct {
	Resource             string      `json:"resource"`
	AuthorizationServers []string    `json:"authorization_servers"`
	ScopesSupported      oauth.Scope `json:"scopes_supported,omitempty"`
	BearerMethods        []string    `json:"bearer_methods_supported"`
	CertificateBound     bool        `json:"tls_client_certificate_bound_access_tokens,omitempty"`
}

// Metadata returns the handler of the API's metadata (RFC 9728) and its path on the host of
// Resource, which a caller without a token learns from WWW-Authenticate. The metadata name Resource,
// Issuer and Scopes, and tokens bound to client certificates if ClientCertificate is set. It fails if
// Issuer is not set, or Resource is not an https URL, or one of http on this machine, without
// user, query and fragment.
func (v *Verifier) Metadata() (path string, handler http.Handler, err error) {
	at, err := metadataURL(v.Resource)
	if err != nil {
		return "", nil, err
	}
	if v.Issuer == "" {
		return "", nil, errNoIssuer
	}
	document, err := json.Marshal(&metadata{
		Resource: v.Resource, AuthorizationServers: []string{v.Issuer}, ScopesSupported: v.Scopes,
		BearerMethods: []string{"header"}, CertificateBound: v.ClientCertificate != nil,
	})
	if err != nil {
		return "", nil, err
	}
	return at.EscapedPath(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(document)
	}), nil
}

// metadataURL returns where the metadata of a resource are: the well-known path comes between its host and
// its path (RFC 9728 §3.1).
func metadataURL(resource string) (*url.URL, error) {
	u, err := url.Parse(resource)
	if err != nil {
		return nil, fmt.Errorf("bearer: Verifier.Resource: %w", err)
	}
	loopback := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback), u.Host == "", u.User != nil, strings.ContainsAny(resource, "?#"):
		return nil, fmt.Errorf("bearer: Verifier.Resource %q is not an https URL without user, query and fragment", resource)
	case u.String() != resource:
		return nil, fmt.Errorf("bearer: Verifier.Resource %q is spelled %q in RFC 3986", resource, u)
	}
	if u.Path == "/" {
		u.Path = ""
	}
	u.Path, u.RawPath = metadataPath+u.Path, metadataPath+u.EscapedPath()
	return u, nil
}
