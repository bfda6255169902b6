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

// BenchmarkName is what each registered name costs a request.
func BenchmarkName(b *testing.B) {
	leaf := certtest.NewCA(b, now).Client(b, "pay-1", func(c *x509.Certificate) { c.DNSNames = []string{"pay.example"} }).Leaf
	for kind, value := range map[string]string{clientcert.SubjectDN: "CN=pay-1,O=Bank,C=NL", clientcert.SANDNS: "other.example"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				if name, err := clientcert.ParseName(kind, value); err != nil || name.Matches(leaf) {
					b.Fatal(err)
				}
			}
		})
	}
}
