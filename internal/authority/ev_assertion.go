package authority

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
	"time"
)

// presented is an assertion as it came, with everything that the rules look at.
// Until the signature rule holds, its claims only select a client and a key.
type presented struct {
	issuer *registry.Issuer
	policy *platform.Assertion
	// isGrant is true for a grant (RFC 7523 §2.1), false for client authentication (§2.2).
	isGrant bool
	// clientID is the request's client_id, which must then name the same client.
	clientID string
	now      time.Time

	compact   string
	jws       *jose.JWS // nil when formErr is not
	formErr   error
	claims    *jose.Claims // nil when claimsErr is not
	claimsErr error
	client    *registry.Client // nil when no client has that iss
	asked     bool             // the registry had to ask its database for the client
	key       *registry.Key    // nil when the client has no such key
	keyErr    error            // why none was found at the client's jwks_uri
	isRemote  bool             // the key is from the client's jwks_uri
	// elsewhere says that the remote key belongs to another environment; nil where that
	// was not asked.
	elsewhere *registry.KeyTakenError
	// workload is set where a trusted issuer is said to have made it, and not the client.
	workload *workload
	// isSVID is set where the client_assertion_type is that of a JWT-SVID.
	isSVID bool
	// verified is what signed found; verifications counts the signatures checked.
	verified      bool
	verifications int
}

func newPresented(issuer *registry.Issuer, isGrant bool, now time.Time) *presented {
	return &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: isGrant, now: now}
}

// parse takes the assertion apart and reports whether it has claims. The rules say why not.
func (p *presented) parse(compact string) bool {
	p.compact = compact
	if p.jws, p.formErr = jose.Parse(compact); p.formErr != nil {
		return false
	}
	if p.findTrusted(); p.workload != nil {
		return true
	}
	p.claims, p.claimsErr = jose.ParseClaims(p.jws.Payload)
	return p.claimsErr == nil
}

// kid is that of the header, or "".
func (p *presented) kid() string { return p.jws.Header.Kid }

// Check holds an assertion that the client itself signed to the rules. The error is the
// refusal.
func (p *presented) Check() error { return p.hold(p.rules()) }

// CheckToken holds what a trusted issuer made to the rules for it. Who the client is, is
// not known yet.
func (p *presented) CheckToken() error { return p.hold(tokenRules) }

// CheckIdentity holds the client that was found by a token of a trusted issuer to the rules.
func (p *presented) CheckIdentity() error { return p.hold(identityRules) }

func (p *presented) hold(rules []*rule[*presented]) error {
	if broken := firstBroken(rules, p); broken != nil {
		return p.refuseBy(broken)
	}
	return nil
}

// RefuseElsewhere is the refusal of a remote key that belongs to another environment.
func (p *presented) RefuseElsewhere() error {
	return p.refuse(environmentRule.refusal(p), environmentRule.tell)
}

// namedSubject is whom an assertion that was checked names beside the client, or "".
func (p *presented) namedSubject() string {
	if p.mayNameSubjects() && p.claims.Subject != p.client.ID {
		return p.claims.Subject
	}
	return ""
}

// refuseBy refuses by a rule, at the same cost whether there was a key to check or not.
func (p *presented) refuseBy(broken *rule[*presented]) error {
	if p.verifications == 0 && p.claims != nil {
		p.equalizeTiming()
	}
	return p.refuse(broken.refusal(p), p.tell(broken))
}

// tell is what the caller may know of a broken rule.
func (p *presented) tell(broken *rule[*presented]) string {
	if broken == &subjectRule && p.mayNameSubjects() {
		return "the assertion's sub must equal its iss, or be a subject that is registered with the client"
	}
	return broken.tell
}

// refuse is the answer to an assertion that is bad in any way: invalid_grant with
// a word of why for a grant (RFC 7523 §3.1), and invalid_client without one for
// client authentication (§3.2). The audience alone is told there, too: the signature is
// good, the metadata name the issuer, and clients from before RFC 10070 send another.
func (p *presented) refuse(refusal *Refusal, tell string) error {
	switch {
	case p.isGrant:
		return oauth.Errorf(oauth.InvalidGrant, "%s", tell).Because(refusal)
	case refusal.Rule == audienceRule.name && (p.workload == nil || len(p.workload.trusted.Audience) == 0):
		return oauth.Errorf(oauth.InvalidClient, "client authentication failed: aud must be the issuer identifier, %s", p.issuer.URL).Because(refusal)
	default:
		return badClient(refusal)
	}
}

// oneUse names the rule that a consumed assertion breaks.
const oneUse = "one use"

// replayed is the answer to an assertion that was consumed before.
func (p *presented) replayed() error {
	hint := "sign a new assertion, with a new jti, for each request"
	if p.workload != nil {
		hint = "get a new token from the trusted issuer for each request, or set its replay to until-exp"
	}
	return p.refuse(&Refusal{Rule: oneUse, Expected: "an assertion that was not used before", Found: "one that was", Hint: hint},
		"the assertion was used before")
}

// replay says what a second use gets: what the issuer says of grants. Client authentication
// is always good for one use, but for that by a token of a trusted issuer which hands the
// same one out until it expires.
func (p *presented) replay() platform.Replay {
	switch {
	case p.workload != nil:
		return p.policy.Replay
	case !p.isGrant:
		return platform.ReplayOnce
	}
	return p.issuer.Replay
}

// until is the time from which the assertion is refused as expired.
func (p *presented) until() time.Time { return p.expiry().Add(p.policy.Leeway) }

// signature is the assertion's in its one canonical form.
func (p *presented) signature() []byte {
	return jose.CanonicalSignature(p.key.Public.Alg(), p.jws.Signature)
}

// value stands for the assertion: (issuer, iss, jti), of a trusted issuer (issuer, its name,
// jti), or without a jti the signature in its one canonical form, since ECDSA signatures
// can be altered without the key, and two honest pods may sign equal claims in one second.
// An empty jti names nothing and is as good as none. Each part goes in with its length, so
// that no two lists of parts make one text.
func (p *presented) value(canonical []byte) [32]byte {
	parts := [...]string{p.issuer.Name, p.claims.Issuer, "jti", p.claims.ID}
	if p.claims.ID == "" {
		parts[2], parts[3] = "signature", string(canonical)
	}
	if p.workload != nil {
		parts[1], parts[2] = p.workload.trusted.Name, "trusted "+parts[2]
	}
	text := make([]byte, 0, 1024)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

// signed reports whether the key verifies the signature. It checks once.
func (p *presented) signed() bool {
	if p.verifications == 0 {
		p.verified = p.verifies(p.key.Public)
	}
	return p.verified
}

func (p *presented) verifies(key *jose.PublicKey) bool {
	p.verifications++
	return p.jws.Verify(key) == nil
}

func (p *presented) expiry() time.Time { return time.Unix(p.claims.Expiry, 0) }

// rules are those for an assertion that the client itself signed. A JWT-SVID is never that.
func (p *presented) rules() []*rule[*presented] {
	if p.isSVID {
		return notSVIDRules
	}
	return assertionRules
}

// Findings tests every rule that can be tested.
func (p *presented) Findings() []Finding {
	if p.workload != nil {
		return explain(workloadRules, p)
	}
	findings := append(explain(assertionRules, p), explain([]*rule[*presented]{&environmentRule}, p)...)
	for i := range findings {
		if f := &findings[i]; f.Rule == signatureRule.name && !f.Holds {
			f.Hint = cmp.Or(p.otherKeyHint(), f.Hint)
		}
	}
	return findings
}

// otherKeyHint finds the client's key that does verify the signature, if any. It is
// too much work for a refusal.
func (p *presented) otherKeyHint() string {
	for i := range p.client.Keys {
		if other := &p.client.Keys[i]; p.verifies(other.Public) {
			return "it was signed with the client's key " + quote(other.Kid) + ": set kid to that"
		}
	}
	return ""
}

// badClient is the one answer to every failed client authentication.
func badClient(refusal *Refusal) error {
	return oauth.Errorf(oauth.InvalidClient, "client authentication failed").Because(refusal)
}
