package clientcert_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
)

func withSubject(der []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.RawSubject = der }
}

// withURIs writes the names as they are: x509 would normalise them.
func withURIs(t *testing.T, uris ...string) func(*x509.Certificate) {
	t.Helper()
	var names []asn1.RawValue
	for _, uri := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(uri)})
	}
	der, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der}}
	}
}

func TestNames(t *testing.T) {
	ca := certtest.NewCA(t, now)
	names := ca.Client(t, "pay-1", func(c *x509.Certificate) {
		c.DNSNames = []string{"a.example.com", "Pay.Example.COM", "*.wild.example.com"}
		c.IPAddresses = []net.IP{net.ParseIP("192.0.2.7"), net.ParseIP("2001:db8::7")}
		c.EmailAddresses = []string{"Pay@Example.com"}
	}).Leaf
	uris := ca.Client(t, "pay-1", withURIs(t, "spiffe://bank.example/pay", "HTTPS://Bank.example/a%7Eb")).Leaf
	for _, test := range []struct {
		kind, value string
		cert        *x509.Certificate
		want        bool
	}{
		{"subject_dn", "CN=PAY-1", names, true},
		{"subject_dn", "CN=pay", names, false},
		{"san_dns", "a.example.com", names, true},
		{"san_dns", "pay.example.com", names, true}, // any one of several, without case
		{"san_dns", "example.com", names, false},    // the whole name
		{"san_dns", "x.wild.example.com", names, false},
		{"san_dns", "*.wild.example.com", names, true}, // a wildcard matches only itself
		{"san_dns", "*.example.com", names, false},
		{"san_dns", "pay-1", names, false}, // the common name is no DNS name
		{"san_dns", "192.0.2.7", names, false},
		{"san_ip", "192.0.2.7", names, true},
		{"san_ip", "::ffff:192.0.2.7", names, true}, // as addresses, not as text
		{"san_ip", "2001:0DB8:0::0007", names, true},
		{"san_ip", "192.0.2.8", names, false},
		{"san_email", "Pay@EXAMPLE.com", names, true},
		{"san_email", "pay@example.com", names, false}, // the local part is exact
		{"san_uri", "spiffe://bank.example/pay", uris, true},
		{"san_uri", "spiffe://BANK.example/pay", uris, false}, // exact
		{"san_uri", "spiffe://bank.example/pay/", uris, false},
		{"san_uri", "HTTPS://Bank.example/a%7Eb", uris, true},
		{"san_uri", "https://Bank.example/a~b", uris, false},
		{"san_dns", "bank.example", uris, false},
		{"san_uri", "spiffe://bank.example/pay", names, false},
	} {
		name, err := clientcert.ParseName(test.kind, test.value)
		if err != nil {
			t.Fatal(err)
		}
		if got := name.Matches(test.cert); got != test.want {
			t.Errorf("%s %s: %v", test.kind, test.value, got)
		}
	}
	if (clientcert.Name{}).Matches(names) {
		t.Error("the zero Name matches")
	}
}

func TestRefusedNames(t *testing.T) {
	for _, test := range [][3]string{
		{"certificate", "x", "no kind"},
		{"", "x", "no kind"},
		{"subject_dn", "pay-1", "TYPE=VALUE"},
		{"san_dns", "", "ASCII"},
		{"san_dns", "bücher.example", "ASCII"},
		{"san_dns", "a b", "ASCII"},
		{"san_uri", "/path", "absolute"},
		{"san_uri", "spiffe://" + strings.Repeat("a", 2048), "2048"},
		{"san_ip", "192.0.2", "IP"},
		{"san_ip", "fe80::1%eth0", "IP"},
		{"san_email", "example.com", "e-mail"},
		{"san_email", "@example.com", "e-mail"},
		{"san_email", "pay@", "e-mail"},
	} {
		if _, err := clientcert.ParseName(test[0], test[1]); err == nil || !strings.Contains(err.Error(), test[2]) {
			t.Errorf("%q: %v", test[:2], err)
		}
	}
}

// TestOverlaps: two spellings of one name are one.
func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		kind1, value1, kind2, value2 string
		want                         bool
	}{
		{"subject_dn", "CN=a, O=B", "subject_dn", "2.5.4.3=A,o=b", true},
		{"subject_dn", "CN=a,O=b", "subject_dn", "O=b,CN=a", false},
		{"san_dns", "A.example", "san_dns", "a.example", true},
		{"san_ip", "::ffff:192.0.2.7", "san_ip", "192.0.2.7", true},
		{"san_dns", "a.example", "san_uri", "urn:a", false},
	} {
		a, err1 := clientcert.ParseName(test.kind1, test.value1)
		b, err2 := clientcert.ParseName(test.kind2, test.value2)
		if err1 != nil || err2 != nil || a.Overlaps(b) != test.want {
			t.Errorf("%v: %v, %v", test, err1, err2)
		}
	}
}
