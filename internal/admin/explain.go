package admin

import (
	"moneyer/internal/authority"
	"moneyer/oauth"
)

// Findings is what the rules say of an assertion.
type Findings struct {
	// Use is how the assertion was looked at.
	Use      Use                 `json:"use"`
	Findings []authority.Finding `json:"findings"`
}

// Use is what an assertion is offered as.
type Use string

// The uses of an assertion: as the grant (RFC 7523 §2.1), or to authenticate the
// client (§2.2).
const (
	UseGrant      Use = "grant"
	UseClientAuth Use = "client_authentication"
)

// explain tests an assertion against every rule. It changes nothing; the
// assertion is not used up and is neither logged nor recorded.
func (a *API) explain(c *call) error {
	var assertion string
	use := UseGrant
	if c.issuer.Profile.Policy.Grant(oauth.JWTBearer) == nil {
		use = UseClientAuth
	}
	if err := c.decode(members{"assertion": text(&assertion), "use": text(&use)}); err != nil {
		return err
	}
	switch {
	case assertion == "":
		return invalid("assertion is missing")
	case use != UseGrant && use != UseClientAuth:
		return invalid("use is %s or %s", UseGrant, UseClientAuth)
	case len(c.issuer.Profile.Policy.Assertion.Algs) == 0:
		return refuse("profile %s takes no assertions", c.issuer.Profile.Name)
	}
	findings, err := a.Authority.Explain(c.r.Context(), c.issuer, assertion, use == UseGrant, a.Now())
	if err != nil {
		return err
	}
	return c.reply(Findings{Use: use, Findings: findings})
}
