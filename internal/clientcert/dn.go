package clientcert

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDN      = 1024 // bytes of the text
	maxDNParts = 32   // attributes
)

// A DN is a distinguished name, ready to be compared: for each RDN, in the order of the certificate,
// its attributes in sorted order, so that their order within one RDN does not count.
type DN [][]string

// attributeTypes are the names of attribute types in a DN's text (RFC 4514 §3), and others that
// OpenSSL writes.
var attributeTypes = map[string]string{
	"cn": "2.5.4.3", "l": "2.5.4.7", "st": "2.5.4.8", "o": "2.5.4.10", "ou": "2.5.4.11", "c": "2.5.4.6", "street": "2.5.4.9",
	"dc": "0.9.2342.19200300.100.1.25", "uid": "0.9.2342.19200300.100.1.1", "emailaddress": "1.2.840.113549.1.9.1", "serialnumber": "2.5.4.5",
	"sn": "2.5.4.4", "gn": "2.5.4.42", "name": "2.5.4.41", "title": "2.5.4.12", "initials": "2.5.4.43", "generationqualifier": "2.5.4.44",
	"dnqualifier": "2.5.4.46", "pseudonym": "2.5.4.65", "description": "2.5.4.13", "postalcode": "2.5.4.17", "businesscategory": "2.5.4.15",
	"organizationidentifier": "2.5.4.97", "jurisdictionl": "1.3.6.1.4.1.311.60.2.1.1", "jurisdictionst": "1.3.6.1.4.1.311.60.2.1.2",
	"jurisdictionc": "1.3.6.1.4.1.311.60.2.1.3",
}

// ParseDN reads the text of RFC 4514, in the order of `openssl x509 -noout -subject -nameopt RFC2253`:
// the last RDN of the certificate comes first. Attribute types are names or OIDs in digits. Blanks
// around types and values do not count.
func ParseDN(text string) (DN, error) {
	if len(text) > maxDN || !utf8.ValidString(text) {
		return nil, fmt.Errorf("a DN is UTF-8 of at most %d bytes", maxDN)
	}
	if strings.HasPrefix(text, "/") {
		return nil, errors.New(`a DN is written as "CN=name,O=organisation,C=NL" (openssl x509 -noout -subject -nameopt RFC2253)`)
	}
	var dn DN
	rdn := []string{}
	for rest, parts := text, 1; ; parts++ {
		if parts > maxDNParts {
			return nil, fmt.Errorf("a DN has at most %d attributes", maxDNParts)
		}
		attribute, after, err := parseAttribute(rest)
		if err != nil {
			return nil, err
		}
		rdn = append(rdn, attribute)
		if after == "" || after[0] == ',' {
			slices.Sort(rdn)
			dn, rdn = append(dn, rdn), []string{}
		}
		if after == "" {
			slices.Reverse(dn)
			return dn, nil
		}
		rest = after[1:]
	}
}

// Matches reports whether the name is the raw subject of a certificate.
func (dn DN) Matches(rawSubject []byte) bool {
	subject, err := subjectDN(rawSubject)
	return err == nil && dn.equal(subject)
}

// equal reports whether both are one name, by distinguishedNameMatch of RFC 4517 §4.2.15 in the order
// of RDNs (RFC 5280 §7.1): values are compared without case, and runs of blanks as one. Values are not
// normalised beyond that: one written with combining characters differs from one without. An empty one
// equals none.
func (dn DN) equal(other DN) bool {
	return len(dn) > 0 && slices.EqualFunc(dn, other, slices.Equal)
}

// parseAttribute reads type=value from the start of s. after is empty, or begins with the comma or
// plus sign before the next attribute.
func parseAttribute(s string) (attribute, after string, err error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return "", "", fmt.Errorf("%q is not TYPE=VALUE", s)
	}
	oid, err := attributeType(strings.Trim(name, " "))
	if err != nil {
		return "", "", err
	}
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "#") {
		end := strings.IndexAny(rest, ",+")
		if end < 0 {
			end = len(rest)
		}
		ber, err := hex.DecodeString(strings.TrimRight(rest[1:end], " "))
		if err != nil {
			return "", "", errors.New("a value that begins with # is in hex")
		}
		var value asn1.RawValue
		if trailing, err := asn1.Unmarshal(ber, &value); err != nil || len(trailing) > 0 {
			return "", "", errors.New("a value in hex is one element of ASN.1")
		}
		attribute, err = derAttribute(oid, value)
		return attribute, rest[end:], err
	}
	value, after, err := unescape(rest)
	if err != nil {
		return "", "", err
	}
	attribute, err = textAttribute(oid, value)
	return attribute, after, err
}

func attributeType(name string) (string, error) {
	if oid := attributeTypes[strings.ToLower(name)]; oid != "" {
		return oid, nil
	}
	arcs := strings.Split(name, ".")
	for _, arc := range arcs {
		if arc == "" || len(arc) > 1 && arc[0] == '0' || strings.Trim(arc, "0123456789") != "" || len(arcs) < 2 {
			return "", fmt.Errorf("%q is no known attribute type: write its OID in digits", name)
		}
	}
	return name, nil
}

// unescape reads a value (RFC 4514 §2.4) up to a comma or plus sign that is not escaped.
func unescape(s string) (value, after string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ',' || c == '+':
			return b.String(), s[i:], nil
		case strings.IndexByte("\";<>\x00", c) >= 0:
			return "", "", fmt.Errorf("%q must be escaped in a value", string(c))
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(s) && strings.IndexByte(`\ "#+,;<=>`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		default:
			hexed, err := hex.DecodeString(s[i+1 : min(i+3, len(s))])
			if err != nil || len(hexed) == 0 {
				return "", "", errors.New("a backslash stands before two hex digits or a special character")
			}
			b.WriteByte(hexed[0])
			i += 2
		}
	}
	return b.String(), "", nil
}

// subjectDN reads a subject from its DER. pkix.Name is not used: it loses the grouping into RDNs.
func subjectDN(der []byte) (DN, error) {
	type attributeSET []struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	var sequence []attributeSET
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return nil, errors.New("the subject is not a sequence of RDNs")
	}
	dn := make(DN, 0, len(sequence))
	for _, set := range sequence {
		rdn := []string{}
		for _, part := range set {
			attribute, err := derAttribute(part.Type.String(), part.Value)
			if err != nil {
				return nil, err
			}
			rdn = append(rdn, attribute)
		}
		slices.Sort(rdn)
		dn = append(dn, rdn)
	}
	return dn, nil
}

// derAttribute returns the comparable form of an attribute from its value in DER. One that is no
// string is compared byte by byte.
func derAttribute(oid string, value asn1.RawValue) (string, error) {
	text, isText := "", value.Class == asn1.ClassUniversal && !value.IsCompound
	b := value.Bytes
	switch {
	case !isText:
	case slices.Contains([]int{asn1.TagUTF8String, asn1.TagNumericString, asn1.TagPrintableString, asn1.TagIA5String, 26}, value.Tag):
		text = string(b)
	case value.Tag == asn1.TagT61String: // as Latin-1, as everybody writes it
		for _, c := range b {
			text += string(rune(c))
		}
	case value.Tag == asn1.TagBMPString && len(b)%2 == 0:
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
		}
		text = string(utf16.Decode(units))
	default:
		isText = false
	}
	if !isText {
		return oid + "=#" + hex.EncodeToString(value.FullBytes), nil
	}
	return textAttribute(oid, text)
}

// textAttribute returns the comparable form of a string: without case, without blanks at its ends, and
// with one blank for each run of them (RFC 4518 §2.6.1). Its mark keeps it apart from values in hex.
func textAttribute(oid, value string) (string, error) {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || strings.ContainsRune(value, utf8.RuneError) {
		return "", errors.New("a value is not UTF-8, or has control characters")
	}
	return oid + "==" + strings.Map(fold, strings.Join(strings.Fields(value), " ")), nil
}

// fold returns the least rune that differs from r by case alone.
func fold(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	return least
}
