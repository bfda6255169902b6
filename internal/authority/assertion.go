package authority

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"moneyer/internal/jose"
	"moneyer/oauth"
	"moneyer/profile"
)

// presented is an assertion as it came, with everything that the rules look at.
// Until the signature rule holds, its claims only select a client and a key.
type presented struct {
	issuer *Issuer
	policy *profile.Assertion
	// isGrant tells a grant (RFC 7523 §2.1) from client authentication (§2.2).
	isGrant bool
	// clientID is the request's client_id, which must then name the same client.
	clientID string
	now      time.Time

	jws       *jose.JWS // nil when formErr is not
	formErr   error
	claims    *jose.Claims // nil when claimsErr is not
	claimsErr error
	client    *Client // nil when no client has that iss
	key       *Key    // nil when the client has no such key
	verified  *bool   // what signed found, once asked
}

// byGrantAssertion lets an assertion speak for its client (RFC 7523 §2.1).
func (a *Authority) byGrantAssertion(ctx context.Context, issuer *Issuer, req *Request, now time.Time) (*caller, error) {
	if req.Assertion == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "assertion is missing").
			Because(&Refusal{Rule: "assertion", Expected: "an assertion parameter", Found: "none"})
	}
	p := &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, isGrant: true, now: now}
	return a.byAssertion(ctx, p, req.Assertion)
}

// byClientAssertion authenticates a client by a signed JWT (RFC 7523 §2.2).
func (a *Authority) byClientAssertion(ctx context.Context, issuer *Issuer, req *Request, now time.Time) (*caller, error) {
	p := &presented{issuer: issuer, policy: &issuer.Profile.Policy.Assertion, clientID: req.ClientID, now: now}
	return a.byAssertion(ctx, p, req.ClientAssertion)
}

func (a *Authority) byAssertion(ctx context.Context, p *presented, compact string) (*caller, error) {
	if err := a.present(ctx, p, compact); err != nil {
		return nil, unavailable(err)
	}
	c := &caller{client: p.client, assertion: p}
	if p.key != nil {
		c.credential = p.key.Kid
	}
	broken := firstBroken(p)
	if broken == nil {
		return c, nil
	}
	if broken.tell == unverified && broken != &signatureRule {
		p.wasteTime()
	}
	if p.isGrant {
		return c, refuseAssertion(broken.refusal(p), broken.tell)
	}
	return c, badClient(broken.refusal(p))
}

// refuseAssertion is the answer to an assertion that is bad in any way.
func refuseAssertion(refusal *Refusal, tell string) error {
	return oauth.Errorf(oauth.InvalidGrant, "%s", tell).Because(refusal)
}

// present takes the assertion apart and looks up whom it names. Only trouble
// with the registry is an error; all else is for the rules to judge.
func (a *Authority) present(ctx context.Context, p *presented, compact string) error {
	if p.jws, p.formErr = jose.Parse(compact); p.formErr != nil {
		return nil
	}
	if p.claims, p.claimsErr = jose.ParseClaims(p.jws.Payload); p.claimsErr != nil {
		return nil
	}
	client, err := a.Registry.Client(ctx, p.issuer.Name, p.claims.Issuer)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p.client = client
	p.key = client.key(p.jws.Header.Kid)
	if p.key == nil && client.JWKSURI != "" && a.KeySource != nil && p.jws.Header.Kid != "" {
		return a.presentRemoteKey(ctx, p)
	}
	return nil
}

// presentRemoteKey looks for the kid at the client's jwks_uri. An address that
// does not answer is a missing key, not trouble of ours.
func (a *Authority) presentRemoteKey(ctx context.Context, p *presented) error {
	public, err := a.KeySource.Key(ctx, p.client.JWKSURI, p.jws.Header.Kid)
	if err == nil {
		p.key = &Key{Kid: p.jws.Header.Kid, Public: public}
	}
	return ctx.Err()
}

// key finds the client's key for a kid. Without a kid it is the client's only key.
func (c *Client) key(kid string) *Key {
	if kid == "" && len(c.Keys) == 1 {
		return &c.Keys[0]
	}
	for i := range c.Keys {
		if kid != "" && c.Keys[i].Kid == kid {
			return &c.Keys[i]
		}
	}
	return nil
}

// signed tells whether the key verifies the signature. It asks once.
func (p *presented) signed() bool {
	if p.verified == nil {
		ok := p.jws.Verify(p.key.Public) == nil
		p.verified = &ok
	}
	return *p.verified
}

// wasteTime spends what verifying a signature costs, so that the time of an
// answer does not tell which clients and kids exist.
func (p *presented) wasteTime() {
	_ = decoy.Verify(p.jws.SigningInput, p.jws.Signature)
}

// decoy is the public example key of RFC 7515 appendix A.3.1. It lets nobody in:
// what it verifies is refused all the same.
var decoy = func() *jose.PublicKey {
	key, _, err := jose.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`), jose.ES256)
	if err != nil {
		panic(err) // a constant
	}
	return key
}()

// bind carries over to the grant what the assertion says of it: its subject,
// how it is used up and how its token is found again.
func (p *presented) bind(grant *Grant) {
	if p.claims.Subject != "" {
		grant.Subject = p.claims.Subject
	}
	replay := replayOf(p.issuer, p.isGrant)
	if replay == profile.UntilExp {
		return
	}
	canonical := jose.CanonicalSignature(p.key.Public.Alg(), p.jws.Signature)
	grant.use = &Use{Key: p.useKey(canonical), Until: p.expiry().Add(p.policy.Leeway)}
	if replay == profile.SameToken {
		grant.seal = newTokenSeal(canonical)
	}
}

func (p *presented) expiry() time.Time { return time.Unix(p.claims.Expiry, 0) }

// useKey stands for the assertion: (issuer, iss, jti), or without a jti the
// signature in its one canonical form, since ECDSA signatures can be altered
// without the key, and two honest pods may sign equal claims in one second.
func (p *presented) useKey(canonical []byte) [32]byte {
	h := sha256.New()
	put := func(part string) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		h.Write([]byte(part))
	}
	put(p.issuer.Name)
	put(p.claims.Issuer)
	if p.claims.Has(jose.ClaimID) {
		put("jti")
		put(p.claims.ID)
	} else {
		put("signature")
		h.Write(canonical)
	}
	return [32]byte(h.Sum(nil))
}
