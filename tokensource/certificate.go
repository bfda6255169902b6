package tokensource

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"moneyer/internal/tlsfiles"
)

// CertificateFunc returns the client certificate to show, with its private key. It is
// called for each token and each request, from many goroutines, and should answer from
// memory. When the certificate is another one, connections and tokens of the old one are
// not used any more.
type CertificateFunc func(context.Context) (*tls.Certificate, error)

// WithCertificate returns an http.RoundTripper that shows the certificate in TLS
// handshakes, whatever authorities a server names. When certificate returns another
// one, it opens new connections and resumes no TLS session. It sends with copies of base,
// which must not have a DialTLS function; nil means http.DefaultTransport. HTTP/2 of
// golang.org/x/net in base is replaced by that of net/http. Use it as the Base of a Transport, for an API that takes tokens
// which are bound to the certificate (RFC 8705 §3).
func WithCertificate(base *http.Transport, certificate CertificateFunc) http.RoundTripper {
	return &certified{base: base, certificate: certificate}
}

// certified is what WithCertificate returns.
type certified struct {
	base        *http.Transport
	certificate CertificateFunc

	mu        sync.Mutex // guards what follows
	shown     fingerprint
	transport *http.Transport // shows that one; nil before the first request
}

// fingerprint identifies a certificate with its chain; the zero one stands for none.
type fingerprint [sha256.Size]byte

// RoundTrip implements http.RoundTripper.
func (c *certified) RoundTrip(req *http.Request) (*http.Response, error) {
	pair, print, err := load(req.Context(), c.certificate)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	t, err := c.with(pair, print)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	return t.RoundTrip(req)
}

// load calls a CertificateFunc.
func load(ctx context.Context, certificate CertificateFunc) (*tls.Certificate, fingerprint, error) {
	pair, err := certificate(ctx)
	switch {
	case err != nil:
		return nil, fingerprint{}, fmt.Errorf("tokensource: client certificate: %w", err)
	case pair == nil || len(pair.Certificate) == 0 || pair.PrivateKey == nil:
		return nil, fingerprint{}, errors.New("tokensource: client certificate: there is none, or no private key")
	}
	h := sha256.New() // of the chain, too: it may be completed or replaced for the same certificate
	for _, der := range pair.Certificate {
		_, _ = h.Write(der) // never fails
	}
	return pair, fingerprint(h.Sum(nil)), nil
}

// with returns a transport that shows a certificate: the same for the same one. A
// connection has the certificate of its handshake, so another certificate needs others.
func (c *certified) with(pair *tls.Certificate, print fingerprint) (*http.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil && c.shown == print {
		return c.transport, nil
	}
	t, err := resuming(c.base)
	if err != nil {
		return nil, err
	}
	if t.DialTLSContext != nil || t.DialTLS != nil { //nolint:staticcheck // a caller may still set the old one
		return nil, errors.New("tokensource: a transport with DialTLS makes its TLS connections by itself, so that no client certificate can be added")
	}
	t.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.transport, c.shown = t, print
	return t, nil
}

// keptSessions is how many TLS sessions, each of a server, are kept to be resumed.
const keptSessions = 32

// resuming returns a copy of a transport that resumes TLS sessions: tokens are asked for so rarely that each
// request may find its connection closed. The sessions are its own, because one that is resumed has the client certificate
// with which it began. Nil means http.DefaultTransport.
func resuming(base *http.Transport) (*http.Transport, error) {
	if base == nil {
		var ok bool
		if base, ok = http.DefaultTransport.(*http.Transport); !ok {
			return nil, errors.New("tokensource: http.DefaultTransport was replaced: give a transport that is an *http.Transport")
		}
	}
	t := base.Clone()
	if t.TLSNextProto["h2"] != nil { // keeps connections for all copies (golang.org/x/net/http2)
		t.TLSNextProto, t.ForceAttemptHTTP2 = nil, true
	}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(keptSessions)
	return t, nil
}

// CloseIdleConnections closes connections that no request uses.
func (c *certified) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

// CertificateFiles is a client certificate in files, PEM, which it reads again when they
// change: certificates live shorter and shorter. While the new files make no pair, such
// as between the replacement of the one and the other, the old pair is used. It must not
// be copied.
type CertificateFiles struct {
	// Cert has the certificate and perhaps those between it and its authority, Key the
	// private key. One of them may be empty when the other has both.
	Cert, Key string
	// Logger logs that changed files cannot be used; nil means no log.
	Logger *slog.Logger

	mu     sync.Mutex // guards what follows
	seen   [2]fs.FileInfo
	pair   *tls.Certificate // nil before the first
	failed string           // why the files as they are cannot be used
}

// Certificate is a CertificateFunc.
func (f *CertificateFiles) Certificate(context.Context) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := [2]string{cmp.Or(f.Cert, f.Key), cmp.Or(f.Key, f.Cert)}
	now, err := stat(names)
	if err == nil && f.pair != nil && same(now, f.seen) {
		return f.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tlsfiles.LoadKeyPair(names[0], names[1])
	}
	if err == nil {
		f.pair, f.seen, f.failed = &pair, now, ""
		return f.pair, nil
	}
	if f.pair == nil {
		return nil, err
	}
	if f.failed != err.Error() && f.Logger != nil {
		f.Logger.Warn("the files of the client certificate changed and cannot be used; the old one is shown", "error", err)
	}
	f.failed = err.Error()
	return f.pair, nil
}

func stat(names [2]string) (infos [2]fs.FileInfo, err error) {
	for i, name := range names {
		if infos[i], err = os.Stat(name); err != nil {
			return infos, err
		}
	}
	return infos, nil
}

// same reports whether files were not changed or replaced.
func same(a, b [2]fs.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
