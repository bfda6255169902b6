package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"sync/atomic"

	"moneyer/internal/jose"
)

// Roots are the certificate authorities in a PEM file that can be reloaded. Its methods are safe
// for concurrent use.
type Roots struct {
	file string
	held atomic.Pointer[heldRoots]
}

type heldRoots struct {
	pem  string
	pool *x509.CertPool
}

// LoadRoots reads the file.
func LoadRoots(file string) (*Roots, error) {
	r := &Roots{file: file}
	return r, r.Reload()
}

// Pool returns the authorities as they were last loaded. It must not be changed.
func (r *Roots) Pool() *x509.CertPool { return r.held.Load().pool }

// Reload reads the file again. On an error the authorities that were loaded stay.
func (r *Roots) Reload() error {
	pem, err := os.ReadFile(r.file)
	if err != nil {
		return err
	}
	if was := r.held.Load(); was != nil && was.pem == string(pem) {
		return nil
	}
	pool, err := pool(r.file, pem)
	if err != nil {
		return err
	}
	r.held.Store(&heldRoots{string(pem), pool})
	return nil
}

// pool reads the authorities in the content of the file of that name. One that cannot be read is an
// error that names it: without it peers would be refused later, and nobody would know why.
func pool(name string, data []byte) (*x509.CertPool, error) {
	found, err := certificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM: %w", name, jose.NearMiss(data, jose.WantCertificate))
	}
	pool := x509.NewCertPool()
	for _, cert := range found {
		pool.AddCert(cert)
	}
	return pool, nil
}

const begin = "-----BEGIN "

// certificates reads all certificates of a file. The error names the one that cannot be read. Blocks of
// other kinds are skipped.
func certificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	text := jose.PEMText(data)
	line := 1
	for blocks := 1; ; blocks++ {
		at := bytes.Index(text, []byte(begin))
		if at < 0 {
			break
		}
		line += bytes.Count(text[:at], []byte("\n"))
		text = text[at:]
		block, rest := pem.Decode(text)
		whole := text[:len(text)-len(rest)]
		if block == nil || bytes.Count(whole, []byte(begin)) > 1 {
			return nil, fmt.Errorf("PEM block %d, at line %d, is damaged: copy the file again", blocks, line)
		}
		cert, err := certificateIn(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d, at line %d, is refused: %w", blocks, line, err)
		}
		if cert != nil {
			certs = append(certs, cert)
		}
		line += bytes.Count(whole, []byte("\n"))
		text = rest
	}
	return certs, nil
}

// certificateIn returns the certificate of a block; nil when it is another kind of block.
func certificateIn(block *pem.Block) (*x509.Certificate, error) {
	switch block.Type {
	case "CERTIFICATE", "X509 CERTIFICATE":
		return jose.ParseCertificate(block.Bytes)
	case "TRUSTED CERTIFICATE": // its settings may say that it is not trusted
		return nil, jose.NearMiss(pem.EncodeToMemory(block), jose.WantCertificate)
	}
	return nil, nil
}

// keyPair reads a certificate, with the chain that may follow it, and its private key. Both may be in
// one file. Where crypto/tls only says that it found nothing, the error says what the file holds.
func keyPair(cert, key []byte) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(jose.PEMText(cert), jose.PEMText(key))
	if err == nil {
		return pair, nil
	}
	found, why := certificates(cert)
	if why == nil && len(found) == 0 {
		why = jose.NearMiss(cert, jose.WantCertificate)
	}
	if why != nil {
		return tls.Certificate{}, fmt.Errorf("the certificate: %w", why)
	}
	if !bytes.Contains(key, []byte("PRIVATE KEY-----")) {
		return tls.Certificate{}, fmt.Errorf("the private key: %w", jose.NearMiss(key, jose.WantPrivate))
	}
	return tls.Certificate{}, err
}
