// Package openssl signs with OpenSSL's libcrypto in place of Go, for keys that are held in memory,
// in a build with the tag openssl. In any other build it changes nothing. OpenSSL is faster for RSA
// and slightly faster for P-256.
//
// It only signs. Go verifies signatures in both builds, so that both accept the same ones, and no
// data from the network but SHA-256 digests is passed to C.
package openssl

import (
	"crypto"
	"crypto/rsa"
	"io"
	"runtime"
	"strings"
)

// Version returns the versions of the libraries that sign and verify.
func Version() string {
	if !Enabled() {
		return goVersion()
	}
	return Library() + " for signing, " + goVersion()
}

func goVersion() string { return "Go " + strings.TrimPrefix(runtime.Version(), "go") }

// Handshakes returns a signer for TLS handshakes under a certificate's key, which uses Signer's where there is
// one: for P-256, and for RSA with PKCS #1 v1.5 (TLS 1.2) and PSS (RFC 8446 section 4.2.3), each with
// SHA-256. It returns key itself where Signer does.
func Handshakes(key crypto.Signer) crypto.Signer {
	first := Signer(key, crypto.SHA256)
	if _, ok := key.(*rsa.PrivateKey); !ok || first == key {
		return first
	}
	return &rsaSigner{first, Signer(key, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})}
}

// rsaSigner signs with either padding of RSA.
type rsaSigner struct{ pkcs1, pss crypto.Signer }

func (s *rsaSigner) Public() crypto.PublicKey { return s.pkcs1.Public() }

func (s *rsaSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := opts.(*rsa.PSSOptions); ok {
		return s.pss.Sign(random, digest, opts)
	}
	return s.pkcs1.Sign(random, digest, opts)
}
