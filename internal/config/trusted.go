package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// The limits of trusted issuers.
const (
	maxTrusted       = 32 // of one issuer
	maxTrustedClaims = 8
	minTrustedLife   = time.Minute
	maxTrustedLife   = time.Hour
)

// audiences are the names by which assertions may call the issuer, by their settings.
func (i Issuer) audiences() map[string][]string {
	all := map[string][]string{"audience_names": i.AudienceNames}
	for name, t := range i.Trusted {
		all["trusted."+name+".audience"] = t.Audience
	}
	return all
}

// makeTrusted builds the trusted issuers of an issuer, sorted by name. key is that of their table.
func (c *Config) makeTrusted(check *checker, key string, issuer *Issuer, assertions bool) []*registry.TrustedIssuer {
	check.want(assertions || len(issuer.Trusted) == 0, key, "profile %s takes no assertions", issuer.Profile)
	check.want(len(issuer.Trusted) <= maxTrusted, key, "an issuer has at most %d trusted issuers", maxTrusted)
	var all []*registry.TrustedIssuer
	by := map[string]string{issuer.URL: ""} // the name by iss or SPIFFE trust domain
	for _, name := range slices.Sorted(maps.Keys(issuer.Trusted)) {
		t, at := issuer.Trusted[name], key+"."+name
		check.want(isName(name), at, "a name is 1 to 40 of a-z, 0-9 and -")
		made := c.makeTrustedIssuer(check, at, name, &t)
		issuer.Trusted[name] = t
		who := made.Issuer
		if made.Kind == registry.TrustedSPIFFE {
			who = "spiffe://" + made.TrustDomain
		}
		other, known := by[who]
		check.want(!known || other != "", at+".issuer", "%q is this issuer itself: its access tokens are no assertions", who)
		check.want(!known, at, "trusted issuer %s is for %q already", other, who)
		by[who] = name
		all = append(all, made)
	}
	return all
}

func isName(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// makeTrustedIssuer builds one trusted issuer and fills in the defaults in t.
func (c *Config) makeTrustedIssuer(check *checker, key, name string, t *TrustedIssuer) *registry.TrustedIssuer {
	orDefault(check.doc, key+".kind", &t.Kind, string(registry.TrustedJWT))
	life, replay := 15*time.Minute, platform.ReplayUntilExp
	switch registry.TrustedKind(t.Kind) {
	case registry.TrustedJWT:
		replay = platform.ReplayOnce
	case registry.TrustedKubernetes:
		life = time.Hour
	}
	orDefault(check.doc, key+".algs", &t.Algs, []string{"ES256", "RS256"})
	orDefault(check.doc, key+".claims", &t.Claims, []string{"sub"})
	orDefault(check.doc, key+".max_lifetime", &t.MaxLifetime, life)
	orDefault(check.doc, key+".replay", &t.Replay, string(replay))
	made := &registry.TrustedIssuer{Name: name, Kind: registry.TrustedKind(t.Kind), Issuer: t.Issuer, TrustDomain: t.TrustDomain, JWKSURI: t.JWKSURI,
		Algs: t.Algs, Audience: t.Audience, Claims: t.Claims, MaxLifetime: t.MaxLifetime, Replay: platform.Replay(t.Replay), Disabled: t.Disabled}
	if t.CA != "" {
		made.CA = c.Path(t.CA)
	}
	if t.Bundle != "" {
		made.Bundle = c.Path(t.Bundle)
	}
	checkTrustedName(check, key, t)
	made.Keys = checkTrustedKeys(check, key, t)
	checkTrustedTokens(check, key, t)
	return made
}

// checkTrustedName checks by what its tokens are known.
func checkTrustedName(check *checker, key string, t *TrustedIssuer) {
	kinds := []string{string(registry.TrustedJWT), string(registry.TrustedKubernetes), string(registry.TrustedSPIFFE)}
	check.want(slices.Contains(kinds, t.Kind), key+".kind", `must be "jwt", "kubernetes" or "spiffe"`)
	if t.Kind == string(registry.TrustedSPIFFE) {
		check.want(t.Issuer == "", key+".issuer", `does not go with the kind "spiffe", whose tokens are known by the trust domain of their sub: remove this`)
		check.want(registry.IsTrustDomain(t.TrustDomain), key+".trust_domain", `must be the trust domain of the SPIFFE IDs, such as "example.org": 1 to %d of a-z, 0-9, ".", "-" and "_", without spiffe://`, registry.MaxTrustDomain)
		return
	}
	check.want(t.TrustDomain == "", key+".trust_domain", `is for the kind "spiffe": remove this, or set kind = "spiffe"`)
	check.want(t.Issuer != "" && len(t.Issuer) <= jose.MaxClaim, key+".issuer", "must be the iss of its tokens, exactly: 1 to %d bytes", jose.MaxClaim)
}

// checkTrustedKeys checks where its keys are, and returns those that are in the configuration.
func checkTrustedKeys(check *checker, key string, t *TrustedIssuer) jose.KeySet {
	places := 0
	for _, place := range []string{t.JWKSURI, t.Bundle, t.JWKS} {
		if place != "" {
			places++
		}
	}
	check.want(places == 1, key, "set one of jwks_uri, bundle and jwks: it says where the keys are")
	if t.JWKSURI != "" {
		u, err := url.Parse(t.JWKSURI)
		check.want(err == nil && len(t.JWKSURI) <= 1024 && fetch.Secure(u) && u.Fragment == "", key+".jwks_uri", "%q must be an https URL without user and fragment (plain http only on loopback)", t.JWKSURI)
	}
	check.want(t.CA == "" || strings.HasPrefix(t.JWKSURI, "https:"), key+".ca", "is for a jwks_uri with https: remove this")
	check.want(len(t.Algs) > 0, key+".algs", "must name an algorithm")
	rules := jose.KeySetRules{SPIFFE: t.Kind == string(registry.TrustedSPIFFE)}
	for n, alg := range t.Algs {
		t.Algs[n] = string(jose.AlgOf(alg))
		check.want(jose.AlgOf(alg).Known(), key+".algs", `%q is none of "ES256", "RS256", "PS256" and "EdDSA"`, alg)
		rules.Algs = append(rules.Algs, jose.AlgOf(alg))
	}
	if t.JWKS == "" {
		return jose.KeySet{}
	}
	set, err := jose.ParseKeySet([]byte(t.JWKS), rules)
	check.want(err == nil, key+".jwks", "%v", err)
	check.want(!set.Private(), key+".jwks", "%s", set.Report())
	usable := `one with an algorithm of algs`
	if rules.SPIFFE {
		usable += ` and a kid, and the use "jwt-svid"`
	}
	fits := func(k jose.NamedKey) bool { return slices.Contains(t.Algs, string(k.Key.Alg())) }
	check.want(err != nil || slices.ContainsFunc(set.Keys, fits), key+".jwks", "has no usable key: %s %s", usable, set.Report())
	return set
}

// judged are claims that the rules judge: they name no client.
var judged = []string{"iss", "aud", "exp", "nbf", "iat", "jti", "typ", "cnf"}

// checkTrustedTokens checks what its tokens must be like.
func checkTrustedTokens(check *checker, key string, t *TrustedIssuer) {
	check.want(len(t.Audience) <= jose.MaxAudience, key+".audience", "at most %d values", jose.MaxAudience)
	for _, audience := range t.Audience {
		check.want(audience != "" && len(audience) <= 1024, key+".audience", "a value has 1 to 1024 bytes")
	}
	check.want(len(t.Claims) > 0 && len(t.Claims) <= maxTrustedClaims, key+".claims", "must name 1 to %d claims", maxTrustedClaims)
	for n, claim := range t.Claims {
		check.want(claim != "" && len(claim) <= 64 && !slices.Contains(judged, claim), key+".claims", "%q names no client: choose a claim such as sub, azp, client_id or repository_id", claim)
		check.want(!slices.Contains(t.Claims[:n], claim), key+".claims", "%q is there twice", claim)
	}
	check.want(t.MaxLifetime >= minTrustedLife && t.MaxLifetime <= maxTrustedLife, key+".max_lifetime", `must be "1m" to "1h"`)
	check.want(t.Replay != string(platform.ReplaySameToken), key+".replay", `"same-token" is for assertions that clients sign themselves: others have seen a token of a trusted issuer; choose "once" or "until-exp"`)
	check.want(t.Replay == string(platform.ReplayOnce) || t.Replay == string(platform.ReplayUntilExp), key+".replay", `must be "once" or "until-exp"`)
}
