package clientcert_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/clientcert"
)

// sample is a certificate whose base64 has a plus sign.
const sample = `-----BEGIN CERTIFICATE-----
MIIBrDCCAVGgAwIBAgIUXoRdzEXZ2l/HUnA2vrAKVqz02vcwCgYIKoZIzj0EAwIw
HTELMAkGA1UEBhMCTkwxDjAMBgNVBAMMBXBheS0xMB4XDTI2MTEzMDIyMjAxOFoX
DTM2MTEyNzIyMjAxOFowHTELMAkGA1UEBhMCTkwxDjAMBgNVBAMMBXBheS0xMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4DCK/QcIzafdlWXZx+AZkibrlihAEAbE
XDc8W6GfB5L4gkGXWEJ4hrWWATBTsaYTqkLynKv5xaBWcfukSAoRTKNvMG0wHQYD
VR0OBBYEFNIIGYFQdmu5FqlmpfP23jwQpCE8MB8GA1UdIwQYMBaAFNIIGYFQdmu5
FqlmpfP23jwQpCE8MA8GA1UdEwEB/wQFMAMBAf8wGgYDVR0RBBMwEYIPcGF5LmV4
YW1wbGUuY29tMAoGCCqGSM49BAMCA0kAMEYCIQDFSIgI+izSzjMW/dY7AdOU7Xg8
2FeDsN/jxYm/pqM9tAIhAIpWCov1Jg/KsRCx8PqoQxRyvGluXQW8s4K/alUevgSF
-----END CERTIFICATE-----
`

func sampleDER(f *testing.F) []byte {
	f.Helper()
	block, _ := pem.Decode([]byte(sample))
	return block.Bytes
}

// checkHeader: what is accepted is the certificate that its digest says, within the bounds.
func checkHeader(t *testing.T, value string, chain ...string) *clientcert.Shown {
	t.Helper()
	shown, err := clientcert.ReadHeader([]string{value}, chain)
	if err != nil || shown == nil {
		return nil
	}
	if shown.Leaf != nil && sha256.Sum256(shown.Leaf.Raw) != shown.Digest || len(shown.Chain) > 4 || len(value) > 17<<10 {
		t.Errorf("%q was read wrongly", value)
	}
	return shown
}

func FuzzRFC9440(f *testing.F) {
	good := ":" + base64.StdEncoding.EncodeToString(sampleDER(f)) + ":"
	for _, seed := range []string{good, good + "," + good, ":AAAA:", "::", ":", good + ";a", ":" + good} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, value, chain string) {
		shown := checkHeader(t, ":"+value)
		if shown == nil {
			return
		}
		// One certificate has one spelling.
		if canonical := ":" + base64.StdEncoding.EncodeToString(shown.Leaf.Raw) + ":"; canonical != strings.Trim(":"+value, " \t") {
			t.Errorf("%q was accepted for %q", value, canonical)
		}
		checkHeader(t, ":"+value, chain)
	})
}

func FuzzEscapedPEM(f *testing.F) {
	escaped := strings.NewReplacer(" ", "%20", "\n", "%0A").Replace(sample)
	for _, seed := range []string{escaped, escaped + escaped, strings.ReplaceAll(escaped, "+", "%2B"), escaped + "%", escaped[:100], strings.ReplaceAll(escaped, "%0A", "%0D%0A")} {
		f.Add(strings.TrimPrefix(seed, "-----BEGIN"))
	}
	f.Fuzz(func(t *testing.T, value string) {
		if shown := checkHeader(t, "-----BEGIN"+value); shown != nil && shown.Leaf == nil {
			t.Errorf("%q has no certificate", value)
		}
	})
}

func FuzzXFCC(f *testing.F) {
	cert := strings.NewReplacer(" ", "%20", "\n", "%0A", "+", "%2B", "=", "%3D", "/", "%2F").Replace(sample)
	hash := "Hash=" + strings.Repeat("0a", 32)
	for _, seed := range []string{`Cert="` + cert + `"`, hash, "By=spiffe://x;" + hash + `;Subject="a\"b\\,;";URI=u`, hash + "," + hash, hash + ";", `Cert="`, "=", ";;", hash + `;Chain="` + cert + `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		shown := checkHeader(t, value)
		// A proxy that appends to what its client sent is not believed.
		if shown != nil && strings.ContainsAny(value[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			if joined, err := clientcert.ReadHeader([]string{value + "," + hash}, nil); err == nil {
				t.Errorf("%q was read with another element: %v", value, joined)
			}
		}
	})
}

func FuzzDN(f *testing.F) {
	for _, seed := range []string{"CN=pay-1,O=Bank\\, Ltd.,C=NL", "UID=1+CN=a", "1.2.3=#0c0161", "CN=\\C3\\A9", "CN= a  b ", "CN=#0401ff", "CN=é,DC=x", "CN==", "CN=", "cn=ǅ"} {
		f.Add(seed, []byte{0x30, 0})
	}
	name := pkix.Name{CommonName: "pay-1"}
	cert, err := x509.ParseCertificate(sampleDER(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(name.String(), cert.RawSubject)
	f.Fuzz(func(t *testing.T, text string, subject []byte) {
		dn, err := clientcert.ParseDN(text)
		if err != nil {
			return
		}
		dn.Matches(subject)
		if len(dn) == 0 || len(dn) > 32 || len(text) > 1024 {
			t.Errorf("%q became %q", text, dn)
		}
		// Case and blanks around it do not change what it stands for.
		again, err := clientcert.ParseDN(" " + strings.ToUpper(text[:1]) + text[1:])
		if err != nil || !slices.EqualFunc(dn, again, slices.Equal) {
			t.Errorf("%q became %q, then %q: %v", text, dn, again, err)
		}
	})
}
