package main

import (
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

var certificateHeading = []string{"ID", "COMPARES", "VALUE", "STATE", "UNTIL", "LAST USED"}

func (o *onboarding) certificateRow(c *adminapi.Certificate) []string {
	return []string{c.ID, matchWords(c.Match), visible(c.Value), o.state(c.Disabled, time.Time{}, c.NotAfter), o.when(c.NotAfter, "no end"), o.when(c.LastUsed, "never")}
}

// matchWords says what of a certificate is compared.
func matchWords(m registry.CertificateMatch) string {
	if m == registry.MatchCertificate {
		return "x5t#S256"
	}
	return strings.ReplaceAll(string(m), "_", " ")
}

var certificateNoun = by((*adminclient.Issuer).Certificates, certificateHeading, (*onboarding).certificateRow, credential{command: "certificate", id: "ID", words: "certificate", one: "a certificate", plural: "certificates",
	bounds: "until when", flags: "--not-after", client: "shop --issuer acme", example: "shop --issuer acme ID"})

func (o *onboarding) certificateCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "certificate",
		Short: "Register and change the certificates of clients",
		Long: `A client authenticates by mutual TLS (RFC 8705) with a certificate that is registered
here: itself (self_signed_tls_client_auth), or by one name that it has and an
authority of the issuer's tls_client_auth_ca vouches for (tls_client_auth). The
certificate's own dates count as well. There are no revocation lists: disabling it is
its revocation, also of one certificate of a client that is registered by a name
('add --pem FILE --disabled'). To renew one that is registered itself, add the new one
before the client changes, and remove the old one when it is no longer used.`,
		Example: `  moneyer certificate add shop --issuer acme --pem client.crt
  moneyer certificate add shop --issuer acme --san-dns client.shop.example
  moneyer certificate list shop --issuer acme`,
	}, o.credentialVerbs(certificateNoun, untilTimes, o.certificateAdd())...)
}

func (o *onboarding) certificateAdd() *cobra.Command {
	var file string
	var n adminapi.NewCertificate
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: "Register a certificate, or a name that certificates have",
		Long: `Register a certificate from a file (PEM, DER, or a JWK with x5c), or from standard
input when it is called '-'; or the one name that the client's certificates have. A
certificate belongs to one client of the issuer and to one environment. A DN is
written as 'openssl x509 -noout -subject -nameopt RFC2253' prints it.`,
		Example: `  moneyer certificate add shop --issuer acme --pem client.crt
  moneyer certificate add shop --issuer acme --subject-dn "CN=client,O=Shop Ltd,C=NL" --not-after 365d
  moneyer certificate add shop --issuer acme --san-uri spiffe://shop.example/gateway`,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("pem") {
				data, err := o.readFile(file)
				if err != nil {
					return usage(err)
				}
				n.Certificate = certificateText(data)
				if _, err := registry.ReadCertificate(n.Certificate); err != nil { // before a private key leaves this machine
					return refused(fmt.Errorf("--pem %s: %w", file, err))
				}
			}
			at, times, err := o.atTimes(c)
			if err != nil {
				return err
			}
			n.NotAfter = times.NotAfter
			made, err := at.Certificates().Add(c.Context(), args[0], n)
			registered := map[bool]string{false: "registered", true: "registered, disabled,"}[made.Disabled]
			return o.outcome(made, err, "certificate %s (%s %s) is %s for client %s of issuer %s, until: %s",
				made.ID, matchWords(made.Match), visible(made.Value), registered, args[0], o.issuer, o.when(made.NotAfter, "no end"))
		},
	}
	flags := c.Flags()
	flags.StringVar(&file, "pem", "", "the `file` of the certificate itself")
	names := []string{"subject-dn", "san-dns", "san-uri", "san-ip", "san-email"}
	flags.StringVar(&n.SubjectDN, names[0], "", "its subject: a distinguished `name` (RFC 4514)")
	flags.StringVar(&n.SANDNS, names[1], "", "a DNS `name` in its subject alternative names")
	flags.StringVar(&n.SANURI, names[2], "", "a `URI` there, such as a SPIFFE ID")
	flags.StringVar(&n.SANIP, names[3], "", "an IP `address` there")
	flags.StringVar(&n.SANEmail, names[4], "", "an e-mail `address` there")
	flags.BoolVar(&n.Disabled, "disabled", false, "register it disabled: with --pem that revokes one certificate of a client that is registered by a name")
	completeNothing(c, names...)
	c.MarkFlagsOneRequired(append(names, "pem")...)
	c.MarkFlagsMutuallyExclusive(append(names, "pem")...)
	return c
}

// certificateText returns a certificate as the API takes it: DER as PEM.
func certificateText(data []byte) string {
	if _, err := jose.ParseCertificate(data); err == nil {
		data = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data})
	}
	return string(data)
}
