package subject

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// A Connection is how the requests of an exchange reach the server.
type Connection string

// The kinds of connection. All but Kept take a new connection with TLS 1.3 for each request, and
// P-256 certificates.
const (
	// Kept is plain HTTP on connections that stay open.
	Kept Connection = ""
	// TLSFull has a full handshake with what Go's client offers by default, X25519MLKEM768 first.
	TLSFull Connection = "tls full"
	// TLSClassic is TLSFull without ML-KEM.
	TLSClassic Connection = "tls full, no ML-KEM"
	// TLSResumed is resumed by the ticket of an earlier connection.
	TLSResumed Connection = "tls resumed"
	// MutualTLS is TLSFull with a client certificate.
	MutualTLS Connection = "mtls"
)

// TLS says how a client connects with TLS. A nil TLS stands for plain HTTP on connections that stay
// open.
type TLS struct {
	Connection Connection
	// Server is the certificate that the server shows.
	Server *x509.Certificate
	// Identity is the client's certificate with its key, with MutualTLS only.
	Identity *tls.Certificate
}

// Kind returns the kind of connection.
func (t *TLS) Kind() Connection {
	if t == nil {
		return Kept
	}
	return t.Connection
}

// Client returns a client for what is not measured. It trusts the server's certificate alone, under
// any name.
func (t *TLS) Client(timeout time.Duration) *http.Client {
	if t == nil {
		return &http.Client{Timeout: timeout}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: t.verify} //nolint:gosec // verify compares the certificate
	if t.Identity != nil {
		config.Certificates = []tls.Certificate{*t.Identity}
	}
	return &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

func (t *TLS) verify(state tls.ConnectionState) error {
	if !bytes.Equal(state.PeerCertificates[0].Raw, t.Server.Raw) {
		return errors.New("the server shows another certificate than it was given")
	}
	return nil
}

// Answers returns a Ready function that succeeds when a page returns 200.
func (t *TLS) Answers(page string) func(context.Context) error {
	client := t.Client(time.Second)
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", page, response.Status)
		}
		return errors.Join(err, response.Body.Close())
	}
}

// Connections returns how a server with these certificates is measured: by [TLSFull], [TLSResumed]
// and [TLSClassic], or if it asks for client certificates by [MutualTLS].
func (c *Certificates) Connections() []*TLS {
	if c.client != nil {
		return []*TLS{{Connection: MutualTLS, Server: c.server, Identity: c.client}}
	}
	return []*TLS{
		{Connection: TLSFull, Server: c.server},
		{Connection: TLSResumed, Server: c.server},
		{Connection: TLSClassic, Server: c.server},
	}
}

// Answers is [Answers] of a server with these certificates.
func (c *Certificates) Answers(page string) func(context.Context) error {
	return c.Connections()[0].Answers(page)
}

// OverTLS returns the server behind TLS, with its exchanges of client_credentials ES256 and of the JWT
// bearer grant, or those of a reference, each once for each kind of connection. Its ConfigureTLS must
// not be nil. [MutualTLS] goes with no other kind: the server demands a certificate.
func OverTLS(s Server, kinds ...Connection) Server {
	mutual := slices.Contains(kinds, MutualTLS)
	s.Plain = s.Name
	if mutual {
		s.Name += ", mutual TLS"
	} else {
		s.Name += ", TLS"
	}
	s.Configure = func(ctx context.Context, folder, address string) (*Setup, error) {
		certificates, err := NewCertificates(folder, mutual)
		if err != nil {
			return nil, err
		}
		setup, err := s.ConfigureTLS(ctx, folder, address, certificates)
		if err != nil {
			return nil, err
		}
		setup.Exchanges = overTLS(setup.Exchanges, certificates.Connections(), kinds)
		return setup, nil
	}
	return s
}

// overTLS returns those of the exchanges that are measured with TLS, by each of the connections that
// is of one of the kinds.
func overTLS(exchanges []Exchange, connections []*TLS, kinds []Connection) []Exchange {
	var all []Exchange
	for _, e := range exchanges {
		switch e.Kind {
		case ClientCredentialsRS256, PrivateKeyJWTES256, Introspection:
			continue
		}
		for _, e.TLS = range connections {
			if slices.Contains(kinds, e.TLS.Connection) {
				all = append(all, e)
			}
		}
	}
	return all
}
