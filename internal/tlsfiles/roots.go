package tlsfiles

import (
	"bytes"
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
// error that names it: without it clients or servers would be refused later, and nobody would know why.
// Blocks that are no certificates are skipped.
func pool(name string, data []byte) (*x509.CertPool, error) {
	pool, blocks, certificates := x509.NewCertPool(), 0, 0
	text := jose.PEMText(data)
	for line := 1; ; {
		at := bytes.Index(text, []byte(begin))
		if at < 0 {
			break
		}
		line += bytes.Count(text[:at], []byte("\n"))
		text = text[at:]
		blocks++
		block, rest := pem.Decode(text)
		whole := text[:len(text)-len(rest)]
		if block == nil || bytes.Count(whole, []byte(begin)) > 1 {
			return nil, fmt.Errorf("%s: PEM block %d, at line %d, is damaged: copy the file again", name, blocks, line)
		}
		cert, err := certificateIn(block)
		if err != nil {
			return nil, fmt.Errorf("%s: PEM block %d, at line %d: the certificate is refused: %w", name, blocks, line, err)
		}
		if cert != nil {
			pool.AddCert(cert)
			certificates++
		}
		line += bytes.Count(whole, []byte("\n"))
		text = rest
	}
	if certificates == 0 {
		return nil, fmt.Errorf("%s holds no certificate in PEM: %w", name, jose.NearMiss(data, jose.WantCertificate))
	}
	return pool, nil
}

const begin = "-----BEGIN "

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
