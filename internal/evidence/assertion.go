package evidence

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Assertion is an assertion as it came, with everything that the rules look at. Until the
// signature rule holds, its claims only select a client and a key. Make one with
// NewAssertion, let Parse read it, and set what was found by what it says.
type Assertion struct {
	Issuer *registry.Issuer
	// ClientID is the request's client_id, which must then name the same client.
	ClientID string
	// IsSVID is set where the client_assertion_type is that of a JWT-SVID.
	IsSVID bool
	// Claims that Parse read; nil when there are none.
	Claims *jose.Claims
	// Workload is set by Parse where a trusted issuer is said to have made it, and not the
	// client.
	Workload *Workload
	// Client that it names; nil when there is none. Asked is set where the registry had to
	// ask its database for it.
	Client *registry.Client
	Asked  bool
	// Key that its kid selects; nil when there is none, and KeyErr may say why.
	Key    *registry.Key
	KeyErr error
	// KeyUnavailable is set while nobody can tell whether there is a key; KeyErr says why.
	KeyUnavailable bool
	// IsRemote is set where Key is from the client's jwks_uri, and Elsewhere if that belongs
	// to another environment.
	IsRemote  bool
	Elsewhere *registry.KeyTakenError
	// Verifications counts the signatures that were checked.
	Verifications int

	policy *platform.Assertion
	// isGrant is true for a grant (RFC 7523 §2.1), false for client authentication (§2.2).
	isGrant   bool
	now       time.Time
	compact   string
	jws       *jose.JWS // nil when formErr is not
	formErr   error
	claimsErr error
	verified  bool // by the one check of Signed
}

// NewAssertion is an assertion for an issuer, as the grant or as client authentication, at
// that time.
func NewAssertion(issuer *registry.Issuer, isGrant bool, now time.Time) *Assertion {
	return &Assertion{Issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: isGrant, now: now}
}

// Parse takes the assertion apart and reports whether it has claims. The rules say why not.
func (p *Assertion) Parse(compact string) bool {
	p.compact = compact
	if p.jws, p.formErr = jose.Parse(compact); p.formErr != nil {
		return false
	}
	if p.findTrusted(); p.Workload != nil {
		return true
	}
	p.Claims, p.claimsErr = jose.ParseClaims(p.jws.Payload)
	return p.claimsErr == nil
}

// Kid is that of the header, or "".
func (p *Assertion) Kid() string { return p.jws.Header.Kid }

// Alg is that of the header, or "". It chooses between keys of one kid alone.
func (p *Assertion) Alg() string { return p.jws.Header.Alg }

// KidOptional reports whether an assertion without kid may be by the client's only key.
func (p *Assertion) KidOptional() bool { return p.policy.Kid == platform.KidOptional }

// Rekey puts another key in place of the one by which the signature did not verify.
func (p *Assertion) Rekey(public *jose.PublicKey) {
	p.Key, p.Verifications = &registry.Key{Kid: p.Key.Kid, Public: public}, 0
}

// Check holds an assertion that the client itself signed to the rules. The error is the
// refusal.
func (p *Assertion) Check() error { return p.hold(p.rules()) }

// CheckToken holds what a trusted issuer made to the rules for it. Who the client is, is
// not known yet.
func (p *Assertion) CheckToken() error { return p.hold(tokenRules) }

// CheckIdentity holds the client that was found by a token of a trusted issuer to the rules.
func (p *Assertion) CheckIdentity() error { return p.hold(identityRules) }

func (p *Assertion) hold(rules []*rule[*Assertion]) error {
	if broken := firstBroken(rules, p); broken != nil {
		return p.refuseBy(broken)
	}
	return nil
}

// RefuseElsewhere is the refusal of a remote key that belongs to another environment.
func (p *Assertion) RefuseElsewhere(taken *registry.KeyTakenError) error {
	p.Elsewhere = taken
	return p.refuse(environmentRule.refusal(p), environmentRule.tell)
}

// NamedSubject is whom an assertion that was checked names beside the client, or "".
func (p *Assertion) NamedSubject() string {
	if p.mayNameSubjects() && p.Claims.Subject != p.Client.ID {
		return p.Claims.Subject
	}
	return ""
}

// refuseBy refuses by a rule, at the same cost whether there was a key to check or not.
func (p *Assertion) refuseBy(broken *rule[*Assertion]) error {
	if p.Verifications == 0 && p.Claims != nil {
		p.EqualizeTiming()
	}
	return p.refuse(broken.refusal(p), p.tell(broken))
}

// tell is what the caller may know of a broken rule.
func (p *Assertion) tell(broken *rule[*Assertion]) string {
	if broken == &subjectRule && p.mayNameSubjects() {
		return "the assertion's sub must equal its iss, or be a subject that is registered with the client"
	}
	return broken.tell
}

// refuse is the answer to an assertion that is bad in any way: invalid_grant with
// a word of why for a grant (RFC 7523 §3.1), and invalid_client without one for
// client authentication (§3.2). The audience alone is told there, too: the signature is
// good, the metadata name the issuer, and clients from before RFC 10070 send another.
func (p *Assertion) refuse(refusal *Refusal, tell string) error {
	switch {
	case p.isGrant:
		return oauth.Errorf(oauth.InvalidGrant, "%s", tell).Because(refusal)
	case refusal.Rule == audienceRule.name && (p.Workload == nil || len(p.Workload.Trusted.Audience) == 0):
		return oauth.Errorf(oauth.InvalidClient, "client authentication failed: aud must be the issuer identifier, %s", p.Issuer.URL).Because(refusal)
	default:
		return BadClient(refusal)
	}
}

// OneUse names the rule that a consumed assertion breaks.
const OneUse = "one use"

// Replayed is the answer to an assertion that was consumed before.
func (p *Assertion) Replayed() error {
	hint := "sign a new assertion, with a new jti, for each request"
	if p.Workload != nil {
		hint = "get a new token from the trusted issuer for each request, or set its replay to until-exp"
	}
	return p.refuse(&Refusal{Rule: OneUse, Expected: "an assertion that was not used before", Found: "one that was", Hint: hint},
		"the assertion was used before")
}

// Replay says what a second use gets: what the issuer says of grants. Client authentication
// is always good for one use, but for that by a token of a trusted issuer which hands the
// same one out until it expires.
func (p *Assertion) Replay() platform.Replay {
	switch {
	case p.Workload != nil:
		return p.policy.Replay
	case !p.isGrant:
		return platform.ReplayOnce
	}
	return p.Issuer.Replay
}

// Until is the time from which the assertion is refused as expired.
func (p *Assertion) Until() time.Time { return p.expiry().Add(p.policy.Leeway) }

// Signature is the assertion's in its one canonical form.
func (p *Assertion) Signature() []byte {
	return jose.CanonicalSignature(p.Key.Public.Alg(), p.jws.Signature)
}

// Value stands for the assertion: (issuer, iss, jti), of a trusted issuer (issuer, its name,
// jti), or without a jti the signature in its one canonical form, since ECDSA signatures
// can be altered without the key, and two honest pods may sign equal claims in one second.
// An empty jti names nothing and is as good as none. Each part goes in with its length, so
// that no two lists of parts make one text.
func (p *Assertion) Value(canonical []byte) [32]byte {
	parts := [...]string{p.Issuer.Name, p.Claims.Issuer, "jti", p.Claims.ID}
	if p.Claims.ID == "" {
		parts[2], parts[3] = "signature", string(canonical)
	}
	if p.Workload != nil {
		parts[1], parts[2] = p.Workload.Trusted.Name, "trusted "+parts[2]
	}
	text := make([]byte, 0, 1024)
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

// Signed reports whether the key verifies the signature. It checks once.
func (p *Assertion) Signed() bool {
	if p.Verifications == 0 {
		p.verified = p.verifies(p.Key.Public)
	}
	return p.verified
}

func (p *Assertion) verifies(key *jose.PublicKey) bool {
	p.Verifications++
	return p.jws.Verify(key) == nil
}

func (p *Assertion) expiry() time.Time { return time.Unix(p.Claims.Expiry, 0) }

// rules are those for an assertion that the client itself signed. A JWT-SVID is never that.
func (p *Assertion) rules() []*rule[*Assertion] {
	if p.IsSVID {
		return notSVIDRules
	}
	return assertionRules
}

// Findings tests every rule that can be tested.
func (p *Assertion) Findings() []Finding {
	if p.Workload != nil {
		return explain(workloadRules, p)
	}
	findings := append(explain(assertionRules, p), explain([]*rule[*Assertion]{&environmentRule}, p)...)
	for i := range findings {
		if f := &findings[i]; f.Rule == signatureRule.name && !f.Holds {
			f.Hint = cmp.Or(p.otherKeyHint(), f.Hint)
		}
	}
	return findings
}

// otherKeyHint finds the client's key that does verify the signature, if any. It is
// too much work for a refusal.
func (p *Assertion) otherKeyHint() string {
	for i := range p.Client.Keys {
		if other := &p.Client.Keys[i]; p.verifies(other.Public) {
			return "it was signed with the client's key " + Quote(other.Kid) + ": set kid to that"
		}
	}
	return ""
}

// BadClient is the one answer to every failed client authentication.
func BadClient(refusal *Refusal) error {
	return oauth.Errorf(oauth.InvalidClient, "client authentication failed").Because(refusal)
}
