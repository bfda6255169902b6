package registry

import "strings"

// MaxSPIFFEID is the longest SPIFFE ID, and MaxTrustDomain its longest trust domain, in bytes
// (SPIFFE-ID §2.3).
const (
	MaxSPIFFEID    = 2048
	MaxTrustDomain = 255
)

// TrustDomain returns the trust domain of a SPIFFE ID (SPIFFE-ID §2), and reports whether the text is
// the ID of a workload: one with a path.
func TrustDomain(id string) (domain string, ok bool) {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, found := strings.Cut(rest, "/")
	if !ok || !found || len(id) > MaxSPIFFEID || !IsTrustDomain(domain) {
		return "", false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Trim(segment, pathChars) != "" {
			return "", false
		}
	}
	return domain, true
}

// IsTrustDomain reports whether a text is a trust domain name (SPIFFE-ID §2.1).
func IsTrustDomain(s string) bool {
	return s != "" && len(s) <= MaxTrustDomain && strings.Trim(s, domainChars) == ""
}

const (
	domainChars = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	pathChars   = domainChars + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
