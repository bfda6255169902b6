package admin

import (
	"moneyer/internal/adminapi"
	"moneyer/oauth"
)

// explain checks an assertion against every rule. It changes nothing: the assertion is
// not consumed, logged or recorded.
func (a *API) explain(c *call) error {
	var assertion string
	use := adminapi.UseGrant
	if c.issuer.Profile.Policy.Grant(oauth.JWTBearer) == nil {
		use = adminapi.UseClientAuth
	}
	if err := c.decode(members{"assertion": text(&assertion), "use": text(&use)}); err != nil {
		return err
	}
	switch {
	case assertion == "":
		return invalid("assertion is missing")
	case use != adminapi.UseGrant && use != adminapi.UseClientAuth:
		return invalid("use is %s or %s", adminapi.UseGrant, adminapi.UseClientAuth)
	case len(c.issuer.Profile.Policy.Assertion.Algs) == 0:
		return refuse("profile %s takes no assertions", c.issuer.Profile.Name)
	}
	findings, err := a.Authority.Explain(c.r.Context(), c.issuer, assertion, use == adminapi.UseGrant, a.Now())
	return c.outcome(adminapi.Findings{Use: use, Findings: findings}, err)
}
