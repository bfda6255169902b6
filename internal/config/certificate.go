package config

import (
	"net/netip"
	"slices"
	"strings"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// ShowsCertificates reports whether a client certificate can reach the server: in the connection, or
// through a proxy.
func (l Listener) ShowsCertificates() bool {
	return l.asksForCertificates() || l.ClientCertHeader != ""
}

func (l Listener) asksForCertificates() bool { return l.ClientCert == "ask" || l.ClientCA != "" }

// checkClientCert checks what the listener for callers says of client certificates.
func (l Listener) checkClientCert(check *checker) {
	check.want(l.ClientCert == "none" || l.ClientCert == "ask", "listen.client_cert", `must be "none" or "ask"`)
	check.want(l.ClientCert != "ask" || l.TLSCert != "", "listen.client_cert", "needs tls_cert and tls_key: client certificates are shown within TLS")
	check.want(l.ClientCert != "ask" || l.ClientCA == "", "listen.client_cert", "remove this or client_ca, which demands a certificate of every caller")
	checkHeader(check, "listen.client_cert_header", l.ClientCertHeader)
	checkHeader(check, "listen.client_cert_chain_header", l.ClientCertChainHeader)
	check.want(l.ClientCertChainHeader == "" || l.ClientCertHeader != "" && !strings.EqualFold(l.ClientCertChainHeader, l.ClientCertHeader),
		"listen.client_cert_chain_header", "needs client_cert_header, and another name than it")
	check.want((l.ClientCertHeader != "") == (len(l.ClientCertProxies) > 0), "listen.client_cert_proxies",
		"client_cert_header and client_cert_proxies belong together: a header counts only from a proxy that is named")
	checkNetworks(check, "listen.client_cert_proxies", l.ClientCertProxies)
	remote := slices.ContainsFunc(l.ClientCertProxies, isRemote)
	check.want(!remote || l.ClientCertProxyCA != "", "listen.client_cert_proxies",
		"has a network beyond loopback: set client_cert_proxy_ca, by which a proxy there proves what it is")
	check.want(l.ClientCertProxyCA == "" || l.asksForCertificates() && remote, "listen.client_cert_proxy_ca",
		`needs client_cert = "ask" or client_ca, and client_cert_proxies beyond loopback`)
}

// isRemote reports whether a network has addresses other than those of loopback.
func isRemote(network string) bool {
	p, err := netip.ParsePrefix(network)
	least := 8 // of 127.0.0.0/8
	if p.Addr().Is6() {
		least = 128
	}
	return err == nil && (!p.Addr().IsLoopback() || p.Bits() < least)
}

// checkHeader checks the name of a header for certificates. Names that the server, or HTTP itself,
// reads otherwise are refused.
func checkHeader(check *checker, key, name string) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" // RFC 9110 §5.6.2
	lower := strings.ToLower(name)
	check.want(strings.Trim(lower, token) == "" && !slices.Contains([]string{"authorization", "content-type", "content-length", "content-encoding", "host", "x-forwarded-for"}, lower),
		key, `%q is not the name of a header for certificates, such as "Client-Cert"`, name)
}

// checkCertificates checks what an issuer says of client certificates, and gives it the sets that it
// takes: those that it demands, without those for which no certificate can arrive or no authority is
// named.
func (c *Config) checkCertificates(check *checker, key string, i *Issuer, made *registry.Issuer) {
	var demanded []oauth.ClientAuth
	for _, method := range i.ClientCertificate {
		known := method == string(oauth.AuthTLS) || method == string(oauth.AuthSelfSignedTLS)
		check.want(known && !slices.Contains(demanded, oauth.ClientAuth(method)), key+"client_certificate",
			`lists "tls_client_auth", "self_signed_tls_client_auth" or both`)
		demanded = append(demanded, oauth.ClientAuth(method))
	}
	p, arrives := *made.Profile, c.Listen.ShowsCertificates()
	if len(demanded) > 0 {
		p.Policy = p.Policy.WithCertificate(demanded)
	}
	used := p.Policy.UsesCertificates()
	for name, set := range map[string]bool{"client_certificate": len(demanded) > 0, "tls_client_auth_ca": i.TLSClientAuthCA != "", "mtls_url": i.MTLSURL != ""} {
		check.want(!set || arrives, key+name, `no client certificate can arrive: set listen.client_cert = "ask", or listen.client_cert_header behind a proxy`)
		check.want(!set || used, key+name, "profile %s has no use for client certificates: remove this, or demand them by client_certificate", p.Name)
	}
	check.want(i.TLSClientAuthCA == "" || p.Policy.Uses(oauth.AuthTLS), key+"tls_client_auth_ca", "nothing here takes tls_client_auth: remove this")
	check.want(i.TLSClientAuthCA != "" || !slices.Contains(demanded, oauth.AuthTLS), key+"client_certificate", "tls_client_auth needs tls_client_auth_ca")
	if i.MTLSURL != "" {
		checkURL(check, key+"mtls_url", i.MTLSURL)
		check.want(i.MTLSURL != i.URL, key+"mtls_url", "is url itself: remove this")
	}
	if !arrives {
		p.Policy = p.Policy.Without(oauth.AuthTLS, oauth.AuthSelfSignedTLS)
	} else if i.TLSClientAuthCA == "" {
		p.Policy = p.Policy.Without(oauth.AuthTLS)
	}
	for _, grant := range p.Policy.Grants {
		check.want(len(grant.ClientAuth) > 0, key+"profile", `%s authenticates the clients of %s by certificates: set listen.client_cert or listen.client_cert_header, and tls_client_auth_ca`, p.Name, grant.Type)
	}
	made.Profile, made.MTLSURL = &p, i.MTLSURL
}
