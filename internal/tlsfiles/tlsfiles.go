// Package tlsfiles builds TLS configurations from PEM files: for a listener, whose files can be
// reloaded, and for clients.
//
// It opens no connections and does not watch the files: the caller decides when to reload.
package tlsfiles

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Server names the files of a listener: certificate chain, private key and, optionally, the
// authorities of required client certificates. The zero Server is a listener without TLS.
type Server struct{ Cert, Key, ClientCA string }

// Loaded is the parsed content of the files.
type Loaded struct {
	// Config is to be returned by tls.Config.GetConfigForClient.
	Config *tls.Config

	held Server // contents, not paths
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
	return Server{string(cert), string(key), string(clientCA)}, errors.Join(err1, err2, err3)
}

func (s Server) parse(held Server) (*Loaded, error) {
	pair, err := tls.X509KeyPair([]byte(held.Cert), []byte(held.Key))
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", s.Cert, s.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if s.ClientCA != "" {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM([]byte(held.ClientCA)) {
			return nil, fmt.Errorf("client_ca %s holds no certificate in PEM", s.ClientCA)
		}
	}
	return &Loaded{config, held}, nil
}

// Client returns the configuration of a client that trusts the authorities in the file ca instead
// of the system's and presents the client certificate in cert, whose private key is in key or in
// the same file. Each of them may be empty.
func Client(ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cmp.Or(cert, key), cmp.Or(key, cert))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
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
