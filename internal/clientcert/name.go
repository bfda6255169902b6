package clientcert

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
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

// sanKinds are the kinds of names by the tag of GeneralName (RFC 5280 §4.2.1.6).
var sanKinds = map[int]string{1: SANEmail, 2: SANDNS, 6: SANURI, 7: SANIP}

const (
	maxSAN   = 2048 // bytes; the longest SPIFFE ID
	maxNames = 4096 // bytes of a subject, and of all subject alternative names of a certificate
)

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

// Matches reports whether the certificate has the name: see [Names.Has].
func (n Name) Matches(cert *x509.Certificate) bool { return NamesOf(cert).Has(n) }

// Overlaps reports whether both names stand for the same certificates: they are of one kind and equal
// as they are compared.
func (n Name) Overlaps(other Name) bool {
	return n.kind == other.kind && n.value == other.value && slices.EqualFunc(n.dn, other.dn, slices.Equal)
}

// Names are the names in a certificate, read once and ready to be compared with any number of
// registered ones. The zero Names has none.
type Names struct {
	subject     DN
	alternative []alternativeName
	// Err says why none was read, or not all; nil when all were.
	Err error
}

type alternativeName struct{ kind, form string }

// NamesOf reads the names of a certificate. Whoever shows it may have made it: where they are longer
// than maxNames, none counts.
func NamesOf(cert *x509.Certificate) (names Names) {
	extension := alternativeExtension(cert)
	if len(cert.RawSubject) > maxNames || len(extension) > maxNames {
		return Names{Err: fmt.Errorf("the subject, or the subject alternative names, are longer than %d bytes: none is compared", maxNames)}
	}
	if names.subject, names.Err = subjectDN(cert.RawSubject); len(extension) == 0 {
		return names
	}
	var all []asn1.RawValue
	if rest, err := asn1.Unmarshal(extension, &all); err != nil || len(rest) > 0 {
		names.Err = errors.Join(names.Err, errors.New("the subject alternative names are malformed"))
		return names
	}
	for _, name := range all {
		kind := sanKinds[name.Tag]
		if name.Class != asn1.ClassContextSpecific || kind == "" {
			continue
		}
		text := string(name.Bytes)
		if kind == SANIP {
			addr, _ := netip.AddrFromSlice(name.Bytes)
			text = addr.String()
		}
		if form, err := comparedForm(kind, text); err == nil {
			names.alternative = append(names.alternative, alternativeName{kind, form})
		}
	}
	return names
}

// Has reports whether the certificate has the name: the subject, or any one of its subject alternative
// names of that kind. A DNS name is compared whole and without case, so that a wildcard in the
// certificate matches only itself; a URI exactly; IP addresses as addresses; of an address of e-mail
// the local part exactly and the domain without case.
func (names Names) Has(n Name) bool {
	switch n.kind {
	case "":
		return false
	case SubjectDN:
		return n.dn.equal(names.subject)
	}
	return slices.Contains(names.alternative, alternativeName{n.kind, n.value})
}

// HasReversed reports whether the certificate would have the name if its RDNs stood in the other order.
func (names Names) HasReversed(n Name) bool {
	reversed := slices.Clone(n.dn)
	slices.Reverse(reversed)
	return n.kind == SubjectDN && reversed.equal(names.subject)
}

// alternativeExtension returns the subject alternative names as they stand in the certificate: x509
// returns URIs parsed, which changes their text.
func alternativeExtension(cert *x509.Certificate) []byte {
	for _, extension := range cert.Extensions {
		if extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			return extension.Value
		}
	}
	return nil
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
