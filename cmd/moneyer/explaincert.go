package main

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/clientcert"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// certificateFlags say what a certificate is compared with.
type certificateFlags struct {
	file, ca, value string
	match           registry.CertificateMatch
}

// certificateNames are the flags of the names that can be registered.
var certificateNames = map[string]registry.CertificateMatch{
	"subject-dn": registry.MatchSubjectDN, "san-dns": registry.MatchSANDNS, "san-uri": registry.MatchSANURI, "san-ip": registry.MatchSANIP, "san-email": registry.MatchSANEmail,
}

func (f *certificateFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.file, "cert", "", "check this client certificate instead of an assertion: PEM, with the chain that is sent")
	flags.StringVar(&f.ca, "ca", "", "PEM certificates of the authorities that the platform trusts (tls_client_auth)")
	names := slices.Sorted(maps.Keys(certificateNames))
	for _, name := range names {
		flags.Func(name, "the "+name+" that is registered for the certificate", func(value string) error {
			f.match, f.value = certificateNames[name], value
			return nil
		})
		completeNothing(c, name)
	}
	c.MarkFlagsMutuallyExclusive(names...)
	for _, name := range names {
		c.MarkFlagsMutuallyExclusive("admin", name)
	}
}

// read reads the certificate with its chain.
func (f *certificateFlags) read(a *app) (*clientcert.Shown, []byte, error) {
	data, err := a.readFile(f.file)
	if err != nil {
		return nil, nil, usagef("--cert: %w", err)
	}
	shown, err := clientcert.ParsePEM(data)
	if err != nil {
		return nil, nil, usagef("--cert %s: %w", f.file, err)
	}
	return shown, data, nil
}

// explainCertificateLocally applies the rules to a registry of one client, which has the certificate
// itself, or the name that a flag gives.
func (a *app) explainCertificateLocally(ctx context.Context, f *explainFlags, _ string) (*explained, error) {
	shown, _, err := f.cert.read(a)
	if err != nil {
		return nil, err
	}
	now, err := f.instant(a.now())
	if err != nil {
		return nil, err
	}
	method, registered := oauth.AuthSelfSignedTLS, registry.Certificate{ID: "itself", Match: registry.MatchCertificate, Value: shown.Thumbprint()}
	issuer, err := anyIssuer()
	if err != nil {
		return nil, err
	}
	if f.cert.match != "" {
		if _, err := clientcert.ParseName(string(f.cert.match), f.cert.value); err != nil {
			return nil, usagef("%w", err)
		}
		method, registered = oauth.AuthTLS, registry.Certificate{ID: "registered", Match: f.cert.match, Value: f.cert.value}
		if issuer.CertificateRoots, err = f.cert.roots(a); err != nil {
			return nil, err
		}
	} else if f.cert.ca != "" {
		return nil, usagef("--ca goes with the name that is registered, such as --subject-dn")
	}
	client := &registry.Client{Issuer: issuer.Name, ID: "client", Certificates: []registry.Certificate{registered}}
	judge := &authority.Authority{Registry: onlyClient{client: client}}
	findings, err := judge.ExplainCertificate(ctx, issuer, client.ID, shown, now)
	if err != nil {
		return nil, unavailable(err)
	}
	return &explained{Issuer: issuer.Name, Findings: findings, Clock: "the certificate ends " + inWords(shown.Leaf.NotAfter.Sub(now)),
		heading: "As a Moneyer server would judge it for " + string(method), caveat: "if it is registered so"}, nil
}

// anyIssuer is an issuer that takes certificates.
func anyIssuer() (*registry.Issuer, error) {
	p, err := loadProfile("oauth2")
	if err != nil {
		return nil, err
	}
	return &registry.Issuer{Name: p.Name, Profile: p}, nil
}

// roots reads the authorities.
func (f *certificateFlags) roots(a *app) (func() *x509.CertPool, error) {
	if f.ca == "" {
		return nil, usagef("--ca is missing: the file with the authorities that the platform trusts")
	}
	data, err := a.readFile(f.ca)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, usagef("--ca %s holds no certificate in PEM", f.ca)
	}
	return func() *x509.CertPool { return pool }, nil
}

// explainCertificateRemotely asks a running server, which knows what is registered.
func (a *app) explainCertificateRemotely(ctx context.Context, f *explainFlags, _ string) (*explained, error) {
	if f.issuerName == "" {
		return nil, usagef("--issuer-name is missing: the issuer by its name on that server")
	}
	if f.client == "" {
		return nil, usagef("--client is missing: the client that shows the certificate")
	}
	shown, data, err := f.cert.read(a)
	if err != nil {
		return nil, err
	}
	o := &onboarding{app: a, file: f.admin, issuer: f.issuerName}
	at, err := o.at(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := at.Explain(ctx, adminapi.Question{Certificate: string(data), Client: f.client})
	if err != nil {
		return nil, err
	}
	if len(answer.Findings) == 0 {
		return nil, unavailable(errors.New("the server returned no findings"))
	}
	return &explained{Issuer: f.issuerName, Client: f.client, Findings: answer.Findings, Clock: "the certificate ends " + inWords(shown.Leaf.NotAfter.Sub(a.now())),
		heading: "As the server judges it for its issuer " + f.issuerName, caveat: "with the client_id " + f.client}, nil
}
