package clientcert

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// The kinds of registered names (RFC 8705 §2.1.2, without the prefix tls_client_auth_).
const (
	SubjectDN = "subject_dn"
	SANDNS    = "san_dns"
	SANURI    = "san_uri"
	SANIP     = "san_ip"
	SANEmail  = "san_email"
)

// sanTags are the tags of GeneralName (RFC 5280 §4.2.1.6).
var sanTags = map[string]int{SANEmail: 1, SANDNS: 2, SANURI: 6, SANIP: 7}

const maxSAN = 2048 // bytes; the longest SPIFFE ID

// A Name is one name that is registered for certificates, of one of the five kinds. The zero Name
// matches no certificate.
type Name struct {
	kind  string
	value string // as it is compared, of all but the subject
	dn    DN
}

// ParseName checks a registered name and readies it for comparison.
func ParseName(kind, value string) (Name, error) {
	n := Name{kind: kind, value: value}
	var err error
	switch kind {
	case SubjectDN:
		n.dn, err = ParseDN(value)
		n.value = ""
		return n, err
	case SANDNS, SANURI, SANIP, SANEmail:
	default:
		return Name{}, fmt.Errorf("%q is no kind of name in a certificate: %s, %s, %s, %s or %s", kind, SubjectDN, SANDNS, SANURI, SANIP, SANEmail)
	}
	if len(value) > maxSAN || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Name{}, fmt.Errorf("%s is 1 to %d characters of ASCII without blanks", kind, maxSAN)
	}
	if n.value, err = comparedForm(kind, value); err != nil {
		return Name{}, err
	}
	return n, nil
}

// comparedForm returns the form in which a name is compared: two names of one kind are equal if their
// forms are.
func comparedForm(kind, value string) (string, error) {
	switch kind {
	case SANDNS:
		return lowerASCII(value), nil
	case SANURI:
		if u, err := url.Parse(value); err != nil || !u.IsAbs() {
			return "", fmt.Errorf("%s %q is no absolute URI", kind, value)
		}
		return value, nil
	case SANIP:
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" {
			return "", fmt.Errorf("%s %q is no IP address", kind, value)
		}
		return addr.Unmap().String(), nil
	default:
		at := strings.LastIndexByte(value, '@')
		if at <= 0 || at == len(value)-1 {
			return "", fmt.Errorf("%s %q is no address of e-mail", kind, value)
		}
		return value[:at] + lowerASCII(value[at:]), nil
	}
}

// Matches reports whether the certificate has the name: the subject, or any one of its subject
// alternative names of that kind. A DNS name is compared whole and without case, so that a wildcard
// in the certificate matches only itself; a URI exactly; IP addresses as addresses; of an address of
// e-mail the local part exactly and the domain without case.
func (n Name) Matches(cert *x509.Certificate) bool {
	if n.kind == SubjectDN {
		return n.dn.Matches(cert.RawSubject)
	}
	if n.kind == "" {
		return false
	}
	for _, value := range alternativeNames(cert, sanTags[n.kind]) {
		text := string(value)
		if n.kind == SANIP {
			addr, _ := netip.AddrFromSlice(value)
			text = addr.String()
		}
		if form, err := comparedForm(n.kind, text); err == nil && form == n.value {
			return true
		}
	}
	return false
}

// Overlaps reports whether both names stand for the same certificates: they are of one kind and equal
// as they are compared.
func (n Name) Overlaps(other Name) bool {
	return n.kind == other.kind && n.value == other.value && slices.EqualFunc(n.dn, other.dn, slices.Equal)
}

// alternativeNames returns the subject alternative names with that tag as they stand in the
// certificate: x509 returns URIs parsed, which changes their text.
func alternativeNames(cert *x509.Certificate, tag int) (values [][]byte) {
	for _, extension := range cert.Extensions {
		var names []asn1.RawValue
		if !extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		if rest, err := asn1.Unmarshal(extension.Value, &names); err != nil || len(rest) > 0 {
			return nil
		}
		for _, name := range names {
			if name.Class == asn1.ClassContextSpecific && name.Tag == tag {
				values = append(values, name.Bytes)
			}
		}
	}
	return values
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
