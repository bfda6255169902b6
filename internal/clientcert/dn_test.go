package clientcert_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/internal/clientcert"
	"moneyer/internal/clientcert/certtest"
)

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type rdnSET []attribute

func oid(t *testing.T, text string) (id asn1.ObjectIdentifier) {
	t.Helper()
	for arc := range strings.SplitSeq(text, ".") {
		n := 0
		for _, digit := range arc {
			n = 10*n + int(digit-'0')
		}
		id = append(id, n)
	}
	return id
}

// subject encodes RDNs in the order of a certificate. An attribute is "OID tag value"; a plus sign
// joins those of one RDN.
func subject(t *testing.T, rdns ...string) []byte {
	t.Helper()
	tags := map[string]int{"utf8": 12, "numeric": 18, "printable": 19, "t61": 20, "ia5": 22, "bmp": 30, "octet": 4}
	var sequence []rdnSET
	for _, rdn := range rdns {
		var set rdnSET
		for part := range strings.SplitSeq(rdn, "|") {
			fields := strings.SplitN(part, " ", 3)
			set = append(set, attribute{oid(t, fields[0]), asn1.RawValue{Tag: tags[fields[1]], Bytes: []byte(fields[2])}})
		}
		sequence = append(sequence, set)
	}
	der, err := asn1.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestDN: a DN is compared as one: the order of RDNs counts, within one RDN it does not; types by name
// or OID; values without case and with runs of blanks as one, whatever string type they have.
func TestDN(t *testing.T) {
	plain := subject(t, "2.5.4.6 printable NL", "2.5.4.10 utf8 Bank & Co, Ltd.", "2.5.4.3 utf8 pay-1")
	multi := subject(t, "2.5.4.6 printable NL", "2.5.4.3 utf8 pay-1|0.9.2342.19200300.100.1.1 ia5 007")
	same := func(rdn string) []byte { return subject(t, rdn) }
	for name, test := range map[string]struct {
		dn      string
		subject []byte
		want    bool
	}{
		"the order of RFC 2253":        {`CN=pay-1,O=Bank & Co\, Ltd.,C=NL`, plain, true},
		"the certificate's order":      {`C=NL,O=Bank & Co\, Ltd.,CN=pay-1`, plain, false},
		"names without case":           {`cn=pay-1,o=Bank & Co\, Ltd.,c=NL`, plain, true},
		"OIDs":                         {`2.5.4.3=pay-1,2.5.4.10=Bank & Co\, Ltd.,2.5.4.6=NL`, plain, true},
		"values without case":          {`CN=PAY-1,O=bank & co\, ltd.,C=nl`, plain, true},
		"runs of blanks":               {`CN = pay-1 , O=  Bank   & Co\, Ltd. ,C=NL`, plain, true},
		"no blanks where there is one": {`CN=pay-1,O=Bank& Co\, Ltd.,C=NL`, plain, false},
		"hex pairs":                    {`CN=\70ay-1,O=Bank \26 Co\2C Ltd.,C=NL`, plain, true},
		"a value in hex":               {`CN=#0c057061792d31,O=Bank & Co\, Ltd.,C=NL`, plain, true},
		"one RDN less":                 {`CN=pay-1,C=NL`, plain, false},
		"one RDN more":                 {`CN=pay-1,O=Bank & Co\, Ltd.,C=NL,C=NL`, plain, false},
		"a prefix":                     {`CN=pay,O=Bank & Co\, Ltd.,C=NL`, plain, false},
		"another type":                 {`OU=pay-1,O=Bank & Co\, Ltd.,C=NL`, plain, false},
		"several values":               {`CN=pay-1+UID=007,C=NL`, multi, true},
		"several values, other order":  {`UID=007+CN=pay-1,C=NL`, multi, true},
		"several values as two RDNs":   {`CN=pay-1,UID=007,C=NL`, multi, false},
		"one of several values":        {`CN=pay-1,C=NL`, multi, false},
		"blanks in the certificate":    {`CN=a b`, same("2.5.4.3 printable  a   b "), true},
		"escaped blanks at the ends":   {`CN=\ a b\ `, same("2.5.4.3 printable a b"), true},
		"T61String":                    {`CN=José`, same("2.5.4.3 t61 jos\xe9"), true},
		"BMPString":                    {`CN=pay`, same("2.5.4.3 bmp \x00P\x00a\x00y"), true},
		"beyond ASCII without case":    {`CN=ÅNGSTRÖM`, same("2.5.4.3 utf8 ångström"), true},
		"NUL in the certificate":       {`CN=pay`, same("2.5.4.3 utf8 pay\x00.evil"), false},
		"not UTF-8":                    {`CN=\C3\A9`, same("2.5.4.3 utf8 \xe9"), false},
		"a string like the hex mark":   {`CN=\#0401ff`, same("2.5.4.3 octet \xff"), false},
		"no string":                    {`CN=#0401ff`, same("2.5.4.3 octet \xff"), true},
		"comma and equals in a value":  {`CN=a\,CN\=b`, same("2.5.4.3 utf8 a,CN=b"), true},
		"two RDNs for one value":       {`CN=b,CN=a`, same("2.5.4.3 utf8 a,CN=b"), false},
		"an empty subject":             {`CN=pay-1`, subject(t), false},
		"no subject":                   {`CN=pay-1`, []byte("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			dn, err := clientcert.ParseDN(test.dn)
			if err != nil {
				t.Fatal(err)
			}
			if got := dn.Matches(test.subject); got != test.want {
				t.Errorf("%q: %v", dn, got)
			}
		})
	}
	if (clientcert.DN{}).Matches(subject(t)) {
		t.Error("the zero DN matches")
	}
}

func TestRefusedDNs(t *testing.T) {
	for text, says := range map[string]string{
		"":                                "TYPE=VALUE",
		"pay-1":                           "TYPE=VALUE",
		"/C=NL/CN=pay-1":                  "nameopt",
		"CN=a,":                           "TYPE=VALUE",
		"CN=a++UID=b":                     "attribute type",
		"QQ=a":                            "attribute type",
		"2=a":                             "attribute type",
		"2.05=a":                          "attribute type",
		"2..5=a":                          "attribute type",
		`CN="a"`:                          "escaped",
		"CN=a;O=b":                        "escaped",
		"CN=a\x00":                        "escaped",
		`CN=a\`:                           "backslash",
		`CN=a\zz`:                         "backslash",
		`CN=\FF`:                          "UTF-8",
		"CN=\xff":                         "UTF-8",
		"CN=a\tb":                         "control",
		"CN=#0":                           "hex",
		"CN=#":                            "ASN.1",
		"CN=#0c0161ff":                    "ASN.1",
		"CN=" + strings.Repeat("a", 1100): "1024",
		strings.Repeat("CN=a,", 40):       "at most 32",
	} {
		if dn, err := clientcert.ParseDN(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, %v", text, dn, err)
		}
	}
}

// TestOpenSSL: what openssl prints is accepted as the registration.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
			t.Fatal("openssl is missing (MONEYER_REQUIRE_ALL=1 requires every program)")
		}
		t.Skip("there is no openssl here")
	}
	name := pkix.Name{CommonName: `Zahlung, "1" <a+b>; #x\`, Country: []string{"NL"}, Organization: []string{" Bänk & Söhne "}, Locality: []string{"Køb=en"}, SerialNumber: "7",
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@example.com"}, {Type: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: "own"}}}
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	leaf := certtest.SelfSigned(t, now, "", withSubject(der)).Leaf
	file := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, certtest.PEM(leaf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"RFC2253", "RFC2253,-esc_msb,utf8", "RFC2253,oid"} {
		out, err := exec.CommandContext(t.Context(), "openssl", "x509", "-in", file, "-noout", "-subject", "-nameopt", options).Output()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
		dn, err := clientcert.ParseDN(text)
		if err != nil || !dn.Matches(leaf.RawSubject) {
			t.Errorf("%s: %s: %q, %v", options, text, dn, err)
		}
	}
}
