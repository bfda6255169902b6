package jwksuri

import (
	"context"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

const (
	// claimFor is how long after its last use a fetched key stays bound to its environment.
	claimFor = 24 * time.Hour
	// recheck is how long the registrations of a key that is in use are not looked up again.
	recheck   = 5 * time.Minute
	maxClaims = 100_000
)

// Registrations knows where keys are registered.
type Registrations interface {
	// KeyElsewhere returns a *registry.KeyTakenError if a key is registered for an environment other
	// than that one. Any other error means that it cannot say.
	KeyElsewhere(ctx context.Context, thumbprint, environment string) error
}

// claim binds a fetched key to the environment for which it was used first.
type claim struct {
	holder        registry.KeyTakenError // what another environment is told
	checked, used time.Time
}

// Elsewhere returns a *registry.KeyTakenError if a fetched key may not be used for an issuer of that
// environment, because it is registered for another one, or was claimed for another one within a
// day. Any other error means that the registry is unavailable.
func (s *Source) Elsewhere(ctx context.Context, key *jose.PublicKey, environment string) error {
	thumbprint, now := key.Thumbprint(), s.now()
	s.mu.Lock()
	c, known := s.claims[thumbprint]
	s.mu.Unlock()
	switch {
	case !known:
	case c.holder.Environment == environment && now.Sub(c.checked) < recheck:
		return nil
	case c.holder.Environment != environment && now.Sub(c.used) < claimFor:
		return &c.holder
	}
	return s.registered.KeyElsewhere(ctx, thumbprint, environment)
}

// Claim binds a key that was fetched for a client to the environment of the client's issuer; errors
// are those of Elsewhere. Call it only after an assertion for that issuer was verified with the key: public
// keys are public, and by publishing another party's key nobody may take it from that party.
//
// Claims are kept in memory: what another replica verified is not known here.
func (s *Source) Claim(ctx context.Context, key *jose.PublicKey, client *registry.Client, environment, kid string) error {
	if err := s.Elsewhere(ctx, key, environment); err != nil {
		return err
	}
	thumbprint, now := key.Thumbprint(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.claims[thumbprint]
	switch other := known && c.holder.Environment != environment; {
	case other && now.Sub(c.used) < claimFor:
		return &c.holder // claimed meanwhile
	case !known || other:
		s.makeRoom(now)
		c = claim{holder: registry.KeyTakenError{Issuer: client.Issuer, Client: client.ID, Kid: kid, Environment: environment, Fetched: true}, checked: now}
	case now.Sub(c.checked) >= recheck:
		c.checked = now
	}
	c.used = now
	s.claims[thumbprint] = c
	return nil
}

// makeRoom drops claims that are over once there are too many, or else any one. The caller holds mu.
func (s *Source) makeRoom(now time.Time) {
	if len(s.claims) < maxClaims {
		return
	}
	for thumbprint, c := range s.claims {
		if now.Sub(c.used) >= claimFor {
			delete(s.claims, thumbprint)
		}
	}
	for thumbprint := range s.claims {
		if len(s.claims) < maxClaims {
			return
		}
		delete(s.claims, thumbprint)
	}
}
