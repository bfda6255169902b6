package jose

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
)

var (
	errNotCertificate = fmt.Errorf("%w: the content is no certificate in DER", ErrKey)
	// errNegativeSerial refuses what RFC 5280 section 4.1.2.2 forbids, where the certificate itself is
	// needed: crypto/x509 and crypto/tls do not take it either.
	errNegativeSerial = errors.New("its serial number is negative (RFC 5280 section 4.1.2.2): its authority has to issue it again")
)

// certificate has what is used of an X.509 certificate that crypto/x509 may refuse for other parts of
// it: RFC 5280 section 4.1.
type certificate struct {
	TBS struct {
		Version                     int `asn1:"explicit,tag:0,optional,default:0"`
		Serial                      asn1.RawValue
		Algorithm, Issuer, Validity asn1.RawValue
		Subject, PublicKey          asn1.RawValue
	}
	Algorithm asn1.RawValue
	Signature asn1.BitString
}

// readCertificate reads the certificate at the beginning of der, and what follows it.
func readCertificate(der []byte) (*certificate, []byte, error) {
	c := new(certificate)
	rest, err := asn1.Unmarshal(der, c)
	serial := &c.TBS.Serial
	if err != nil || serial.Class != asn1.ClassUniversal || serial.Tag != asn1.TagInteger || len(serial.Bytes) == 0 {
		return nil, nil, errNotCertificate
	}
	return c, rest, nil
}

// subject returns the subject for an error, of at most 200 bytes.
func (c *certificate) subject() string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(c.TBS.Subject.FullBytes, &name); err != nil {
		return ""
	}
	text := name.String()
	return strings.ToValidUTF8(text[:min(len(text), 200)], "")
}

// ParseCertificate reads one certificate in DER. The error names its subject, if that can be read, and
// says what is wrong.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		return cert, nil
	}
	parts, _, readErr := readCertificate(der)
	if readErr != nil {
		return nil, fmt.Errorf("it cannot be read: %.200s", err.Error())
	}
	if parts.TBS.Serial.Bytes[0] >= 0x80 {
		err = errNegativeSerial
	}
	return nil, fmt.Errorf("subject %q: %.200s", parts.subject(), err.Error())
}
