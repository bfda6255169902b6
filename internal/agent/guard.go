package agent

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"moneyer/internal/fetch"
)

// admit refuses what no program of this machine asks for. On a TCP listener a
// web page could: by a name of its own that it lets point to loopback (DNS
// rebinding), which the Host betrays, or by a plain cross-site request, which
// browsers mark with Origin or Sec-Fetch-Site. They reach no Unix socket.
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

// hostname takes the port off a Host header (RFC 9110 §7.2).
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// dotted reports whether a decoded path has . or .. segments, also for servers that
// remove the parameters of a segment first (..;x, RFC 3986 §3.3). The token may go
// to the upstream's URL and below it, and nowhere above.
func dotted(path string) bool {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	return slices.ContainsFunc(segments, func(segment string) bool {
		name, _, _ := strings.Cut(segment, ";")
		return name == ".." || name == "."
	})
}
