package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
)

const unverified = "the assertion cannot be verified"

// assertionRules in their order: who and signature, then time, then audience and
// subject, and consumption after all of them. RFC 7523 §3 gives most of them.
var assertionRules = []*rule[*Assertion]{
	&formRule, &claimsRule, &clientRule, &enabledRule, &kidRule, &keyActiveRule, &algRule, &signatureRule,
	&typRule, &requiredRule, &forbiddenRule, &expiredRule, &lifetimeRule, &notBeforeRule, &issuedAtRule, &audienceRule, &subjectRule,
}

func text(s string) func(*Assertion) string { return func(*Assertion) string { return s } }

// What a rule looks at, for rule.testable.
func hasClaims(p *Assertion) bool { return p.Claims != nil }
func hasClient(p *Assertion) bool { return p.Client != nil }
func hasKey(p *Assertion) bool    { return p.Key != nil }

var formRule = rule[*Assertion]{
	name: "form", tell: "the assertion is not a well-formed signed JWT",
	holds:    func(p *Assertion) bool { return p.formErr == nil },
	expected: text("a compact JWS: header.payload.signature in base64url without padding"),
	broken:   func(p *Assertion) string { return p.formErr.Error() },
	hint:     func(p *Assertion) string { return formHint(p.compact) },
}

var claimsRule = rule[*Assertion]{
	name: "claims", tell: "the assertion is not a well-formed signed JWT",
	testable: func(p *Assertion) bool { return p.jws != nil },
	holds:    func(p *Assertion) bool { return p.claimsErr == nil },
	expected: text("a JSON object with each claim once and of its type; times as numbers of seconds"),
	broken:   func(p *Assertion) string { return p.claimsErr.Error() },
	hint:     text("check the JSON: each claim once, iss, sub and jti as strings, exp, iat and nbf as plain numbers of seconds since 1970: no quotes, no exponent"),
}

var clientRule = rule[*Assertion]{
	name: "iss", tell: unverified,
	testable: hasClaims,
	holds:    func(p *Assertion) bool { return p.Client != nil && (p.ClientID == "" || p.ClientID == p.Client.ID) },
	expected: text("the id of a registered client (and the same as client_id, when that is sent)"),
	found:    func(p *Assertion) string { return Quote(p.Claims.Issuer) },
	hint: func(p *Assertion) string {
		switch {
		case !p.Claims.Has(jose.ClaimIssuer):
			return "put the id that the platform gave you in iss" + trustedHint(p.Issuer)
		case p.Client == nil:
			return "nobody is registered under this iss: compare it with the id that the platform gave you" + trustedHint(p.Issuer)
		case p.ClientID != "" && p.ClientID != p.Client.ID:
			return "client_id names another client: send the same id in both"
		}
		return ""
	},
}

var enabledRule = rule[*Assertion]{
	name: "client enabled", tell: unverified,
	testable: hasClient,
	holds:    func(p *Assertion) bool { return !p.Client.Disabled },
	expected: text("an enabled client"),
	broken:   text("a disabled one"),
}

var kidRule = rule[*Assertion]{
	name: "kid", tell: unverified,
	testable: hasClient,
	holds: func(p *Assertion) bool {
		return p.Key != nil && (p.jws.Header.Kid != "" || p.policy.Kid == platform.KidOptional)
	},
	expected: func(p *Assertion) string { return "a header kid among " + kids(p.Client) },
	found: func(p *Assertion) string {
		if p.KeyErr != nil {
			return Quote(p.jws.Header.Kid) + "; jwks_uri: " + p.KeyErr.Error()
		}
		return Quote(p.jws.Header.Kid)
	},
	hint: func(p *Assertion) string {
		switch {
		case p.KeyUnavailable:
			return "the keys at the jwks_uri could not be fetched: until they can, the answer is 503 with Retry-After"
		case p.KeyErr != nil:
			return "publish the key at the jwks_uri, or register it"
		case p.jws.Header.Kid == "" && p.policy.Kid == platform.KidRequired:
			return "the header has no kid: set it to the kid under which the public key was registered"
		case p.Key == nil && p.jws.Header.Kid == "":
			return "the header has no kid, and the client has not just one key: set kid to the right one"
		case p.Key == nil:
			return "no key is registered under this kid: use the kid of the registered key, or have this one registered"
		}
		return ""
	},
}

var keyActiveRule = rule[*Assertion]{
	name: "key active", tell: unverified,
	testable: hasKey,
	holds:    func(p *Assertion) bool { return p.Key.LiveAt(p.now) },
	expected: text("an enabled key between its not-before and not-after"),
	broken: func(p *Assertion) string {
		switch {
		case p.Key.Disabled:
			return "a disabled key"
		case p.now.Before(p.Key.NotBefore):
			return "one that begins at " + Stamp(p.Key.NotBefore)
		}
		return "one that ended at " + Stamp(p.Key.NotAfter)
	},
	hint: text("sign with another key of the client, or have this one enabled or its times changed"),
}

var algRule = rule[*Assertion]{
	name: "alg", tell: unverified,
	testable: hasKey,
	holds: func(p *Assertion) bool {
		alg := string(p.Key.Public.Alg())
		return p.jws.Header.Alg == alg && slices.Contains(p.policy.Algs, alg)
	},
	expected: func(p *Assertion) string {
		alg := string(p.Key.Public.Alg())
		if !slices.Contains(p.policy.Algs, alg) {
			return "one that the profile takes: " + strings.Join(p.policy.Algs, ", ")
		}
		return "the registered key's own: " + alg
	},
	found: func(p *Assertion) string { return Quote(p.jws.Header.Alg) },
	hint: func(p *Assertion) string {
		alg := string(p.Key.Public.Alg())
		switch {
		case !slices.Contains(p.policy.Algs, alg):
			return "the registered key is for " + alg + ": register one for " + p.policy.Algs[0] + " (moneyer keygen --alg " + p.policy.Algs[0] + ")"
		case p.jws.Header.Alg != alg:
			return "set alg to " + alg + " and sign with the private half of the registered key"
		}
		return ""
	},
}

var signatureRule = rule[*Assertion]{
	name: "signature", tell: unverified,
	testable: func(p *Assertion) bool { return hasKey(p) && algRule.holds(p) }, // by another algorithm nothing is verified
	holds:    func(p *Assertion) bool { return p.Signed() },
	expected: func(p *Assertion) string {
		return "a signature by the private half of the key registered as " + Quote(p.Key.Kid)
	},
	broken: func(p *Assertion) string {
		return fmt.Sprintf("%d bytes that the key does not verify", len(p.jws.Signature))
	},
	hint: func(p *Assertion) string { return SignatureHint(p.jws) },
}

// environmentRule is tested after all others: only an assertion for this issuer shows that
// a key from a jwks_uri is in use for it.
var environmentRule = rule[*Assertion]{
	name: "key environment", tell: unverified,
	testable: func(p *Assertion) bool { return p.IsRemote },
	holds:    func(p *Assertion) bool { return p.Elsewhere == nil },
	expected: func(p *Assertion) string {
		return "a key that belongs to no other environment than " + Quote(p.Issuer.Environment)
	},
	broken: func(p *Assertion) string { return p.Elsewhere.Error() },
	hint:   text("publish a key of its own for each environment"),
}

var typRule = rule[*Assertion]{
	name: "typ", tell: "the assertion's typ is not that of an assertion",
	testable: hasClaims,
	holds: func(p *Assertion) bool {
		typ := p.jws.Header.Typ
		return typ == "" || isType(typ, "JWT") || isType(typ, p.ownType())
	},
	expected: func(p *Assertion) string { return "no typ, JWT or " + p.ownType() },
	found:    func(p *Assertion) string { return Quote(p.jws.Header.Typ) },
	hint: func(p *Assertion) string {
		switch typ := p.jws.Header.Typ; {
		case isType(typ, "at+jwt"):
			return "this is an access token: sign an assertion of your own, and take the token to the API"
		case isType(typ, typeGrant) && !p.isGrant, isType(typ, typeClientAuth) && p.isGrant:
			return "this typ is for the other use of an assertion: grant and client authentication are not exchanged"
		}
		return ""
	},
}

// The types of RFC 10070, which tell the two uses of an assertion apart.
const (
	typeGrant      = "authorization-grant+jwt"
	typeClientAuth = "client-authentication+jwt"
)

func (p *Assertion) ownType() string {
	if p.isGrant {
		return typeGrant
	}
	return typeClientAuth
}

// isType compares media types, which have no case and may go without
// application/ (RFC 7515 section 4.1.9).
func isType(typ, want string) bool {
	const tree = "application/"
	if len(typ) > len(tree) && strings.EqualFold(typ[:len(tree)], tree) {
		typ = typ[len(tree):]
	}
	return strings.EqualFold(typ, want)
}

var requiredRule = rule[*Assertion]{
	name: "required claims", tell: "the assertion lacks a required claim",
	testable: hasClaims,
	holds:    func(p *Assertion) bool { return p.missing() == "" },
	expected: func(p *Assertion) string {
		expected := "all of " + strings.Join(p.required(), " ")
		if p.IsRemote {
			expected += " (aud because the key is from the client's jwks_uri)"
		}
		return expected
	},
	found: func(p *Assertion) string {
		if missing := p.missing(); missing != "" {
			return "no " + missing + ", or an empty one"
		}
		return "all"
	},
	hint: func(p *Assertion) string {
		missing := p.missing()
		if missing == "aud" && p.IsRemote {
			return "add aud to the claims, one of " + strings.Join(p.Issuer.Audiences(), " ") + ": without it the assertion is good wherever the keys at the jwks_uri are"
		}
		return "add " + missing + " to the claims"
	},
}

var forbiddenRule = rule[*Assertion]{
	name: "forbidden claims", tell: "the assertion has a claim that must not be there",
	testable: func(p *Assertion) bool { return p.Claims != nil && p.Workload == nil && len(p.policy.Forbid) > 0 },
	holds:    func(p *Assertion) bool { return p.forbidden() == "" },
	expected: func(p *Assertion) string { return "none of " + strings.Join(p.policy.Forbid, " ") },
	found:    func(p *Assertion) string { return cmp.Or(p.forbidden(), "none") },
	hint:     func(p *Assertion) string { return "leave " + p.forbidden() + " out of the claims" },
}

// forbidden is the first claim that the profile forbids and that is there, or "". As client authentication
// an assertion has what RFC 7523 §3 wants, also where the profile forbids it for grants: a client that signs
// grants authenticates so at the other endpoints.
func (p *Assertion) forbidden() string {
	for _, claim := range p.policy.Forbid {
		if p.Claims.Has(claimSets[claim]) && (p.isGrant || !slices.Contains(clientAuthRequires, claim)) {
			return claim
		}
	}
	return ""
}

// claimSets has the claims by name.
var claimSets = map[string]jose.ClaimSet{
	"sub": jose.ClaimSubject, "aud": jose.ClaimAudience, "iat": jose.ClaimIssuedAt, "nbf": jose.ClaimNotBefore, "jti": jose.ClaimID,
}

// Claims that must be there beside those of the profile: as client authentication
// all of RFC 7523 §3, as a grant those without which nothing can be judged.
var (
	clientAuthRequires = []string{"iss", "sub", "aud", "exp"}
	grantRequires      = []string{"iss", "exp"}
)

var audience = []string{"aud"}

// remoteKeyRequires is what a grant needs if its key is from a jwks_uri: another
// installation, in another environment, may fetch the same keys.
func (p *Assertion) remoteKeyRequires() []string {
	if p.IsRemote {
		return audience
	}
	return nil
}

func (p *Assertion) required() []string {
	if p.Workload != nil {
		return p.Workload.required()
	}
	all := slices.Clone(grantRequires)
	if !p.isGrant {
		all = slices.Clone(clientAuthRequires)
	}
	for _, claim := range slices.Concat(p.policy.Require, p.remoteKeyRequires()) {
		if !slices.Contains(all, claim) {
			all = append(all, claim)
		}
	}
	return all
}

// missing is the first required claim that is not there, or "".
func (p *Assertion) missing() string {
	if p.Workload != nil {
		return p.firstMissing(p.Workload.required())
	}
	if !p.isGrant {
		return cmp.Or(p.firstMissing(clientAuthRequires), p.firstMissing(p.policy.Require))
	}
	return cmp.Or(p.firstMissing(grantRequires), p.firstMissing(p.policy.Require), p.firstMissing(p.remoteKeyRequires()))
}

func (p *Assertion) firstMissing(claims []string) string {
	for _, claim := range claims {
		if !p.hasClaim(claim) {
			return claim
		}
	}
	return ""
}

// hasClaim reports whether a claim is there and not an empty string.
func (p *Assertion) hasClaim(name string) bool {
	switch c := p.Claims; name {
	case "iss":
		return c.Issuer != ""
	case "sub":
		return c.Subject != ""
	case "jti":
		return c.ID != ""
	case "aud":
		return c.Has(jose.ClaimAudience)
	case "exp":
		return c.Has(jose.ClaimExpiry)
	case "iat":
		return c.Has(jose.ClaimIssuedAt)
	case "nbf":
		return c.Has(jose.ClaimNotBefore)
	}
	return p.Workload != nil && p.Workload.texts[name] != "" // platform.Parse lets no other claim through
}

var expiredRule = rule[*Assertion]{
	name: "exp not past", tell: "the assertion has expired",
	testable: hasClaims,
	holds:    func(p *Assertion) bool { return p.now.Before(p.expiry().Add(p.policy.Leeway)) },
	expected: func(p *Assertion) string { return "exp after " + Stamp(p.now.Add(-p.policy.Leeway)) + ", by our clock" },
	found:    func(p *Assertion) string { return p.away(p.Claims.Expiry) },
	hint:     text("make a new assertion for each request, and keep the clock in step (NTP)"),
}

var lifetimeRule = rule[*Assertion]{
	name: "exp not too far", tell: "the assertion's exp is too far in the future",
	testable: hasClaims,
	holds:    func(p *Assertion) bool { return !p.expiry().After(p.latest()) },
	expected: func(p *Assertion) string { return "exp at most " + Stamp(p.latest()) + ", by our clock" },
	found:    func(p *Assertion) string { return p.away(p.Claims.Expiry) },
	hint: func(p *Assertion) string {
		return cmp.Or(millisecondHint("exp", p.Claims.Expiry), "let it live "+p.policy.MaxLifetime.String()+" at most, and keep the clock in step (NTP)")
	},
}

// latest is the last exp that is accepted: measured against our clock, never
// against the assertion's own iat.
func (p *Assertion) latest() time.Time { return p.now.Add(p.policy.MaxLifetime + p.policy.Leeway) }

var (
	notBeforeRule = notAhead("nbf", jose.ClaimNotBefore, "the assertion is not yet valid", func(c *jose.Claims) int64 { return c.NotBefore })
	issuedAtRule  = notAhead("iat", jose.ClaimIssuedAt, "the assertion was issued in the future", func(c *jose.Claims) int64 { return c.IssuedAt })
)

// notAhead is the rule for a claim that need not be there and whose time must not be ahead of our clock.
func notAhead(claim string, set jose.ClaimSet, tell string, seconds func(*jose.Claims) int64) rule[*Assertion] {
	return rule[*Assertion]{
		name: claim + " not ahead", tell: tell,
		testable: hasClaims,
		holds: func(p *Assertion) bool {
			return !time.Unix(seconds(p.Claims), 0).After(p.now.Add(p.policy.Leeway))
		},
		expected: func(p *Assertion) string {
			return "no " + claim + ", or one up to " + Stamp(p.now.Add(p.policy.Leeway))
		},
		found: func(p *Assertion) string {
			if !p.Claims.Has(set) {
				return "none"
			}
			return p.away(seconds(p.Claims))
		},
		hint: func(p *Assertion) string {
			return cmp.Or(millisecondHint(claim, seconds(p.Claims)), "keep the clock in step (NTP), or leave "+claim+" out")
		},
	}
}
