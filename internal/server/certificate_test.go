package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/registry"
	"moneyer/internal/server"
)

// mutualTLS is a server whose client app-1 authenticates by certificates and gets bound tokens.
type mutualTLS struct {
	*testServer
	ca, proxies *certtest.CA
	mine        tls.Certificate
}

func newMutualTLS(t *testing.T) *mutualTLS {
	t.Helper()
	s := readSetup(t, "testdata/transcripts/oauth2", "")
	m := &mutualTLS{ca: certtest.NewCA(t, noon), proxies: certtest.NewCA(t, noon)}
	m.mine = m.ca.Client(t, "pay-1", nil)
	issuer := s.issuers[0]
	issuer.CertificateRoots, issuer.MTLSURL = m.ca.Roots, "https://mtls.example.com/auth"
	issuer.clients[0].Certificates = []registry.Certificate{{ID: "c1", Match: registry.MatchSubjectDN, Value: "CN=pay-1", Created: noon}}
	issuer.clients[0].BoundTokens = registry.BoundToTLS
	s.certificates = &server.Certificates{Header: "Client-Cert", ChainHeader: "Client-Cert-Chain", ProxyRoots: m.proxies.Roots,
		Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8")}}
	m.testServer = s.open(t)
	return m
}

// ask sends a request from a peer that shows the certificates of own in its connection. headers are names
// and values in turn.
func (m *mutualTLS) ask(method, target, peer string, own *tls.Certificate, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.RemoteAddr, r.TLS = peer, &tls.ConnectionState{}
	if own != nil {
		r.TLS.PeerCertificates = []*x509.Certificate{own.Leaf}
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w
}

const (
	tokenURL  = "https://auth.example.com/oauth2/token"
	byCert    = "grant_type=client_credentials&client_id=app-1"
	elsewhere = "192.0.2.9:4711"
)

func header9440(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}

// token gets one with the certificate in the connection.
func (m *mutualTLS) token(t *testing.T) string {
	t.Helper()
	w := m.ask("POST", tokenURL, elsewhere, &m.mine, byCert)
	token := compactJWS.FindString(w.Body.String())
	if w.Code != http.StatusOK || token == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return token
}

// TestCertificateSources: the certificate of the connection, or behind a proxy of the list the one that it
// forwards, which counts over the proxy's own; the header of any other peer is ignored (RFC 9440 §2.4, §4).
func TestCertificateSources(t *testing.T) {
	m := newMutualTLS(t)
	stranger, proxy := m.ca.Client(t, "pay-2", nil), m.proxies.Client(t, "proxy", nil)
	old := m.proxies.Client(t, "proxy", func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	const loopback, remote = "127.0.0.1:4711", "10.1.2.3:4711"
	good, chain := header9440(m.mine.Leaf), header9440(m.ca.Cert)
	for name, test := range map[string]struct {
		peer    string
		own     *tls.Certificate
		headers []string
		want    int
	}{
		"in the connection":                     {elsewhere, &m.mine, nil, 200},
		"none":                                  {elsewhere, nil, nil, 401},
		"another in the connection":             {elsewhere, &stranger, nil, 401},
		"forged":                                {elsewhere, nil, []string{"Client-Cert", good}, 401},
		"forged, beside a bad one":              {elsewhere, &stranger, []string{"Client-Cert", good}, 401},
		"forged, and malformed":                 {elsewhere, &m.mine, []string{"Client-Cert", "x", "Client-Cert", "y", "Client-Cert-Chain", "z"}, 200},
		"from a proxy on loopback":              {loopback, nil, []string{"Client-Cert", good}, 200},
		"with its chain":                        {loopback, nil, []string{"Client-Cert", good, "Client-Cert-Chain", chain}, 200},
		"on loopback in IPv6 notation":          {"[::ffff:127.0.0.1]:4711", nil, []string{"Client-Cert", good}, 200},
		"on loopback, not on the list":          {"127.0.0.2:4711", nil, []string{"Client-Cert", good}, 401},
		"from a remote proxy that shows its":    {remote, &proxy, []string{"Client-Cert", good}, 200},
		"from a remote proxy that shows none":   {remote, nil, []string{"Client-Cert", good}, 401},
		"from a remote proxy, expired":          {remote, &old, []string{"Client-Cert", good}, 401},
		"from a client in the proxies' network": {remote, &stranger, []string{"Client-Cert", good}, 401},
		"of a client there, in the connection":  {remote, &m.mine, nil, 200},
		"over the proxy's own":                  {loopback, &m.mine, []string{"Client-Cert", header9440(stranger.Leaf)}, 401},
		"no header, though it shows its own":    {loopback, &m.mine, nil, 401},
		"an empty header":                       {loopback, &m.mine, []string{"Client-Cert", ""}, 401},
		"an empty sequence":                     {loopback, &m.mine, []string{"Client-Cert", "::"}, 401},
		"twice":                                 {loopback, nil, []string{"Client-Cert", good, "Client-Cert", good}, 400},
		"two in one":                            {loopback, nil, []string{"Client-Cert", good + ", " + good}, 400},
		"a chain alone":                         {loopback, nil, []string{"Client-Cert-Chain", chain}, 400},
		"malformed":                             {loopback, nil, []string{"Client-Cert", ":AAAA:"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			w := m.ask("POST", tokenURL, test.peer, test.own, byCert, test.headers...)
			if w.Code != test.want || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// TestIgnoredHeaderInTheLog: the log says that a header was ignored, and the caller is not told.
func TestIgnoredHeaderInTheLog(t *testing.T) {
	m := newMutualTLS(t)
	bare := m.ask("POST", tokenURL, elsewhere, nil, byCert)
	m.log.Reset()
	forged := m.ask("POST", tokenURL, elsewhere, nil, byCert, "Client-Cert", header9440(m.mine.Leaf))
	if !strings.Contains(m.log.String(), "client_cert_proxies") || forged.Body.String() != bare.Body.String() || forged.Code != bare.Code {
		t.Errorf("%d %s, log %s", forged.Code, forged.Body, m.log.String())
	}
}

// TestCertificatesOff: where none can arrive, or the profile has no use for them, nothing is read.
func TestCertificatesOff(t *testing.T) {
	m := newMutualTLS(t)
	m.setup.certificates = nil
	m.serve(t)
	if w := m.ask("POST", tokenURL, elsewhere, &m.mine, byCert); w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	other := readSetup(t, "testdata/transcripts/boltpay", "")
	other.certificates = &server.Certificates{Header: "Client-Cert", Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	b := &mutualTLS{testServer: other.open(t)}
	w := b.ask("POST", other.issuers[0].URL+other.issuers[0].Profile.Wire.Path, "127.0.0.1:1", nil, "grant_type=client_credentials&client_id=shop+5%26co&client_secret=secret-of-the-shop-with-an-odd-name",
		"Client-Cert", "x", "Client-Cert", "y")
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestBoundTokenAnswers: the token is bound to the certificate, introspection shows cnf, and the check
// endpoint wants the same certificate, from the connection or a trusted proxy (RFC 8705 §3).
func TestBoundTokenAnswers(t *testing.T) {
	m := newMutualTLS(t)
	token := m.token(t)
	thumbprint := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{m.mine.Leaf}}).Thumbprint()

	w := m.ask("POST", "https://auth.example.com/introspect", elsewhere, nil, "client_id=api-1&client_secret=secret-of-api-1&token="+token)
	var told struct {
		Type string            `json:"token_type"`
		Cnf  map[string]string `json:"cnf"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || told.Type != "Bearer" || len(told.Cnf) != 1 || told.Cnf["x5t#S256"] != thumbprint {
		t.Errorf("introspection: %s, %v", w.Body, err)
	}

	other := m.ca.Client(t, "pay-1", nil)
	const proxy = "127.0.0.1:4711"
	for name, test := range map[string]struct {
		peer    string
		own     *tls.Certificate
		headers []string
		want    int
	}{
		"with it":                       {elsewhere, &m.mine, nil, 200},
		"without":                       {elsewhere, nil, nil, 401},
		"with another of the same name": {elsewhere, &other, nil, 401},
		"forged":                        {elsewhere, nil, []string{"Client-Cert", header9440(m.mine.Leaf)}, 401},
		"from a proxy":                  {proxy, nil, []string{"Client-Cert", header9440(m.mine.Leaf)}, 200},
		"from a proxy, another":         {proxy, nil, []string{"Client-Cert", header9440(other.Leaf)}, 401},
		"its digest alone":              {proxy, nil, []string{"Client-Cert", "Hash=" + digest(t, thumbprint)}, 200},
		"from a proxy, none":            {proxy, &m.mine, nil, 401},
		"from a proxy, twice":           {proxy, nil, []string{"Client-Cert", "x", "Client-Cert", "y"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			w := m.ask("GET", "https://auth.example.com/check", test.peer, test.own, "", append(test.headers, "Authorization", "Bearer "+token)...)
			if w.Code != test.want || test.want == 401 && !strings.Contains(w.Header().Get("WWW-Authenticate"), `error="invalid_token"`) {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		})
	}

	// A certificate is no condition for giving a bound token back, beyond client authentication.
	if w := m.ask("POST", "https://auth.example.com/revoke", elsewhere, nil, "client_id=app-1&client_secret=secret-of-app-1&token="+token); w.Code != http.StatusOK {
		t.Errorf("revoke: %d %s", w.Code, w.Body)
	}
	if w := m.ask("GET", "https://auth.example.com/check", elsewhere, &m.mine, "", "Authorization", "Bearer "+token); w.Code != http.StatusUnauthorized {
		t.Errorf("after its revocation: %d", w.Code)
	}

	m.setup.certificates = nil // and where none can arrive, a bound token is never let through
	token = m.token(t)
	m.serve(t)
	if w := m.ask("GET", "https://auth.example.com/check", elsewhere, &m.mine, "", "Authorization", "Bearer "+token); w.Code != http.StatusUnauthorized {
		t.Errorf("without a source of certificates: %d", w.Code)
	}
}

// digest is a thumbprint in hex, as Envoy writes it.
func digest(t *testing.T, thumbprint string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(thumbprint)
	must(t, err)
	return hex.EncodeToString(raw)
}

// TestMTLSMetadata: the aliases are where metadata say, and issuer and aud stay as they are (RFC 8705 §3.3,
// §5).
func TestMTLSMetadata(t *testing.T) {
	m := newMutualTLS(t)
	w := m.ask("GET", "https://auth.example.com/.well-known/oauth-authorization-server", elsewhere, nil, "")
	var told struct {
		Issuer  string            `json:"issuer"`
		Token   string            `json:"token_endpoint"`
		Bound   bool              `json:"tls_client_certificate_bound_access_tokens"`
		Aliases map[string]string `json:"mtls_endpoint_aliases"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil || told.Issuer != "https://auth.example.com" || told.Token != tokenURL || !told.Bound || len(told.Aliases) != 3 {
		t.Fatalf("%s, %v", w.Body, err)
	}
	w = m.ask("POST", told.Aliases["token_endpoint"], elsewhere, &m.mine, byCert)
	token := compactJWS.FindString(w.Body.String())
	if w.Code != http.StatusOK || token == "" {
		t.Fatalf("token at its alias: %d %s", w.Code, w.Body)
	}
	w = m.ask("POST", told.Aliases["introspection_endpoint"], elsewhere, &m.mine, "client_id=app-1&token="+token)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"iss":"https://auth.example.com"`) {
		t.Errorf("introspection at its alias: %d %s", w.Code, w.Body)
	}
	w = m.ask("POST", told.Aliases["revocation_endpoint"], elsewhere, &m.mine, "client_id=app-1&token="+token)
	if w.Code != http.StatusOK {
		t.Errorf("revocation at its alias: %d %s", w.Code, w.Body)
	}
	for _, issuer := range []string{"https://auth2.example.com", "https://auth.example.com"} { // metadata of others, and without a source
		w = m.ask("GET", issuer+"/.well-known/oauth-authorization-server", elsewhere, nil, "")
		if has := strings.Contains(w.Body.String(), "mtls_endpoint_aliases"); has != (issuer == told.Issuer) {
			t.Errorf("%s: %s", issuer, w.Body)
		}
	}
	m.setup.certificates = nil
	m.serve(t)
	if w = m.ask("GET", "https://auth.example.com/.well-known/oauth-authorization-server", elsewhere, nil, ""); strings.Contains(w.Body.String(), "bound_access_tokens") {
		t.Errorf("where none can arrive: %s", w.Body)
	}
}

// TestMTLSURLOfAnotherHost: an alias that differs from its issuer by the host alone is told apart from
// issuers of other hosts, and does not take the issuer's own paths away.
func TestMTLSURLOfAnotherHost(t *testing.T) {
	m := newMutualTLS(t)
	issuer := m.setup.issuers[0]
	issuer.MTLSURL = "https://mtls.example.com"
	m.serve(t)
	for _, base := range []string{"https://auth.example.com", "https://mtls.example.com"} {
		u, err := url.Parse(base + "/oauth2/token")
		must(t, err)
		if w := m.ask("POST", u.String(), elsewhere, &m.mine, byCert); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", base, w.Code, w.Body)
		}
	}
	clash := *m.setup.issuers[1]
	clash.MTLSURL = issuer.URL
	_, err := (&server.Server{Issuers: []*registry.Issuer{&issuer.Issuer, &clash.Issuer}}).Handler()
	if err == nil || !strings.Contains(err.Error(), "both want") {
		t.Errorf("two issuers at one place: %v", err)
	}
}
