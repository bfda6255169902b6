package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

// verifyShown verifies a token as an API does that got it in a request, which shows a client
// certificate with that digest; nil for none.
func verifyShown(ctx context.Context, v *bearer.Verifier, token string, certificate *[sha256.Size]byte) (*bearer.Claims, error) {
	v.ClientCertificate = func(*http.Request) (digest [sha256.Size]byte, ok bool) {
		if certificate == nil {
			return digest, false
		}
		return *certificate, true
	}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{}, Header: http.Header{"Authorization": {"Bearer " + token}}}
	return v.VerifyRequest(r.WithContext(ctx))
}

// boundTo returns the digest of the certificate that a token is bound to, or nil.
func boundTo(c *jose.Claims) *[sha256.Size]byte {
	digest, err := jose.ParseConfirmation(c.Confirmation)
	if err != nil {
		return nil
	}
	return &digest
}

// readCertificate reads the first certificate of a file, PEM or DER.
func (a *app) readCertificate(flag, name string) (*x509.Certificate, error) {
	data, err := a.readFile(name)
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			data = block.Bytes
			break
		}
	}
	certificate, err := x509.ParseCertificate(data)
	if err != nil {
		return nil, usagef("%s %s holds no certificate in PEM or DER: %w", flag, name, err)
	}
	return certificate, nil
}
