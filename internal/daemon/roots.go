package daemon

import (
	"fmt"
	"net/textproto"

	"moneyer/internal/config"
	"moneyer/internal/server"
	"moneyer/internal/tlsfiles"
)

// roots are the authorities of client certificates: those of proxies, and of each issuer by name. They
// are nil or absent where the configuration names none.
type roots struct {
	proxies *tlsfiles.Roots
	issuers map[string]*tlsfiles.Roots
}

// loadRoots reads the files of authorities that the configuration names.
func loadRoots(cfg *config.Config) (r roots, err error) {
	if file := cfg.Listen.ClientCertProxyCA; file != "" {
		if r.proxies, err = tlsfiles.LoadRoots(cfg.Path(file)); err != nil {
			return r, fmt.Errorf("listen.client_cert_proxy_ca: %w", err)
		}
	}
	r.issuers = map[string]*tlsfiles.Roots{}
	for name, issuer := range cfg.Issuers {
		if issuer.TLSClientAuthCA == "" {
			continue
		}
		if r.issuers[name], err = tlsfiles.LoadRoots(cfg.Path(issuer.TLSClientAuthCA)); err != nil {
			return r, fmt.Errorf("issuers.%s.tls_client_auth_ca: %w", name, err)
		}
	}
	return r, nil
}

// reload reads changed files. What cannot be read stays as it was, and is reported.
func (r *roots) reload(report func(task string, err error)) {
	if r.proxies != nil {
		report("read listen.client_cert_proxy_ca", r.proxies.Reload())
	}
	for name, issuer := range r.issuers {
		report("read tls_client_auth_ca of issuer "+name, issuer.Reload())
	}
}

// certificates returns where the public listener's client certificates are read; nil if none can
// arrive.
func (r *roots) certificates(l config.Listener) *server.Certificates {
	if !l.ShowsCertificates() {
		return nil
	}
	c := &server.Certificates{Header: textproto.CanonicalMIMEHeaderKey(l.ClientCertHeader),
		ChainHeader: textproto.CanonicalMIMEHeaderKey(l.ClientCertChainHeader), Proxies: prefixes(l.ClientCertProxies)}
	if r.proxies != nil {
		c.ProxyRoots = r.proxies.Pool
	}
	return c
}
