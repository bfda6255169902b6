package authority

import (
	"context"
	"errors"
	"slices"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
)

// workload is what is known of an assertion that a trusted issuer made for its client (RFC
// 7521 §3), and that names the client by an identity.
type workload struct {
	trusted *registry.TrustedIssuer
	// texts are the claims that are strings of at most jose.MaxSubject bytes.
	texts map[string]string
	// identity is the registered one with the values of the claims that name a client, and
	// of several the one whose further claims hold, too; nil when there is none.
	identity *registry.Identity
}

// showsWorkload reports whether a token of a trusted issuer is shown.
func (t *attempt) showsWorkload() bool {
	return slices.ContainsFunc([]*presented{t.grantAssertion, t.clientAssertion}, func(p *presented) bool { return p != nil && p.workload != nil })
}

// findTrusted looks for the trusted issuer that the assertion says it is from, before any
// client can be meant by the same iss. What it reads is longer than what a client's own
// assertion may hold, so it counts only if there is one.
func (p *presented) findTrusted() {
	if len(p.issuer.Trusted) == 0 {
		return
	}
	claims, err := jose.ParseClaimsOf(p.jws.Payload, jose.MaxSubject)
	if err != nil {
		return
	}
	t := p.issuer.TrustedBy(claims.Issuer, claims.Subject)
	if t == nil {
		return
	}
	p.claims, p.workload = claims, &workload{trusted: t, texts: map[string]string{}}
	p.policy = &platform.Assertion{Algs: t.Algs, Kid: platform.KidOptional, MaxLifetime: t.MaxLifetime, Leeway: p.policy.Leeway, Replay: t.Replay}
	_ = strictjson.Object(p.jws.Payload, strictjson.Limits{}, func(name string, v strictjson.Value) error { // it was well-formed a moment ago
		if text, err := v.Text(); err == nil && len(text) <= jose.MaxSubject {
			p.workload.texts[name] = text
		}
		return nil
	})
}

// presentWorkload looks for the key in the place that configuration names. While nobody can
// tell whether there is such a key, the error says so, and nothing is refused.
func (a *Authority) presentWorkload(ctx context.Context, p *presented) error {
	trusted, kid := p.workload.trusted, p.jws.Header.Kid
	if trusted.Disabled {
		return nil
	}
	if a.TrustedKeys == nil {
		return errors.New("nobody has the keys of trusted issuers")
	}
	public, err := a.TrustedKeys.Key(ctx, trusted, kid)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		p.keyErr = err
	case err != nil:
		return err
	case registry.Blocked(public, a.BlockedKeys) != nil:
		p.keyErr = errors.New("the private half of the key is published, or refused by configuration")
	default:
		p.key = &registry.Key{Kid: kid, Public: public}
	}
	return nil
}

// checkWorkload holds a token of a trusted issuer to the rules, and notes the client whose
// identity it names. The registry is asked only about a token that is verified.
func (a *Authority) checkWorkload(ctx context.Context, t *attempt, p *presented) error {
	if broken := firstBroken(tokenRules, p); broken != nil {
		return p.refuseBy(broken)
	}
	if err := a.findIdentity(ctx, p); err != nil {
		return unavailable(err)
	}
	t.asked = t.asked || p.asked
	if p.client != nil {
		if err := t.names(p.client); err != nil {
			return err
		}
	}
	if p.workload.identity != nil {
		t.shows(p.workload.identity.ID)
	}
	if broken := firstBroken(identityRules, p); broken != nil {
		return p.refuseBy(broken)
	}
	return nil
}

// findIdentity looks for the client that is registered with what the token says. Only a
// registry that is unavailable is an error.
func (a *Authority) findIdentity(ctx context.Context, p *presented) error {
	w := p.workload
	digest := a.Pepper.Identity(w.trusted, func(claim string) string { return w.texts[claim] })
	client, asked, err := a.Registry.FindClientByDigest(ctx, p.issuer.Name, digest)
	p.asked = asked
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range client.Identities {
		identity := &client.Identities[i]
		if identity.Trusted != w.trusted.Name || !identity.Digest.Equal(digest) {
			continue
		}
		p.client = client
		if w.identity == nil || w.differs(w.identity) != "" {
			w.identity = identity
		}
	}
	return nil
}

// differs returns the first claim by name, of those of an identity, that the token does not
// have with the same value, or "".
func (w *workload) differs(identity *registry.Identity) string {
	first := ""
	for name, value := range identity.Claims {
		if text, ok := w.texts[name]; (!ok || text != value) && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// required lists the claims that must be there, whatever the profile requires of what clients
// sign: without aud the token would be good for others, without exp for ever.
func (w *workload) required() []string {
	names := []string{"aud", "exp"}
	for _, name := range w.trusted.Claims {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// accepts reports whether aud is a name for this issuer in the token: one that is configured,
// or else what it may be in an assertion that the client signs itself.
func (p *presented) accepts(aud string) bool {
	switch configured := p.workload.trusted.Audience; {
	case len(configured) > 0:
		return slices.Contains(configured, aud)
	case p.isGrant:
		return p.issuer.AcceptsAudience(aud)
	default:
		return aud == p.issuer.URL
	}
}
