package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

var (
	oidEC        = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256      = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidSecp256k1 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
	oidRSAPSS    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256    = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// errDER refuses what has the wrong form inside a PEM block.
var errDER = fmt.Errorf("%w: the content is no key in DER", ErrKey)

// shape returns the types of the elements of a DER SEQUENCE, a letter each: S sequence, I integer, O
// octet string, B bit string, N object identifier, C context-specific, ? any other. It is empty when
// der is anything else.
func shape(der []byte) string {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Class != asn1.ClassUniversal || outer.Tag != asn1.TagSequence {
		return ""
	}
	letters := map[int]byte{asn1.TagSequence: 'S', asn1.TagInteger: 'I', asn1.TagOctetString: 'O', asn1.TagBitString: 'B', asn1.TagOID: 'N'}
	var types []byte
	for inner := outer.Bytes; len(inner) > 0; {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(inner, &element)
		if err != nil {
			return ""
		}
		letter, known := letters[element.Tag]
		switch {
		case element.Class == asn1.ClassContextSpecific:
			letter = 'C'
		case element.Class != asn1.ClassUniversal || !known:
			letter = '?'
		}
		types, inner = append(types, letter), rest
	}
	return string(types)
}

// spki is a SubjectPublicKeyInfo: RFC 5280 section 4.1.
type spki struct {
	Algorithm pkix.AlgorithmIdentifier
	Key       asn1.BitString
}

// parsePublicDER reads a SubjectPublicKeyInfo or, for RSA, a PKCS #1 key, whatever the label says that
// it came under. only is the one algorithm to which the key itself is restricted; it is mostly empty.
func parsePublicDER(der []byte) (pub crypto.PublicKey, only Alg, err error) {
	if shape(der) == "II" {
		pub, err = x509.ParsePKCS1PublicKey(der)
		return pub, "", err
	}
	var info spki
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return nil, "", errDER
	}
	switch {
	case info.Algorithm.Algorithm.Equal(oidRSAPSS):
		if !fitsPS256(info.Algorithm.Parameters) {
			return nil, "", fmt.Errorf("%w: RSA-PSS key with parameters that are not those of PS256: SHA-256, MGF1 with SHA-256, at most 32 bytes of salt", ErrWrongKeyType)
		}
		pub, err = x509.ParsePKCS1PublicKey(info.Key.RightAlign())
		return pub, PS256, err
	case info.Algorithm.Algorithm.Equal(oidEC):
		if err := checkCurve(info.Algorithm.Parameters, explicitPublic); err != nil {
			return nil, "", err
		}
		if named(info.Algorithm.Parameters).Equal(oidP256) {
			pub, err = parsePoint(info.Key.RightAlign())
			return pub, "", err
		}
	}
	pub, err = x509.ParsePKIXPublicKey(der)
	return pub, "", err
}

// The lines that give a key with explicit curve parameters its named curve.
const (
	explicitPublic  = "openssl pkey -pubin -in key.pem -ec_param_enc named_curve -out public.pem"
	explicitPrivate = "openssl pkey -in key.pem -ec_param_enc named_curve -out private.pem"
)

// checkCurve refuses a curve that is described instead of named (RFC 5480 section 2.1.1), whose
// description could be of another curve than it seems to be (CVE-2020-0601), and names the line that
// mends the key. It names secp256k1, too, which the standard library does not know.
func checkCurve(parameters asn1.RawValue, mend string) error {
	switch {
	case parameters.Class == asn1.ClassUniversal && parameters.Tag == asn1.TagSequence:
		return fmt.Errorf("%w: EC key with explicit curve parameters, where the name of the curve belongs: mend it with: %s", ErrKey, mend)
	case named(parameters).Equal(oidSecp256k1):
		return fmt.Errorf("%w: %w: EC key on secp256k1, which is for other purposes than JWTs; only P-256 is supported", ErrKey, ErrWrongCurve)
	}
	return nil
}

// named returns the name of a curve; nil when it has none.
func named(parameters asn1.RawValue) (curve asn1.ObjectIdentifier) {
	if rest, err := asn1.Unmarshal(parameters.FullBytes, &curve); err != nil || len(rest) > 0 {
		return nil
	}
	return curve
}

// parsePoint reads a point of P-256 in each form of SEC 1 section 2.3.4: uncompressed, compressed, or
// hybrid.
func parsePoint(point []byte) (*ecdsa.PublicKey, error) {
	point = slices.Clone(point)
	switch {
	case len(point) == 33 && (point[0] == 2 || point[0] == 3):
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), point)
		if x == nil {
			break // refused below
		}
		point = append(x.FillBytes(make([]byte, 32)), y.FillBytes(make([]byte, 32))...)
		point = append([]byte{4}, point...)
	case len(point) == 65 && (point[0] == 6 || point[0] == 7) && point[0]&1 == point[64]&1:
		point[0] = 4
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: the point is not on P-256", ErrKey)
	}
	return pub, nil
}

// fitsPS256 reports whether the parameters of an RSA-PSS key allow PS256. Without parameters all of
// RSA-PSS is allowed: RFC 4055 section 3.1.
func fitsPS256(parameters asn1.RawValue) bool {
	if len(parameters.FullBytes) == 0 || parameters.Tag == asn1.TagNull {
		return true
	}
	var pss struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0,optional"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1,optional"`
		Salt    int                      `asn1:"explicit,tag:2,optional,default:20"`
		Trailer int                      `asn1:"explicit,tag:3,optional,default:1"`
	}
	var mask pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(parameters.FullBytes, &pss); err != nil || len(rest) > 0 {
		return false
	}
	if rest, err := asn1.Unmarshal(pss.MGF.Parameters.FullBytes, &mask); err != nil || len(rest) > 0 {
		return false
	}
	return pss.Hash.Algorithm.Equal(oidSHA256) && pss.MGF.Algorithm.Equal(oidMGF1) && mask.Algorithm.Equal(oidSHA256) &&
		pss.Salt >= 0 && pss.Salt <= 32 && pss.Trailer == 1
}

// parsePrivateDER reads a private key in PKCS #8 (RFC 5208), SEC 1 (RFC 5915) or PKCS #1 (RFC 8017),
// whatever the label says that it came under.
func parsePrivateDER(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	switch types := shape(der); {
	case strings.HasPrefix(types, "ISO"):
		if err = checkPKCS8(der); err == nil {
			key, err = x509.ParsePKCS8PrivateKey(der)
		}
	case strings.HasPrefix(types, "IO"):
		if err = checkSEC1(der); err == nil {
			key, err = x509.ParseECPrivateKey(der)
		}
	case strings.HasPrefix(types, "III"):
		key, err = x509.ParsePKCS1PrivateKey(der)
	default:
		err = errDER
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T cannot sign", ErrWrongKeyType, key)
	}
	return signer, nil
}

// checkPKCS8 refuses keys for which crypto/x509 has no clear error.
func checkPKCS8(der []byte) error {
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return errDER
	}
	switch algorithm := info.Algorithm.Algorithm; {
	case algorithm.Equal(oidRSAPSS):
		return fmt.Errorf("%w: RSA-PSS private key, which must not sign with RS256 and does not show it here: make a pair with 'moneyer keygen --alg PS256'", ErrWrongKeyType)
	case algorithm.Equal(oidEC):
		return checkCurve(info.Algorithm.Parameters, explicitPrivate)
	}
	return nil
}

// checkSEC1 is checkPKCS8 for SEC 1.
func checkSEC1(der []byte) error {
	var sec1 struct {
		Version int
		Key     []byte
		Curve   asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(der, &sec1); err != nil {
		return errDER
	}
	var curve asn1.RawValue
	if _, err := asn1.Unmarshal(sec1.Curve.Bytes, &curve); err == nil && sec1.Curve.Tag == 0 {
		return checkCurve(curve, explicitPrivate)
	}
	return nil
}
