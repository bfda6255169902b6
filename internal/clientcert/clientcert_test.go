package clientcert_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func byteSequence(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}

// escaped is nginx's $ssl_client_escaped_cert.
func escaped(certs ...*x509.Certificate) string {
	return strings.ReplaceAll(url.QueryEscape(string(certtest.PEM(certs...))), "+", "%20")
}

// amazon is X-Amzn-Mtls-Clientcert: +, = and / are left as they are.
func amazon(cert *x509.Certificate) string {
	return strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(string(certtest.PEM(cert)))
}

func digestOf(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(digest[:])
}

// withPlus returns a certificate whose base64 has a plus sign, which a decoder of forms would lose.
func withPlus(t *testing.T, ca *certtest.CA) *x509.Certificate {
	t.Helper()
	for {
		if leaf := ca.Client(t, "pay-1", nil).Leaf; strings.Contains(string(certtest.PEM(leaf)), "+") {
			return leaf
		}
	}
}

// TestForms: each form in which a proxy forwards a certificate is told by its first bytes.
func TestForms(t *testing.T) {
	ca := certtest.NewCA(t, now)
	sub := ca.Sub(t)
	leaf := withPlus(t, sub)
	xfcc := fmt.Sprintf(`By=spiffe://here;Hash=%s;Cert="%s";Subject="CN=a\"b, \\O=x;y";URI=spiffe://a;URI=spiffe://b;DNS=a`, digestOf(leaf), escaped(leaf))
	for name, test := range map[string]struct {
		value        string
		chain        []string
		above        int
		withoutChain bool
	}{
		"RFC 9440":                 {value: byteSequence(leaf)},
		"RFC 9440, one chain":      {value: byteSequence(leaf), chain: []string{byteSequence(sub.Cert) + " , " + byteSequence(ca.Cert)}, above: 2},
		"RFC 9440, split chain":    {value: byteSequence(leaf), chain: []string{byteSequence(sub.Cert), byteSequence(ca.Cert)}, above: 2},
		"nginx":                    {value: escaped(leaf)},
		"nginx and a chain header": {value: escaped(leaf), chain: []string{byteSequence(sub.Cert)}, above: 1},
		"AWS ALB":                  {value: amazon(leaf)},
		"AWS ALB, passthrough":     {value: escaped(leaf, sub.Cert), above: 1},
		"Envoy":                    {value: xfcc},
		"Envoy, other case":        {value: strings.Replace(xfcc, "Cert=", "cert=", 1)},
		"Envoy without hash":       {value: `Cert="` + escaped(leaf) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			shown, err := clientcert.ReadHeader([]string{test.value}, test.chain)
			if err != nil {
				t.Fatal(err)
			}
			if !shown.Leaf.Equal(leaf) || hex.EncodeToString(shown.Digest[:]) != digestOf(leaf) || len(shown.Chain) != test.above {
				t.Errorf("%v, %d above it", shown.Leaf.Subject, len(shown.Chain))
			}
		})
	}
}

// TestNone: nothing, an empty value (what nginx and HAProxy can be made to send) and an empty byte
// sequence (Caddy) are no certificate.
func TestNone(t *testing.T) {
	for _, values := range [][]string{nil, {}, {""}, {" \t"}, {"::"}} {
		if shown, err := clientcert.ReadHeader(values, nil); shown != nil || err != nil {
			t.Errorf("%q: %v, %v", values, shown, err)
		}
	}
}

// TestHashAlone: a digest is enough for bound tokens, not for authentication.
func TestHashAlone(t *testing.T) {
	ca := certtest.NewCA(t, now)
	leaf := ca.Client(t, "pay-1", nil).Leaf
	shown, err := clientcert.ReadHeader([]string{"Hash=" + digestOf(leaf) + ";URI=spiffe://a"}, nil)
	if err != nil || shown.Leaf != nil {
		t.Fatal(err)
	}
	if shown.Thumbprint() != clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}).Thumbprint() {
		t.Error("another thumbprint")
	}
	if err := shown.Verify(ca.Roots(), now); err == nil || !strings.Contains(err.Error(), "only its digest") {
		t.Error(err)
	}
}

// TestRefusedHeaders: more than one value or element, and everything that is not exactly one of the
// forms, is an error.
func TestRefusedHeaders(t *testing.T) {
	ca := certtest.NewCA(t, now)
	leaf, other := ca.Client(t, "pay-1", nil).Leaf, ca.Client(t, "pay-2", nil).Leaf
	good := byteSequence(leaf)
	many := strings.TrimSuffix(strings.Repeat(byteSequence(ca.Cert)+",", 5), ",")
	for name, test := range map[string]struct {
		values, chain []string
		says          string
	}{
		"two values":                    {[]string{good, good}, nil, "more than once"},
		"two values, one empty":         {[]string{"", good}, nil, "more than once"},
		"two in one value":              {[]string{good + ", " + good}, nil, "base64"},
		"a parameter":                   {[]string{good + ";a=1"}, nil, "between colons"},
		"no end":                        {[]string{good[:len(good)-1]}, nil, "between colons"},
		"no DER":                        {[]string{":AAAA:"}, nil, "malformed"},
		"DER and more":                  {[]string{":" + base64.StdEncoding.EncodeToString(append([]byte(string(leaf.Raw)), 0)) + ":"}, nil, "trailing"},
		"longer than a header":          {[]string{":" + strings.Repeat("A", 17<<10) + ":"}, nil, "longer"},
		"a chain alone":                 {nil, []string{good}, "without the client certificate"},
		"a chain beside an empty value": {[]string{"::"}, []string{good}, "without the client certificate"},
		"the leaf in the chain":         {[]string{good}, []string{good}, "repeats"},
		"an empty item in the chain":    {[]string{good}, []string{byteSequence(ca.Cert) + ","}, "between colons"},
		"a long chain":                  {[]string{good}, []string{many}, "more than 4"},
		"PEM, plain":                    {[]string{string(certtest.PEM(leaf))}, nil, "not percent-encoded"},
		"PEM, broken escape":            {[]string{escaped(leaf) + "%0"}, nil, "hex"},
		"PEM, wrong escape":             {[]string{"-----BEGIN%ZZ"}, nil, "hex"},
		"PEM, text after it":            {[]string{escaped(leaf) + "x"}, nil, "other than certificates"},
		"PEM, two joined":               {[]string{escaped(leaf) + "," + escaped(other)}, nil, "other than certificates"},
		"PEM, cut":                      {[]string{strings.SplitN(escaped(leaf), "-----END", 2)[0]}, nil, "broken"},
		"PEM, a key":                    {[]string{"-----BEGIN%20PRIVATE%20KEY-----%0AAAAA%0A-----END%20PRIVATE%20KEY-----"}, nil, "other than certificates"},
		"Envoy, two elements":           {[]string{`Hash=` + digestOf(leaf) + `,Hash=` + digestOf(other)}, nil, "several elements"},
		"Envoy, two quoted elements":    {[]string{`Cert="` + escaped(leaf) + `",Cert="` + escaped(other) + `"`}, nil, "several elements"},
		"Envoy, an empty first element": {[]string{`,Hash=` + digestOf(leaf)}, nil, "known forms"},
		"Envoy, Cert twice":             {[]string{`Cert=` + escaped(leaf) + `;CERT=` + escaped(other)}, nil, "twice"},
		"Envoy, another's hash":         {[]string{`Hash=` + digestOf(other) + `;Cert=` + escaped(leaf)}, nil, "not that of"},
		"Envoy, a short hash":           {[]string{`Hash=00`}, nil, "SHA-256"},
		"Envoy, nothing of use":         {[]string{`By=spiffe://here;URI=spiffe://a`}, nil, "neither"},
		"Envoy, an open quote":          {[]string{`Subject="a\";Hash=` + digestOf(leaf)}, nil, "not closed"},
		"Envoy, text after a quote":     {[]string{`Subject="a"b;Hash=` + digestOf(leaf)}, nil, "out of place"},
		"Envoy, a quote in a value":     {[]string{`Subject=a"b;Hash=` + digestOf(leaf)}, nil, "out of place"},
		"Envoy, a last semicolon":       {[]string{`Hash=` + digestOf(leaf) + `;`}, nil, "out of place"},
		"anything else":                 {[]string{"hello"}, nil, "known forms"},
	} {
		t.Run(name, func(t *testing.T) {
			shown, err := clientcert.ReadHeader(test.values, test.chain)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, %v", shown, err)
			}
		})
	}
}

// TestVerify: a chain to a configured root, valid at the time that is given, for clientAuth.
func TestVerify(t *testing.T) {
	ca := certtest.NewCA(t, now)
	sub := ca.Sub(t)
	from := func(leaf *x509.Certificate, chain ...*x509.Certificate) *clientcert.Shown {
		return clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: append([]*x509.Certificate{leaf}, chain...)})
	}
	usage := func(usages ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
	}
	good, below := ca.Client(t, "pay-1", nil).Leaf, sub.Client(t, "pay-1", nil).Leaf
	short := ca.Client(t, "pay-1", func(c *x509.Certificate) { c.NotAfter = now.Add(time.Hour) }).Leaf
	for name, test := range map[string]struct {
		shown *clientcert.Shown
		roots *x509.CertPool
		at    time.Time
		says  string
	}{
		"good":                        {from(good), ca.Roots(), now, ""},
		"with its chain":              {from(below, sub.Cert), ca.Roots(), now, ""},
		"without its chain":           {from(below), ca.Roots(), now, "unknown authority"},
		"an intermediate as the root": {from(below), sub.Roots(), now, ""},
		"of another authority":        {from(certtest.NewCA(t, now).Client(t, "pay-1", nil).Leaf), ca.Roots(), now, "unknown authority"},
		"self-signed":                 {from(certtest.SelfSigned(t, now, "pay-1", nil).Leaf), ca.Roots(), now, "unknown authority"},
		"before its end":              {from(short), ca.Roots(), now.Add(time.Hour), ""},
		"after its end":               {from(short), ca.Roots(), now.Add(time.Hour + time.Second), "expired"},
		"before its beginning":        {from(good), ca.Roots(), now.Add(-25 * time.Hour), "not yet valid"},
		"for servers":                 {from(ca.Client(t, "pay-1", usage(x509.ExtKeyUsageServerAuth)).Leaf), ca.Roots(), now, "clientAuth"},
		"for both":                    {from(ca.Client(t, "pay-1", usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)).Leaf), ca.Roots(), now, ""},
		"for nothing that is named":   {from(ca.Client(t, "pay-1", usage()).Leaf), ca.Roots(), now, "clientAuth"},
		"no roots":                    {from(good), nil, now, "no authorities"},
		"empty roots":                 {from(good), x509.NewCertPool(), now, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.shown.Verify(test.roots, test.at)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestVerifyWork: a chain of many certificates of one name, which could all have signed each other, costs
// a few checks and not one for each path.
func TestVerifyWork(t *testing.T) {
	ca := certtest.NewCA(t, now)
	chain := []*x509.Certificate{ca.Sub(t).Client(t, "pay-1", nil).Leaf}
	for range 8 {
		chain = append(chain, ca.Sub(t).Cert)
	}
	shown := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: chain})
	if err := shown.Verify(ca.Roots(), now); err == nil {
		t.Error("verified by a certificate of the same name")
	}
}

func TestFromTLS(t *testing.T) {
	if clientcert.FromTLS(nil) != nil || clientcert.FromTLS(&tls.ConnectionState{}) != nil {
		t.Error("a certificate out of nothing")
	}
	ca := certtest.NewCA(t, now)
	certs := []*x509.Certificate{ca.Client(t, "pay-1", nil).Leaf}
	for range 20 {
		certs = append(certs, ca.Cert)
	}
	if shown := clientcert.FromTLS(&tls.ConnectionState{PeerCertificates: certs}); shown.Leaf != certs[0] || len(shown.Chain) != 4 {
		t.Errorf("%d above it", len(shown.Chain))
	}
}

// TestParsePEM: a file for registration may have text around it, but no private key.
func TestParsePEM(t *testing.T) {
	pair := certtest.SelfSigned(t, now, "pay-1", nil)
	file := append([]byte("Certificate:\n  Data:\n"), certtest.PEM(pair.Leaf)...)
	if shown, err := clientcert.ParsePEM(file); err != nil || !shown.Leaf.Equal(pair.Leaf) {
		t.Error(err)
	}
	for says, file := range map[string][]byte{
		"private key":    append(file, certtest.KeyPEM(t, pair)...),
		"no certificate": []byte("hello"),
		"longer":         make([]byte, 17<<10),
	} {
		if _, err := clientcert.ParsePEM(file); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
