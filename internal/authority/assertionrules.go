package authority

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
var assertionRules = []*rule[*presented]{
	&formRule, &claimsRule, &clientRule, &enabledRule, &kidRule, &keyActiveRule, &algRule, &signatureRule,
	&typRule, &requiredRule, &expiredRule, &lifetimeRule, &notBeforeRule, &issuedAtRule, &audienceRule, &subjectRule,
}

func text(s string) func(*presented) string { return func(*presented) string { return s } }

// What a rule looks at, for rule.testable.
func hasClaims(p *presented) bool { return p.claims != nil }
func hasClient(p *presented) bool { return p.client != nil }
func hasKey(p *presented) bool    { return p.key != nil }

var formRule = rule[*presented]{
	name: "form", tell: "the assertion is not a well-formed signed JWT",
	testable: func(*presented) bool { return true },
	holds:    func(p *presented) bool { return p.formErr == nil },
	expected: text("a compact JWS: header.payload.signature in base64url without padding"),
	found:    func(p *presented) string { return errorOrThat(p.formErr) },
	hint:     func(p *presented) string { return formHint(p.compact) },
}

var claimsRule = rule[*presented]{
	name: "claims", tell: "the assertion is not a well-formed signed JWT",
	testable: func(p *presented) bool { return p.jws != nil },
	holds:    func(p *presented) bool { return p.claimsErr == nil && p.claims != nil },
	expected: text("a JSON object with each claim once and of its type; times as whole seconds"),
	found:    func(p *presented) string { return errorOrThat(p.claimsErr) },
	hint:     text("check the JSON: each claim once, iss, sub and jti as strings, exp, iat and nbf as plain numbers of seconds since 1970: no quotes, no fraction, no exponent"),
}

var clientRule = rule[*presented]{
	name: "iss", tell: unverified,
	testable: hasClaims,
	holds:    func(p *presented) bool { return p.client != nil && (p.clientID == "" || p.clientID == p.client.ID) },
	expected: text("the id of a registered client (and the same as client_id, when that is sent)"),
	found:    func(p *presented) string { return quote(p.claims.Issuer) },
	hint: func(p *presented) string {
		switch {
		case !p.claims.Has(jose.ClaimIssuer):
			return "put the id that the platform gave you in iss"
		case p.client == nil:
			return "nobody is registered under this iss: compare it with the id that the platform gave you"
		case p.clientID != "" && p.clientID != p.client.ID:
			return "client_id names another client: send the same id in both"
		}
		return ""
	},
}

var enabledRule = rule[*presented]{
	name: "client enabled", tell: unverified,
	testable: hasClient,
	holds:    func(p *presented) bool { return !p.client.Disabled },
	expected: text("an enabled client"),
	found: func(p *presented) string {
		if p.client.Disabled {
			return "a disabled one"
		}
		return "that"
	},
}

var kidRule = rule[*presented]{
	name: "kid", tell: unverified,
	testable: hasClient,
	holds: func(p *presented) bool {
		return p.key != nil && (p.jws.Header.Kid != "" || p.policy.Kid == platform.KidOptional)
	},
	expected: func(p *presented) string { return "a header kid among " + kids(p.client) },
	found: func(p *presented) string {
		if p.keyErr != nil {
			return quote(p.jws.Header.Kid) + "; jwks_uri: " + p.keyErr.Error()
		}
		return quote(p.jws.Header.Kid)
	},
	hint: func(p *presented) string {
		switch {
		case p.keyErr != nil:
			return "publish the key at the jwks_uri, or register it"
		case p.jws.Header.Kid == "" && p.policy.Kid == platform.KidRequired:
			return "the header has no kid: set it to the kid under which the public key was registered"
		case p.key == nil && p.jws.Header.Kid == "":
			return "the header has no kid, and the client has not just one key: set kid to the right one"
		case p.key == nil:
			return "no key is registered under this kid: use the kid of the registered key, or have this one registered"
		}
		return ""
	},
}

var keyActiveRule = rule[*presented]{
	name: "key active", tell: unverified,
	testable: hasKey,
	holds:    func(p *presented) bool { return p.key.LiveAt(p.now) },
	expected: text("an enabled key between its not-before and not-after"),
	found: func(p *presented) string {
		switch {
		case p.key.Disabled:
			return "a disabled key"
		case p.now.Before(p.key.NotBefore):
			return "one that begins at " + stamp(p.key.NotBefore)
		case !p.key.LiveAt(p.now):
			return "one that ended at " + stamp(p.key.NotAfter)
		}
		return "that"
	},
	hint: text("sign with another key of the client, or have this one enabled or its times changed"),
}

var algRule = rule[*presented]{
	name: "alg", tell: unverified,
	testable: hasKey,
	holds: func(p *presented) bool {
		alg := string(p.key.Public.Alg())
		return p.jws.Header.Alg == alg && slices.Contains(p.policy.Algs, alg)
	},
	expected: func(p *presented) string {
		alg := string(p.key.Public.Alg())
		if !slices.Contains(p.policy.Algs, alg) {
			return "one that the profile takes: " + strings.Join(p.policy.Algs, ", ")
		}
		return "the registered key's own: " + alg
	},
	found: func(p *presented) string { return quote(p.jws.Header.Alg) },
	hint: func(p *presented) string {
		alg := string(p.key.Public.Alg())
		switch {
		case !slices.Contains(p.policy.Algs, alg):
			return "the registered key is for " + alg + ": register one for " + p.policy.Algs[0] + " (moneyer keygen --alg " + p.policy.Algs[0] + ")"
		case p.jws.Header.Alg != alg:
			return "set alg to " + alg + " and sign with the private half of the registered key"
		}
		return ""
	},
}

var signatureRule = rule[*presented]{
	name: "signature", tell: unverified,
	testable: hasKey,
	holds:    func(p *presented) bool { return p.signed() },
	expected: func(p *presented) string {
		return "a signature by the private half of the key registered as " + quote(p.key.Kid)
	},
	found: func(p *presented) string {
		if p.signed() {
			return "that"
		}
		return fmt.Sprintf("%d octets that the key does not verify", len(p.jws.Signature))
	},
	hint: func(p *presented) string {
		if p.jws.Header.Alg != string(p.key.Public.Alg()) {
			return "set alg right first"
		}
		return SignatureHint(p.jws)
	},
}

// environmentRule is tested after all others: only an assertion for this issuer shows that
// a key from a jwks_uri is in use for it.
var environmentRule = rule[*presented]{
	name: "key environment", tell: unverified,
	testable: func(p *presented) bool { return p.isRemote },
	holds:    func(p *presented) bool { return p.elsewhere == nil },
	expected: func(p *presented) string {
		return "a key that belongs to no other environment than " + quote(p.issuer.Environment)
	},
	found: func(p *presented) string {
		if p.elsewhere == nil {
			return "that"
		}
		return p.elsewhere.Error()
	},
	hint: text("publish a key of its own for each environment"),
}

var typRule = rule[*presented]{
	name: "typ", tell: "the assertion's typ is not that of an assertion",
	testable: hasClaims,
	holds: func(p *presented) bool {
		typ := p.jws.Header.Typ
		return typ == "" || isType(typ, "JWT") || isType(typ, p.ownType())
	},
	expected: func(p *presented) string { return "no typ, JWT or " + p.ownType() },
	found:    func(p *presented) string { return quote(p.jws.Header.Typ) },
	hint: func(p *presented) string {
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

func (p *presented) ownType() string {
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

var requiredRule = rule[*presented]{
	name: "required claims", tell: "the assertion lacks a required claim",
	testable: hasClaims,
	holds:    func(p *presented) bool { return p.missing() == "" },
	expected: func(p *presented) string {
		expected := "all of " + strings.Join(p.required(), " ")
		if p.isRemote {
			expected += " (aud because the key is from the client's jwks_uri)"
		}
		return expected
	},
	found: func(p *presented) string {
		if missing := p.missing(); missing != "" {
			return "no " + missing + ", or an empty one"
		}
		return "all"
	},
	hint: func(p *presented) string {
		missing := p.missing()
		if missing == "aud" && p.isRemote {
			return "add aud to the claims, one of " + strings.Join(p.issuer.Audiences(), " ") + ": without it the assertion is good wherever the keys at the jwks_uri are"
		}
		return "add " + missing + " to the claims"
	},
}

// Claims that must be there whatever the profile says: as client authentication
// all of RFC 7523 §3, as a grant those without which nothing can be judged.
var (
	clientAuthRequires = []string{"iss", "sub", "aud", "exp"}
	grantRequires      = []string{"iss", "exp"}
)

var audience = []string{"aud"}

// remoteKeyRequires is what a grant needs if its key is from a jwks_uri: another
// installation, in another environment, may fetch the same keys.
func (p *presented) remoteKeyRequires() []string {
	if p.isRemote {
		return audience
	}
	return nil
}

func (p *presented) required() []string {
	if p.workload != nil {
		return p.workload.required()
	}
	if !p.isGrant {
		return clientAuthRequires
	}
	all := slices.Clone(grantRequires)
	for _, claim := range slices.Concat(p.policy.Require, p.remoteKeyRequires()) {
		if !slices.Contains(all, claim) {
			all = append(all, claim)
		}
	}
	return all
}

// missing is the first required claim that is not there, or "".
func (p *presented) missing() string {
	if p.workload != nil {
		return p.firstMissing(p.workload.required())
	}
	if !p.isGrant {
		return p.firstMissing(clientAuthRequires)
	}
	return cmp.Or(p.firstMissing(grantRequires), p.firstMissing(p.policy.Require), p.firstMissing(p.remoteKeyRequires()))
}

func (p *presented) firstMissing(claims []string) string {
	for _, claim := range claims {
		if !p.hasClaim(claim) {
			return claim
		}
	}
	return ""
}

// hasClaim reports whether a claim is there and not an empty string.
func (p *presented) hasClaim(name string) bool {
	switch c := p.claims; name {
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
	return p.workload != nil && p.workload.texts[name] != "" // platform.Parse lets no other claim through
}

var expiredRule = rule[*presented]{
	name: "exp not past", tell: "the assertion has expired",
	testable: hasClaims,
	holds:    func(p *presented) bool { return p.now.Before(p.expiry().Add(p.policy.Leeway)) },
	expected: func(p *presented) string { return "exp after " + stamp(p.now.Add(-p.policy.Leeway)) + ", by our clock" },
	found:    func(p *presented) string { return p.away(p.claims.Expiry) },
	hint:     text("make a new assertion for each request, and keep the clock in step (NTP)"),
}

var lifetimeRule = rule[*presented]{
	name: "exp not too far", tell: "the assertion's exp is too far in the future",
	testable: hasClaims,
	holds:    func(p *presented) bool { return !p.expiry().After(p.latest()) },
	expected: func(p *presented) string { return "exp at most " + stamp(p.latest()) + ", by our clock" },
	found:    func(p *presented) string { return p.away(p.claims.Expiry) },
	hint: func(p *presented) string {
		return cmp.Or(millisecondHint("exp", p.claims.Expiry), "let it live "+p.policy.MaxLifetime.String()+" at most, and keep the clock in step (NTP)")
	},
}

// latest is the last exp that is accepted: measured against our clock, never
// against the assertion's own iat.
func (p *presented) latest() time.Time { return p.now.Add(p.policy.MaxLifetime + p.policy.Leeway) }

var notBeforeRule = rule[*presented]{
	name: "nbf not ahead", tell: "the assertion is not yet valid",
	testable: hasClaims,
	holds: func(p *presented) bool {
		return !time.Unix(p.claims.NotBefore, 0).After(p.now.Add(p.policy.Leeway))
	},
	expected: func(p *presented) string { return "no nbf, or one up to " + stamp(p.now.Add(p.policy.Leeway)) },
	found:    func(p *presented) string { return p.optionalTime(jose.ClaimNotBefore, p.claims.NotBefore) },
	hint: func(p *presented) string {
		return cmp.Or(millisecondHint("nbf", p.claims.NotBefore), "keep the clock in step (NTP), or leave nbf out")
	},
}

var issuedAtRule = rule[*presented]{
	name: "iat not ahead", tell: "the assertion was issued in the future",
	testable: hasClaims,
	holds: func(p *presented) bool {
		return !time.Unix(p.claims.IssuedAt, 0).After(p.now.Add(p.policy.Leeway))
	},
	expected: func(p *presented) string { return "no iat, or one up to " + stamp(p.now.Add(p.policy.Leeway)) },
	found:    func(p *presented) string { return p.optionalTime(jose.ClaimIssuedAt, p.claims.IssuedAt) },
	hint: func(p *presented) string {
		return cmp.Or(millisecondHint("iat", p.claims.IssuedAt), "keep the clock in step (NTP), or leave iat out")
	},
}
