package clientcert_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
)

// TestLargeLeaf: of a certificate in the connection that no proxy could forward only the digest is
// taken, as a handshake lets 256 KiB through; and no more above it than a header holds.
func TestLargeLeaf(t *testing.T) {
	ca := certtest.NewCA(t, now)
	long := func(n int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for i := range n {
				c.DNSNames = append(c.DNSNames, fmt.Sprintf("host-%d.example", i))
			}
		}
	}
	small, large := ca.Client(t, "pay-1", long(10)).Leaf, ca.Client(t, "pay-1", long(1000)).Leaf
	shown := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{large, small}})
	if shown.Leaf != nil || len(shown.Chain) > 0 || shown.Thumbprint() == "" || shown.Verify(ca.Roots(), now) == nil {
		t.Errorf("%d bytes were taken", len(large.Raw))
	}
	shown = clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{small, ca.Cert, large, ca.Cert}})
	if shown.Leaf != small || len(shown.Chain) != 1 {
		t.Errorf("%d above the leaf, with one of %d bytes among them", len(shown.Chain), len(large.Raw))
	}
}

// TestManyNames: a certificate with more names than are read has none of them, so that comparing with
// each registered name costs little whatever is shown.
func TestManyNames(t *testing.T) {
	ca := certtest.NewCA(t, now)
	leaf := ca.Client(t, "pay-1", func(c *x509.Certificate) {
		for i := range 600 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("h%d.example", i))
		}
	}).Leaf
	if names := clientcert.NamesOf(leaf); names.Err == nil || !strings.Contains(names.Err.Error(), "4096 bytes") {
		t.Errorf("%v", names.Err)
	}
	for kind, value := range map[string]string{clientcert.SANDNS: "h1.example", clientcert.SubjectDN: "CN=pay-1"} {
		name, err := clientcert.ParseName(kind, value)
		if err != nil || name.Matches(leaf) {
			t.Errorf("%s of too many: %v", kind, err)
		}
	}
}

// TestShortErrors: an error about a certificate that cannot be read does not repeat all of it.
func TestShortErrors(t *testing.T) {
	leaf := certtest.SelfSigned(t, now, "pay-1", withURIs(t, "x://"+strings.Repeat("y", 3000))).Leaf
	broken := bytes.Replace(leaf.Raw, []byte("x://yyyy"), []byte("x://%zzz"), 1)
	_, err := clientcert.ReadHeader([]string{":" + base64.StdEncoding.EncodeToString(broken) + ":"}, nil)
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("%.500v", err)
	}
}
