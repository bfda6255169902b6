package authority

import (
	"context"
	"errors"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
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

// checkAssertion holds an assertion, as the grant or as client authentication, to the
// rules, and notes the client that it names.
func (a *Authority) checkAssertion(ctx context.Context, t *attempt, c *Credential, isGrant bool) error {
	p := &presented{issuer: t.issuer, policy: &t.issuer.Profile.Policy.Assertion, isGrant: isGrant, clientID: t.req.ClientID, now: t.now,
		isSVID: c.AssertionType == oauth.AssertionTypeSPIFFE}
	if err := a.present(ctx, p, c.Assertion); err != nil {
		return unavailable(err)
	}
	t.asked = t.asked || p.asked
	if isGrant {
		t.grantAssertion = p
	} else {
		t.clientAssertion = p
	}
	if p.workload != nil {
		return a.checkWorkload(ctx, t, p)
	}
	if p.client != nil {
		if err := t.names(p.client); err != nil {
			p.equalizeTiming() // as for a client that nobody knows
			return err
		}
	}
	if p.key != nil {
		t.shows(p.key.Kid)
	}
	if err := a.penalized(t); err != nil {
		return err
	}
	broken := firstBroken(p.rules(), p)
	if broken == nil {
		if p.mayNameSubjects() && p.claims.Subject != p.client.ID {
			t.subject = p.claims.Subject
		}
		return a.claimRemoteKey(ctx, p)
	}
	return p.refuseBy(broken)
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

// present takes the assertion apart and looks up whom it names. Only a registry that
// is unavailable is an error; all else is for the rules to judge.
func (a *Authority) present(ctx context.Context, p *presented, compact string) error {
	p.compact = compact
	if p.jws, p.formErr = jose.Parse(compact); p.formErr != nil {
		return nil
	}
	if p.findTrusted(); p.workload != nil {
		return a.presentWorkload(ctx, p)
	}
	if p.claims, p.claimsErr = jose.ParseClaims(p.jws.Payload); p.claimsErr != nil {
		return nil
	}
	client, asked, err := a.Registry.FindClient(ctx, p.issuer.Name, p.claims.Issuer)
	p.asked = asked
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p.client = client
	p.key = client.Key(p.jws.Header.Kid)
	if p.key == nil && !client.Disabled && client.JWKSURI != "" && a.KeySource != nil && p.jws.Header.Kid != "" {
		return a.presentRemoteKey(ctx, p)
	}
	return nil
}

// presentRemoteKey looks for the kid at the client's jwks_uri. An address that
// does not answer is a missing key.
func (a *Authority) presentRemoteKey(ctx context.Context, p *presented) error {
	public, err := a.KeySource.Key(ctx, p.client.JWKSURI, p.jws.Header.Kid)
	switch {
	case err != nil:
		p.keyErr = err
	case registry.Blocked(public, a.BlockedKeys) != nil:
		p.keyErr = errors.New("the private half of the key there is published, or refused by configuration")
	default:
		p.key, p.isRemote = &registry.Key{Kid: p.jws.Header.Kid, Public: public}, true
	}
	return ctx.Err()
}

// claimRemoteKey holds a key from a jwks_uri to one environment, as registration does
// with a registered key. The assertion has passed every other rule.
func (a *Authority) claimRemoteKey(ctx context.Context, p *presented) error {
	if !p.isRemote {
		return nil
	}
	err := a.KeySource.Claim(ctx, p.key.Public, p.client, p.issuer.Environment, p.key.Kid)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p.elsewhere):
		return p.refuse(environmentRule.refusal(p), environmentRule.tell)
	default:
		return unavailable(err)
	}
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
