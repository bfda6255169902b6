package daemon

import (
	"fmt"
	"net/textproto"

	"moneyer/internal/config"
	"moneyer/internal/server"
	"moneyer/internal/tlsfiles"
)

// roots are the authorities of client certificates, by the setting that names their file.
type roots map[string]*tlsfiles.Roots

const proxyRoots = "listen.client_cert_proxy_ca"

func issuerRoots(name string) string { return "issuers." + name + ".tls_client_auth_ca" }

// loadRoots reads the files of authorities that the configuration names.
func loadRoots(cfg *config.Config) (roots, error) {
	files := map[string]string{proxyRoots: cfg.Listen.ClientCertProxyCA}
	for name, issuer := range cfg.Issuers {
		files[issuerRoots(name)] = issuer.TLSClientAuthCA
	}
	r := roots{}
	for setting, file := range files {
		if file == "" {
			continue
		}
		var err error
		if r[setting], err = tlsfiles.LoadRoots(cfg.Path(file)); err != nil {
			return nil, fmt.Errorf("%s: %w", setting, err)
		}
	}
	return r, nil
}

// reload reads changed files. What cannot be read stays as it was, and is reported.
func (r roots) reload(report func(task string, err error)) {
	for setting, authorities := range r {
		report("read "+setting, authorities.Reload())
	}
}

// certificates returns where the public listener's client certificates are read; nil if none can
// arrive.
func (r roots) certificates(l config.Listener) *server.Certificates {
	if !l.ShowsCertificates() {
		return nil
	}
	c := &server.Certificates{Header: textproto.CanonicalMIMEHeaderKey(l.ClientCertHeader),
		ChainHeader: textproto.CanonicalMIMEHeaderKey(l.ClientCertChainHeader), Proxies: prefixes(l.ClientCertProxies)}
	if authorities := r[proxyRoots]; authorities != nil {
		c.ProxyRoots = authorities.Pool
	}
	return c
}
