package evidence

import (
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// Certificate is a certificate that a request shows, with everything that the rules look at.
type Certificate struct {
	*clientcert.Shown
	Issuer  *registry.Issuer
	Methods platform.AuthSet // those of mutual TLS, one of which it must do for
	Now     time.Time
	// Names are those in the certificate. They, too, are read before the client is looked up.
	Names clientcert.Names
	// ChainErr says why it does not do for tls_client_auth, whoever the client is. It is found out
	// before the client is looked up: the time must not show that there is such a client.
	ChainErr error
	ClientID string
	Client   *registry.Client // nil when there is none
	// Matched are the registered ones that it matches: live ones where there are any.
	Matched []*registry.Certificate
	// Published is the key at the client's jwks_uri whose x5c it is; nil when it is registered.
	// PublishedErr says why none was found.
	Published    *registry.Key
	PublishedErr error
	// BlockedErr says that its private key is published.
	BlockedErr error
}

// Match compares with the registered certificates. The certificate itself, where it is registered,
// decides alone: disabling it revokes it, whatever name it has.
func (s *Certificate) Match() {
	thumbprint := s.Thumbprint()
	var live []*registry.Certificate
	for i := range s.Client.Certificates {
		c := &s.Client.Certificates[i]
		accepted := s.Methods.Has(c.Match.Method())
		switch {
		case c.Match == registry.MatchCertificate && c.Value == thumbprint && (accepted || c.Disabled):
			s.Matched = []*registry.Certificate{c}
			return
		case c.Match != registry.MatchCertificate && accepted && s.hasName(c):
			if s.Matched = append(s.Matched, c); c.LiveAt(s.Now) {
				live = append(live, c)
			}
		}
	}
	if len(live) > 0 {
		s.Matched = live
	} else if len(s.Matched) > 1 {
		s.Matched = s.Matched[:1]
	}
}

// Check holds the certificate to the rules. The error is the refusal.
func (s *Certificate) Check() error {
	if broken := firstBroken(certificateRules, s); broken != nil {
		return BadClient(broken.refusal(s))
	}
	return nil
}

// Findings tests every rule that can be tested.
func (s *Certificate) Findings() []Finding { return explain(certificateRules, s) }

// RefuseElsewhere is the refusal of a published key that belongs to another environment.
func (s *Certificate) RefuseElsewhere(taken *registry.KeyTakenError) error {
	return BadClient(&Refusal{Rule: environmentRule.name, Expected: "a key that belongs to no other environment than " + Quote(s.Issuer.Environment), Found: taken.Error()})
}

// hasName reports whether the certificate has a registered name.
func (s *Certificate) hasName(c *registry.Certificate) bool {
	name, err := clientcert.ParseName(string(c.Match), c.Value)
	return err == nil && s.Names.Has(name)
}

// hasReversed reports whether the certificate has a registered subject in the other order.
func (s *Certificate) hasReversed(c *registry.Certificate) bool {
	name, err := clientcert.ParseName(string(c.Match), c.Value)
	return err == nil && s.Names.HasReversed(name)
}

// byName reports whether it is to authenticate by a name that an authority signed.
func (s *Certificate) byName() bool {
	return len(s.Matched) > 0 && s.Matched[0].Match != registry.MatchCertificate
}

// Credential is what the ledger calls it.
func (s *Certificate) Credential() string {
	if s.Published != nil {
		return s.Published.Kid
	}
	return s.Matched[0].ID
}
