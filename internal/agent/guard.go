package agent

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"moneyer/internal/fetch"
)

// admit refuses requests that no local program would send. A web page can reach a TCP listener:
// under its own host name that resolves to loopback (DNS rebinding), which the Host header reveals,
// or with a cross-site request, which browsers mark with Origin or Sec-Fetch-Site. Web pages cannot
// reach a Unix socket.
func (a *Agent) admit(r *http.Request) *refusal {
	switch {
	case r.Method == http.MethodConnect || r.URL.Host != "":
		return &notForwarding
	case barred(r.Method):
		return &methodNotAllowed
	case a.guarded && !fetch.Loopback(hostname(r.Host)):
		return &wrongHost
	case a.guarded && (r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""):
		return &noBrowsers
	case dotted(r.URL.Path):
		return &badPath
	default:
		return nil
	}
}

// hostname removes the port from a Host header (RFC 9110 section 7.2).
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// dotted reports whether a decoded path has . or .. segments, even if a server removes the
// parameters of a segment first (..;x, RFC 3986 section 3.3). The token must not be sent to paths
// outside the upstream's URL.
func dotted(path string) bool {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	return slices.ContainsFunc(segments, func(segment string) bool {
		name, _, _ := strings.Cut(segment, ";")
		return name == ".." || name == "."
	})
}
