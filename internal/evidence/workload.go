package evidence

import (
	"slices"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
)

// Workload is what is known of an assertion that a trusted issuer made for its client (RFC
// 7521 §3), and that names the client by an identity.
type Workload struct {
	Trusted *registry.TrustedIssuer
	// texts are the claims that are strings of at most jose.MaxSubject bytes.
	texts map[string]string
	// Identity is the registered one with the values of the claims that name a client, and
	// of several the one whose further claims hold, too; nil when there is none.
	Identity *registry.Identity
}

// findTrusted looks for the trusted issuer that the assertion says it is from, before any
// client can be meant by the same iss. What it reads is longer than what a client's own
// assertion may hold, so it counts only if there is one.
func (p *Assertion) findTrusted() {
	if len(p.Issuer.Trusted) == 0 {
		return
	}
	claims, err := jose.ParseClaimsOf(p.jws.Payload, jose.MaxSubject)
	if err != nil {
		return
	}
	t := p.Issuer.TrustedBy(claims.Issuer, claims.Subject)
	if t == nil {
		return
	}
	p.Claims, p.Workload = claims, &Workload{Trusted: t, texts: map[string]string{}}
	p.policy = &platform.Assertion{Algs: t.Algs, Kid: platform.KidOptional, MaxLifetime: t.MaxLifetime, Leeway: p.policy.Leeway, Replay: t.Replay}
	_ = strictjson.Object(p.jws.Payload, strictjson.Limits{}, func(name string, v strictjson.Value) error { // it was well-formed a moment ago
		if text, err := v.Text(); err == nil && len(text) <= jose.MaxSubject {
			p.Workload.texts[name] = text
		}
		return nil
	})
}

// Text is the claim with that name, or "".
func (w *Workload) Text(claim string) string { return w.texts[claim] }

// TakeIdentity takes the client if it is registered with what the token says.
func (p *Assertion) TakeIdentity(client *registry.Client, digest registry.Digest) {
	w := p.Workload
	for i := range client.Identities {
		identity := &client.Identities[i]
		if identity.Trusted != w.Trusted.Name || !identity.Digest.Equal(digest) {
			continue
		}
		p.Client = client
		if w.Identity == nil || w.differs(w.Identity) != "" {
			w.Identity = identity
		}
	}
}

// differs returns the first claim by name, of those of an identity, that the token does not
// have with the same value, or "".
func (w *Workload) differs(identity *registry.Identity) string {
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
func (w *Workload) required() []string {
	names := []string{"aud", "exp"}
	for _, name := range w.Trusted.Claims {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// accepts reports whether aud is a name for this issuer in the token: one that is configured,
// or else what it may be in an assertion that the client signs itself.
func (p *Assertion) accepts(aud string) bool {
	switch configured := p.Workload.Trusted.Audience; {
	case len(configured) > 0:
		return slices.Contains(configured, aud)
	case p.isGrant:
		return p.Issuer.AcceptsAudience(aud)
	default:
		return aud == p.Issuer.URL
	}
}
