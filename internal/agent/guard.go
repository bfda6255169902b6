package agent

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

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

// dotted reports whether a path, decoded once, may lead outside its folder on some server: it has a
// segment . or .., perhaps after more decoding, after Unicode normalization (NFKC), after the removal
// of a segment's parameters (..;x, RFC 3986 section 3.3), of spaces, or of what a server takes for
// the end of the path once it has decoded it (..?x), or it is not UTF-8, of which some decoders make
// a dot (%c0%ae, RFC 3629 section 10), or has a NUL, which some drop. The token must not be sent to paths outside the upstream's URL.
func dotted(path string) bool {
	for range maxDecodings {
		if !utf8.ValidString(path) || strings.Contains(path, "\x00") || hasDotSegment(path) {
			return true
		}
		decoded := unescape(normalized.Replace(path))
		if decoded == path {
			return false
		}
		path = decoded
	}
	return true
}

// maxDecodings bounds how often a path is decoded. No program needs as many.
const maxDecodings = 5

func hasDotSegment(path string) bool {
	segments := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
	return slices.ContainsFunc(segments, func(segment string) bool {
		if end := strings.IndexAny(segment, ";?#"); end >= 0 {
			segment = segment[:end]
		}
		return strings.Contains(segment, ".") && strings.TrimFunc(segment, func(r rune) bool { return r == '.' || unicode.IsSpace(r) }) == ""
	})
}

// normalized has the characters that NFKC makes dots, slashes, escapes or parameters of.
var normalized = strings.NewReplacer(
	"\u2024", ".", "\u2025", "..", "\u2026", "...", "\uFE19", "...", "\uFE30", "..", "\uFE52", ".", "\uFF0E", ".",
	"\uFF0F", "/", "\uFE68", `\`, "\uFF3C", `\`, "\uFE6A", "%", "\uFF05", "%", "\u037E", ";", "\uFE14", ";", "\uFE54", ";", "\uFF1B", ";")

// unescape decodes the valid escapes of a path (RFC 3986 section 2.1, and %uXXXX, which some servers
// accept), and keeps what is no escape. url.PathUnescape would refuse the whole path for one.
func unescape(path string) string {
	var out []byte
	for len(path) > 0 {
		at := strings.IndexByte(path, '%')
		if at < 0 {
			break
		}
		out, path = append(out, path[:at]...), path[at:]
		if c, err := strconv.ParseUint(path[min(1, len(path)):min(3, len(path))], 16, 8); err == nil && len(path) >= 3 {
			out, path = append(out, byte(c)), path[3:]
		} else if c, err := strconv.ParseUint(path[min(2, len(path)):min(6, len(path))], 16, 16); err == nil && len(path) >= 6 && path[1]|0x20 == 'u' {
			out, path = utf8.AppendRune(out, rune(c)), path[6:]
		} else {
			out, path = append(out, '%'), path[1:]
		}
	}
	return string(append(out, path...))
}
