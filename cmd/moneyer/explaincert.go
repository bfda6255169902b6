package main

import (
	"context"
	"crypto/x509"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/clientcert"
	"moneyer/internal/registry"
	"moneyer/internal/tlsfiles"
	"moneyer/oauth"
)

// certificateFlags say what a certificate is compared with.
type certificateFlags struct {
	file, ca, value string
	match           registry.CertificateMatch
}

func (f *certificateFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.file, "cert", "", "check this client certificate instead of an assertion: PEM, with the chain that is sent")
	flags.StringVar(&f.ca, "ca", "", "PEM certificates of the authorities that the platform trusts (tls_client_auth)")
	var names []string
	for _, match := range registry.CertificateMatches() {
		if match == registry.MatchCertificate {
			continue
		}
		name := strings.ReplaceAll(string(match), "_", "-")
		flags.Func(name, "the "+name+" that is registered for the certificate", func(value string) error {
			f.match, f.value = match, value
			return nil
		})
		completeNothing(c, name)
		c.MarkFlagsMutuallyExclusive("admin", name)
		names = append(names, name)
	}
	c.MarkFlagsMutuallyExclusive(names...)
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
	p, err := loadProfile("oauth2") // which takes certificates
	if err != nil {
		return nil, err
	}
	issuer := &registry.Issuer{Name: p.Name, Profile: p}
	if f.cert.match != "" {
		if _, err := clientcert.ParseName(string(f.cert.match), f.cert.value); err != nil {
			return nil, usagef("%w", err)
		}
		method, registered = oauth.AuthTLS, registry.Certificate{ID: "registered", Match: f.cert.match, Value: f.cert.value}
		if issuer.CertificateRoots, err = f.cert.roots(); err != nil {
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

// roots reads the authorities.
func (f *certificateFlags) roots() (func() *x509.CertPool, error) {
	if f.ca == "" {
		return nil, usagef("--ca is missing: the file with the authorities that the platform trusts")
	}
	roots, err := tlsfiles.LoadRoots(f.ca)
	if err != nil {
		return nil, usagef("--ca: %w", err)
	}
	return roots.Pool, nil
}

// explainCertificateRemotely asks a running server, which knows what is registered.
func (a *app) explainCertificateRemotely(ctx context.Context, f *explainFlags, _ string) (*explained, error) {
	if f.client == "" {
		return nil, usagef("--client is missing: the client that shows the certificate")
	}
	shown, data, err := f.cert.read(a)
	if err != nil {
		return nil, err
	}
	e, err := a.ask(ctx, f, adminapi.Question{Certificate: string(data), Client: f.client})
	if err != nil {
		return nil, err
	}
	e.Client, e.caveat, e.Clock = f.client, "with the client_id "+f.client, "the certificate ends "+inWords(shown.Leaf.NotAfter.Sub(a.now()))
	return e, nil
}
