// Package tlsfiles builds TLS configurations from PEM files: for a listener, whose files can be
// reloaded, and for clients.
//
// It opens no connections and does not watch the files: the caller decides when to reload.
package tlsfiles

import (
	"cmp"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"

	"moneyer/internal/openssl"
)

// Server names the files of a listener: certificate chain, private key and, optionally, the
// authorities of required client certificates. The zero Server is a listener without TLS.
type Server struct {
	Cert, Key, ClientCA string
	// Ask asks for client certificates and takes any, or none: whoever needs one judges it.
	Ask bool
}

// Loaded is the parsed content of the files.
type Loaded struct {
	// Config is what Listener offers to clients, but for sessions.
	Config *tls.Config

	held Server // contents, not paths
	// legacy has the random keys for tickets of TLS 1.2.
	legacy *tls.Config
}

// Load reads the files. It returns nil if s is the zero Server.
func (s Server) Load() (*Loaded, error) { return s.Reload(nil) }

// Reload reads the files again and returns was if their content has not changed.
func (s Server) Reload(was *Loaded) (*Loaded, error) {
	if s.Cert == "" {
		return nil, nil
	}
	held, err := s.read()
	if err != nil {
		return nil, err
	}
	if was != nil && was.held == held {
		return was, nil
	}
	return s.parse(held)
}

func (s Server) read() (held Server, err error) {
	cert, err1 := os.ReadFile(s.Cert)
	key, err2 := os.ReadFile(s.Key)
	var clientCA []byte
	var err3 error
	if s.ClientCA != "" {
		clientCA, err3 = os.ReadFile(s.ClientCA)
	}
	return Server{string(cert), string(key), string(clientCA), s.Ask}, errors.Join(err1, err2, err3)
}

func (s Server) parse(held Server) (*Loaded, error) {
	pair, err := keyPair([]byte(held.Cert), []byte(held.Key))
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", s.Cert, s.Key, err)
	}
	if key, ok := pair.PrivateKey.(crypto.Signer); ok {
		pair.PrivateKey = openssl.Handshakes(key)
	}
	config := serverConfig()
	config.Certificates = []tls.Certificate{pair}
	if s.ClientCA != "" {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if config.ClientCAs, err = pool("client_ca "+s.ClientCA, []byte(held.ClientCA)); err != nil {
			return nil, err
		}
	}
	if s.Ask {
		// Without ClientCAs: a list of authorities keeps clients from showing a self-signed certificate.
		config.ClientAuth = tls.RequestClientCert
	}
	return &Loaded{config, held, &tls.Config{}}, nil
}

// serverConfig has what every listener offers: TLS 1.3, and of TLS 1.2 the suites with forward secrecy
// and AEAD. CBC suites are left out, because their padding has been an oracle again and again
// (RFC 9325 §4.2).
func serverConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, CipherSuites: []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}}
}

// keptSessions is how many sessions, each of a server, a client keeps to resume them.
const keptSessions = 32

// Client returns the configuration of a client that trusts the authorities in the file ca instead
// of the system's and presents the client certificate in cert, whose private key is in key or in
// the same file. Each of them may be empty. The client resumes sessions.
func Client(ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(keptSessions)}
	if ca != "" {
		roots, err := LoadRoots(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots.Pool()
	}
	if cert != "" || key != "" {
		pair, err := LoadKeyPair(cmp.Or(cert, key), cmp.Or(key, cert))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// LoadKeyPair reads a certificate, with the chain that may follow it, and its private key. Both may be in
// one file. It takes what tls.LoadX509KeyPair takes, and PEM as other programs write it.
func LoadKeyPair(cert, key string) (tls.Certificate, error) {
	certPEM, err1 := os.ReadFile(cert)
	keyPEM, err2 := os.ReadFile(key)
	if err := errors.Join(err1, err2); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := keyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	return pair, nil
}

// Transport returns http.DefaultTransport, or a copy of it with the configuration of Client.
func Transport(ca, cert, key string) (http.RoundTripper, error) {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok || ca == "" && cert == "" && key == "" {
		return http.DefaultTransport, nil
	}
	config, err := Client(ca, cert, key)
	if err != nil {
		return nil, err
	}
	t = t.Clone()
	t.TLSClientConfig = config
	return t, nil
}
