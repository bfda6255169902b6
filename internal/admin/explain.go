package admin

import (
	"moneyer/internal/adminapi"
	"moneyer/internal/clientcert"
	"moneyer/oauth"
)

// explain checks an assertion, or a client certificate, against every rule. It changes nothing: the
// assertion is not consumed, logged or recorded.
func (a *API) explain(c *call) error {
	var assertion, certificate, client string
	use := adminapi.UseGrant
	if c.issuer.Profile.Policy.Grant(oauth.JWTBearer) == nil {
		use = adminapi.UseClientAuth
	}
	if err := c.decode(members{"assertion": text(&assertion), "use": text(&use), "certificate": text(&certificate), "client": text(&client)}); err != nil {
		return err
	}
	switch {
	case certificate != "" && assertion == "":
		return a.explainCertificate(c, certificate, client)
	case certificate != "" || client != "":
		return invalid("certificate and client belong together, without an assertion")
	case assertion == "":
		return invalid("assertion is missing")
	case use != adminapi.UseGrant && use != adminapi.UseClientAuth:
		return invalid("use is %s or %s", adminapi.UseGrant, adminapi.UseClientAuth)
	case len(c.issuer.Profile.Policy.Assertion.Algs) == 0:
		return refuse("profile %s takes no assertions", c.issuer.Profile.Name)
	}
	findings, err := a.Authority.Explain(c.r.Context(), c.issuer, assertion, use == adminapi.UseGrant, a.Now())
	demanded := c.issuer.Profile.Policy.DemandsCertificate(use == adminapi.UseGrant)
	return c.outcome(adminapi.Findings{Use: use, Findings: findings, DemandsCertificate: demanded}, err)
}

// explainCertificate checks a certificate by which a client would authenticate.
func (a *API) explainCertificate(c *call, certificate, client string) error {
	shown, err := clientcert.ParsePEM([]byte(certificate))
	policy := &c.issuer.Profile.Policy
	switch {
	case err != nil:
		return invalid("certificate: %v", err)
	case client == "":
		return invalid("client is missing")
	case !policy.Uses(oauth.AuthTLS) && !policy.Uses(oauth.AuthSelfSignedTLS):
		return refuse("issuer %s takes no client certificates: see listen.client_cert, and the issuer's client_certificate", c.issuer.Name)
	}
	findings, err := a.Authority.ExplainCertificate(c.r.Context(), c.issuer, client, shown, a.Now())
	return c.outcome(adminapi.Findings{Use: adminapi.UseClientAuth, Findings: findings}, err)
}
