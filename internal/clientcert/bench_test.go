package clientcert_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
)

// BenchmarkVerify is what a chain of two costs a request, with the comparison of a DN.
func BenchmarkVerify(b *testing.B) {
	ca := certtest.NewCA(b, now)
	sub := ca.Sub(b)
	chain, roots := []*x509.Certificate{sub.Client(b, "pay-1", nil).Leaf, sub.Cert}, ca.Roots()
	for b.Loop() {
		shown := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: chain})
		name, err := clientcert.ParseName(clientcert.SubjectDN, "CN=pay-1")
		if err != nil || !name.Matches(shown.Leaf) || shown.Verify(roots, now) != nil {
			b.Fatal(err)
		}
	}
}
