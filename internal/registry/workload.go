package registry

import (
	"slices"
	"strings"
	"time"
)

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

// TrustsSPIFFE reports whether JWT-SVIDs of some trust domain are accepted.
func (i *Issuer) TrustsSPIFFE() bool {
	return slices.ContainsFunc(i.Trusted, func(t *TrustedIssuer) bool { return t.Kind == TrustedSPIFFE && !t.Disabled })
}

// Horizon returns how far ahead the end of an accepted assertion may be, of clients or of trusted
// issuers, with its leeway: so long after it was accepted it is refused as expired.
func (i *Issuer) Horizon() time.Duration {
	policy := i.Profile.Policy.Assertion
	longest := policy.Horizon()
	for _, t := range i.Trusted {
		policy.MaxLifetime = t.MaxLifetime
		longest = max(longest, policy.Horizon())
	}
	return longest
}

// AssertionAlgs lists the algorithms of assertions: of the keys of clients, and of trusted issuers.
func (i *Issuer) AssertionAlgs() []string {
	algs := slices.Clip(i.Profile.Policy.Assertion.Algs)
	for _, t := range i.Trusted {
		for _, alg := range t.Algs {
			if !t.Disabled && !slices.Contains(algs, alg) {
				algs = append(algs, alg)
			}
		}
	}
	return algs
}
