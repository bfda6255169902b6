package registry

import "strings"

// MaxSPIFFEID is the longest SPIFFE ID, and MaxTrustDomain its longest trust domain, in bytes
// (SPIFFE-ID §2.3).
const (
	MaxSPIFFEID    = 2048
	MaxTrustDomain = 255
)

// TrustedBy finds the trusted issuer of a token: by its iss, compared exactly, or else by the trust
// domain of its sub, a SPIFFE ID. nil means that none made it. Nothing of the token is proven by that.
func (i *Issuer) TrustedBy(iss, sub string) *TrustedIssuer {
	for _, t := range i.Trusted {
		if t.Kind != TrustedSPIFFE && iss != "" && t.Issuer == iss {
			return t
		}
	}
	domain, ok := TrustDomain(sub)
	for _, t := range i.Trusted {
		if ok && t.Kind == TrustedSPIFFE && t.TrustDomain == domain {
			return t
		}
	}
	return nil
}

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
