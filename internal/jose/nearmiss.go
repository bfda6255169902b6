package jose

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Want is what a file should have held.
type Want int

// What a file should have held.
const (
	WantPublic Want = iota
	WantPrivate
	WantCertificate // one or more, in PEM
)

// err returns the error of a file that does not hold it.
func (w Want) err() error {
	if w == WantCertificate {
		return errNoCertificate
	}
	return ErrKey
}

// form is a form of keys or certificates that is not read, or not there.
type form struct {
	what   string    // in a sentence: "this is ..."
	secret bool      // it holds a private key
	remedy [3]string // by Want: what turns it into what is wanted; empty when nothing does
}

// ErrUnknownForm says that data have no form that NearMiss knows.
var ErrUnknownForm = errors.New("neither a PEM block nor a JWK")

var errNoCertificate = errors.New("not a usable certificate")

// refuse returns the error that names the form and the remedy.
func (f form) refuse(want Want) error {
	kind := want.err()
	if f.secret && want == WantPublic {
		kind = ErrPrivateKey
	}
	remedy := f.remedy[want]
	if remedy == "" {
		remedy = [...]string{
			"give the public key, made with: openssl pkey -in private.pem -pubout -out public.pem",
			"give the private key, as 'moneyer keygen' or 'openssl genpkey' made it",
			"give the certificate in PEM, as its authority issued it",
		}[want]
	}
	return fmt.Errorf("%w: this is %s: %s", kind, f.what, remedy)
}

// The forms that are PEM blocks, by their type.
var pemForms = map[string]form{
	"CERTIFICATE REQUEST": {what: "a certificate request", remedy: [3]string{
		"take the key out with: openssl req -in request.pem -noout -pubkey -out public.pem", "", "give the certificate that the authority made of it"}},
	"OPENSSH PRIVATE KEY": {what: "a private key of OpenSSH", secret: true, remedy: [3]string{
		"make a public key for here (not of Ed25519) with: ssh-keygen -e -m PKCS8 -f key > public.pem",
		"convert a copy of it (not of Ed25519) with: cp key private.pem && ssh-keygen -p -m PKCS8 -N '' -f private.pem", ""}},
	"PKCS7": {what: "a PKCS #7 file of certificates", remedy: [3]string{
		"take the certificates out with: openssl pkcs7 -in certificates.p7b -print_certs -out certificates.pem", "",
		"take the certificates out with: openssl pkcs7 -in certificates.p7b -print_certs -out certificates.pem"}},
	"TRUSTED CERTIFICATE": {what: "a certificate with trust settings of OpenSSL", remedy: [3]string{
		"", "", "leave them out with: openssl x509 -in trusted.pem -out certificate.pem"}},
	"EC PARAMETERS":         {what: "the name of a curve without a key"},
	"X509 CRL":              {what: "a revocation list"},
	"PUBLIC KEY":            {what: "a public key"},
	"PRIVATE KEY":           {what: "a private key", secret: true},
	"ENCRYPTED PRIVATE KEY": {what: "an encrypted private key", secret: true},
}

// The forms that are DER, by what derForm finds.
var derForms = map[string]form{
	"certificate": {what: "a certificate in DER", remedy: [3]string{
		"make PEM of it with: openssl x509 -inform DER -in key.der -out certificate.pem", "",
		"make PEM of it with: openssl x509 -inform DER -in key.der -out certificate.pem"}},
	"request": {what: "a certificate request in DER", remedy: [3]string{
		"take the key out with: openssl req -inform DER -in key.der -noout -pubkey -out public.pem", "", ""}},
	"public": {what: "a public key in DER", remedy: [3]string{"make PEM of it with: openssl pkey -pubin -inform DER -in key.der -out public.pem", "", ""}},
	"RSA":    {what: "a public RSA key in DER", remedy: [3]string{"make PEM of it with: openssl rsa -RSAPublicKey_in -inform DER -in key.der -pubout -out public.pem", "", ""}},
	"private": {what: "a private key in DER", secret: true, remedy: [3]string{
		"make the public key with: openssl pkey -inform DER -in key.der -pubout -out public.pem",
		"make PEM of it with: openssl pkey -inform DER -in key.der -out private.pem", ""}},
	"encrypted": {what: "an encrypted private key in DER", secret: true, remedy: [3]string{
		"make the public key with: openssl pkey -inform DER -in key.der -pubout -out public.pem",
		"make PEM of it with: openssl pkey -inform DER -in key.der -out private.pem", ""}},
	"PKCS #12": {what: "a PKCS #12 file (.p12, .pfx)", secret: true, remedy: [3]string{
		"take the certificate out with: openssl pkcs12 -in key.p12 -clcerts -nokeys -out certificate.pem",
		"take the private key out with: openssl pkcs12 -in key.p12 -nocerts -noenc -out private.pem",
		"take the certificate out with: openssl pkcs12 -in key.p12 -clcerts -nokeys -out certificate.pem"}},
	"PKCS #7": {what: "a PKCS #7 file of certificates in DER", remedy: [3]string{
		"take the certificates out with: openssl pkcs7 -inform DER -in key.der -print_certs -out certificates.pem", "",
		"take the certificates out with: openssl pkcs7 -inform DER -in key.der -print_certs -out certificates.pem"}},
}

// textForms are the other forms, by how they begin.
var textForms = []struct {
	begins string
	form   form
}{
	{"\xff\xfe", form{what: "a file in UTF-16, as Windows writes it", remedy: utf16Remedy}},
	{"\xfe\xff", form{what: "a file in UTF-16", remedy: utf16Remedy}},
	{"ssh-ed25519 ", form{what: "an Ed25519 key of OpenSSH, which its tools do not convert", remedy: [3]string{"make a pair with: moneyer keygen --alg EdDSA", "", ""}}},
	{"ssh-rsa ", sshPublic},
	{"ecdsa-sha2-", sshPublic},
	{"---- BEGIN SSH2 PUBLIC KEY", form{what: "a public key of SSH (RFC 4716)", remedy: [3]string{
		"make PEM of it with: ssh-keygen -i -m RFC4716 -f key.pub > openssh.pub && ssh-keygen -e -m PKCS8 -f openssh.pub > public.pem", "", ""}}},
	{"-----BEGIN PGP PRIVATE KEY", form{what: "a private key of PGP", secret: true, remedy: pairRemedy}},
	{"-----BEGIN PGP", form{what: "a key of PGP, which is for mail and files", remedy: pairRemedy}},
	{"\xfe\xed\xfe\xed", form{what: "a Java key store", secret: true, remedy: keytoolRemedy}},
	{"eyJ", form{what: "a token (JWT), not the key that signs it"}},
	{"https://", form{what: "an address, not the key that is there"}},
}

var (
	utf16Remedy = [3]string{iconv, iconv, iconv}
	pairRemedy  = [3]string{"make a pair with: moneyer keygen", "make a pair with: moneyer keygen", ""}
	// keytoolRemedy makes a PKCS #12 file first: keytool exports no private keys.
	keytoolRemedy = [3]string{
		"take the certificate out with: keytool -exportcert -rfc -keystore key.jks -alias NAME -file certificate.pem",
		"make a .p12 file of it with: keytool -importkeystore -srckeystore key.jks -destkeystore key.p12 -deststoretype PKCS12",
		"take the certificate out with: keytool -exportcert -rfc -keystore key.jks -alias NAME -file certificate.pem"}
	sshPublic = form{what: "a public key of OpenSSH", remedy: [3]string{"make PEM of it with: ssh-keygen -e -m PKCS8 -f key.pub > public.pem", "", ""}}
)

const iconv = "convert it with: iconv -f UTF-16 -t UTF-8 key.txt > key.pem"

// NearMiss returns the error for data that hold nothing that can be read: which form they have, and the
// command that turns it into what is wanted. Nothing of data is quoted.
func NearMiss(data []byte, want Want) error {
	trimmed := bytes.TrimSpace(withoutBOM(data))
	for _, row := range textForms {
		if bytes.HasPrefix(trimmed, []byte(row.begins)) {
			wide := bytes.ReplaceAll(trimmed, []byte{0}, nil) // of UTF-16
			row.form.secret = row.form.secret || bytes.Contains(wide, []byte("PRIVATE KEY-----"))
			return row.form.refuse(want)
		}
	}
	for _, block := range pemBlocks(data) {
		_, unlabelled, _ := strings.Cut(block.Type, " ") // without RSA or EC
		for _, kind := range []string{block.Type, unlabelled} {
			if known, ok := pemForms[kind]; ok {
				return known.refuse(want)
			}
		}
	}
	switch {
	case len(trimmed) == 0:
		return fmt.Errorf("%w: the file is empty", want.err())
	case bytes.HasPrefix(trimmed, []byte("{")) && want == WantCertificate:
		return form{what: "JSON"}.refuse(want)
	case bytes.Contains(trimmed, []byte("-----BEGIN ")):
		return fmt.Errorf("%w: the PEM block is damaged: copy the file again, whole, from -----BEGIN to the last -----", want.err())
	}
	if known, ok := derForms[derForm(data)]; ok {
		return known.refuse(want)
	}
	if err := base64Form(trimmed, want); err != nil {
		return err
	}
	if want == WantCertificate {
		return fmt.Errorf("%w: there is no PEM block", want.err())
	}
	return fmt.Errorf("%w: %w", ErrKey, ErrUnknownForm)
}

// derForm names what DER holds; empty when it is nothing known.
func derForm(der []byte) string {
	types := shape(der)
	if types == "SSB" {
		if _, err := x509.ParseCertificateRequest(der); err == nil {
			return "request"
		}
		if _, rest, err := readCertificate(der); err == nil && len(rest) == 0 {
			return "certificate"
		}
		return ""
	}
	for _, row := range []struct{ begins, form string }{
		{"SB", "public"}, {"ISO", "private"}, {"IO", "private"}, {"III", "private"}, {"II", "RSA"}, {"SO", "encrypted"}, {"IS", "PKCS #12"}, {"NC", "PKCS #7"},
	} {
		if strings.HasPrefix(types, row.begins) {
			return row.form
		}
	}
	return ""
}

// base64Form returns the error for base64 of PEM or of DER; nil when it is neither.
func base64Form(text []byte, want Want) error {
	decoded, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil {
		return nil
	}
	if bytes.HasPrefix(decoded, []byte("-----BEGIN ")) {
		secret := bytes.Contains(decoded, []byte("PRIVATE KEY-----"))
		const remedy = "decode it with: base64 -d key.txt > key.pem"
		return form{what: "PEM in base64", secret: secret, remedy: [3]string{remedy, remedy, remedy}}.refuse(want)
	}
	known, ok := derForms[derForm(decoded)]
	if !ok {
		return nil
	}
	known.what = "the base64 of " + known.what
	if remedy := known.remedy[want]; remedy != "" {
		known.remedy[want] = strings.Replace(remedy, "with: ", "with: base64 -d key.txt > key.der && ", 1)
	}
	return known.refuse(want)
}

// The refusals of JWKs that are private or symmetric.
var (
	errPrivateJWK = fmt.Errorf("%w: register the public half only, made with: jq 'del(.d,.p,.q,.dp,.dq,.qi,.oth)' private.json > public.json", ErrPrivateKey)
	errSymmetric  = fmt.Errorf("%w: a symmetric key, which both sides would have to keep secret: make a pair with: moneyer keygen", ErrPrivateKey)
)

// The members of a JWK that are near to what they should be.
var (
	errJWKS       = errors.New("a JWK set, where one of its keys belongs: take the first out with: jq '.keys[0]' set.json > key.json")
	errStdBase64  = errors.New("base64, where base64url belongs (RFC 7518 section 6): mend it with: " + jqBase64url)
	errPaddedText = errors.New("base64url with padding, which a JWK has not (RFC 7515 section 2): mend it with: " + jqBase64url)
)

const jqBase64url = `jq '(.n,.e,.x,.y|strings) |= (gsub("[+]";"-")|gsub("/";"_")|gsub("=";""))' key.json > mended.json`
