package server

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Certificates says where the client certificate of a request is read. The zero value reads the
// connection's.
type Certificates struct {
	// Header and ChainHeader, in canonical form, hold what a proxy forwards; empty for none.
	Header, ChainHeader string
	// Proxies are the networks of peers whose headers count. A peer that is not on loopback must show
	// a certificate that verifies to ProxyRoots, as things stand at the request.
	Proxies    overload.Proxies
	ProxyRoots func() *x509.CertPool
}

// certificatesOf returns where the certificates of an issuer's callers are read; nil where its profile
// has no use for them, so that its requests cost nothing more.
func (s *Server) certificatesOf(issuer *registry.Issuer) *Certificates {
	if s.Certificates == nil || !issuer.Profile.Policy.UsesCertificates() {
		return nil
	}
	return s.Certificates
}

// read returns the certificate of the caller, nil if it shows none or if c is nil. From a proxy that may forward one,
// what it forwards is the whole truth: its own certificate is not its caller's. A header of any other
// peer is ignored, and not refused: the answer would reveal the setting.
func (c *Certificates) read(r *http.Request, now time.Time) (shown *clientcert.Shown, ignored bool, err error) {
	if c == nil {
		return nil, false, nil
	}
	own := clientcert.FromTLS(r.TLS)
	if c.Header == "" || !c.believes(r.RemoteAddr, own, now) {
		return own, c.Header != "" && r.Header[c.Header] != nil, nil
	}
	var chain []string
	if c.ChainHeader != "" {
		chain = r.Header[c.ChainHeader]
	}
	if shown, err = clientcert.ReadHeader(r.Header[c.Header], chain); err != nil {
		return nil, false, oauth.Errorf(oauth.InvalidRequest, "the client certificate that the proxy forwards is malformed").Because(err)
	}
	return shown, false, nil
}

// believes reports whether a peer may forward the certificates of others: who may name an address may
// not thereby name a client.
func (c *Certificates) believes(peer string, own *clientcert.Shown, now time.Time) bool {
	remote, err := netip.ParseAddrPort(peer)
	addr := remote.Addr().Unmap()
	if err != nil || !c.Proxies.Contain(addr) {
		return false
	}
	return addr.IsLoopback() || own != nil && c.ProxyRoots != nil && own.Verify(c.ProxyRoots(), now) == nil
}
