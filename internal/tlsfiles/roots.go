package tlsfiles

import (
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
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

// pool reads the authorities in the content of the file of that name.
func pool(name string, pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", name)
	}
	return pool, nil
}
