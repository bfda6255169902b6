package authority

import (
	"moneyer/internal/clientcert"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"time"
)

// shownCertificate is a certificate that a request shows, with everything that the rules look at.
type shownCertificate struct {
	*clientcert.Shown
	issuer  *registry.Issuer
	methods platform.AuthSet // those of mutual TLS, one of which it must do for
	now     time.Time
	// chainErr says why it does not do for tls_client_auth, whoever the client is. It is found out
	// before the client is looked up: the time must not show that there is such a client.
	chainErr error
	clientID string
	client   *registry.Client // nil when there is none
	// matched are the registered ones that it matches: live ones where there are any.
	matched []*registry.Certificate
	// published is the key at the client's jwks_uri whose x5c it is; nil when it is registered.
	// publishedErr says why none was found.
	published    *registry.Key
	publishedErr error
	// blockedErr says that its private key is published.
	blockedErr error
}

// match compares with the registered certificates. The certificate itself, where it is registered,
// decides alone: disabling it revokes it, whatever name it has.
func (s *shownCertificate) match() {
	thumbprint := s.Thumbprint()
	var live []*registry.Certificate
	for i := range s.client.Certificates {
		c := &s.client.Certificates[i]
		accepted := s.methods.Has(c.Match.Method())
		switch {
		case c.Match == registry.MatchCertificate && c.Value == thumbprint && (accepted || c.Disabled):
			s.matched = []*registry.Certificate{c}
			return
		case c.Match != registry.MatchCertificate && accepted && s.hasName(c):
			if s.matched = append(s.matched, c); c.LiveAt(s.now) {
				live = append(live, c)
			}
		}
	}
	if len(live) > 0 {
		s.matched = live
	} else if len(s.matched) > 1 {
		s.matched = s.matched[:1]
	}
}

// Check holds the certificate to the rules. The error is the refusal.
func (s *shownCertificate) Check() error {
	if broken := firstBroken(certificateRules, s); broken != nil {
		return badClient(broken.refusal(s))
	}
	return nil
}

// Findings tests every rule that can be tested.
func (s *shownCertificate) Findings() []Finding { return explain(certificateRules, s) }

// RefuseElsewhere is the refusal of a published key that belongs to another environment.
func (s *shownCertificate) RefuseElsewhere(taken *registry.KeyTakenError) error {
	return badClient(&Refusal{Rule: environmentRule.name, Expected: "a key that belongs to no other environment than " + quote(s.issuer.Environment), Found: taken.Error()})
}

// hasName reports whether the certificate has a registered name.
func (s *shownCertificate) hasName(c *registry.Certificate) bool {
	name, err := clientcert.ParseName(string(c.Match), c.Value)
	return err == nil && s.Leaf != nil && name.Matches(s.Leaf)
}

// byName reports whether it is to authenticate by a name that an authority signed.
func (s *shownCertificate) byName() bool {
	return len(s.matched) > 0 && s.matched[0].Match != registry.MatchCertificate
}

// credential is what the ledger calls it.
func (s *shownCertificate) credential() string {
	if s.published != nil {
		return s.published.Kid
	}
	return s.matched[0].ID
}
