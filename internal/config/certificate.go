package config

import (
	"net/netip"
	"slices"
	"strings"
)

// CertificateHeaders reports whether proxies forward client certificates.
func (l Listener) CertificateHeaders() bool { return l.ClientCertHeader != "" }

// ShowsCertificates reports whether a client certificate can reach the server: in the connection, or
// through a proxy.
func (l Listener) ShowsCertificates() bool {
	return l.asksForCertificates() || l.CertificateHeaders()
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
	check.want(l.CertificateHeaders() == (len(l.ClientCertProxies) > 0), "listen.client_cert_proxies",
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
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	return err == nil && !(p.Addr().Is4() && p.Bits() >= loopback.Bits() && loopback.Contains(p.Addr()) || p == netip.MustParsePrefix("::1/128"))
}

// checkHeader checks the name of a header for certificates. Names that the server, or HTTP itself,
// reads otherwise are refused.
func checkHeader(check *checker, key, name string) {
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" // RFC 9110 §5.6.2
	lower := strings.ToLower(name)
	check.want(strings.Trim(lower, token) == "" && !slices.Contains([]string{"authorization", "content-type", "content-length", "content-encoding", "host", "x-forwarded-for"}, lower),
		key, `%q is not the name of a header for certificates, such as "Client-Cert"`, name)
}
