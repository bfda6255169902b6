package jose_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// TestNearMiss: what is no key here is called what it is, in one line that quotes nothing of it.
func TestNearMiss(t *testing.T) {
	secret := openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout")
	crl := "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"
	for name, tc := range map[string]struct {
		data    string
		want    jose.Want
		is      error
		message string
	}{
		"nothing":                {" \n", jose.WantPublic, jose.ErrKey, "the file is empty"},
		"text":                   {"hello", jose.WantPublic, jose.ErrKey, "neither a PEM block nor a JWK"},
		"half a block":           {"-----BEGIN PUBLIC KEY-----\nMFkw", jose.WantPublic, jose.ErrKey, "the PEM block is damaged"},
		"half a block, a whole":  {"-----BEGIN PUBLIC KEY-----\nMFkw\n" + string(newSigner(t, jose.ES256, "", "").Public().PEM()), jose.WantPublic, jose.ErrKey, "the PEM block is damaged"},
		"private, half a block":  {string(secret) + "-----BEGIN PRIVATE KEY-----\nMFkw\n", jose.WantPrivate, jose.ErrKey, "the PEM block is damaged"},
		"Ed25519 of OpenSSH":     {"ssh-ed25519 AAAA me", jose.WantPublic, jose.ErrKey, "moneyer keygen --alg EdDSA"},
		"RFC 4716":               {"---- BEGIN SSH2 PUBLIC KEY ----\n", jose.WantPublic, jose.ErrKey, "ssh-keygen -i -m RFC4716"},
		"PGP":                    {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", jose.WantPublic, jose.ErrKey, "a key of PGP"},
		"PGP, private":           {"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", jose.WantPublic, jose.ErrPrivateKey, "a private key of PGP"},
		"Java":                   {"\xfe\xed\xfe\xed\x00", jose.WantPublic, jose.ErrPrivateKey, "keytool -exportcert"},
		"Java, private":          {"\xfe\xed\xfe\xed\x00", jose.WantPrivate, jose.ErrKey, "keytool -importkeystore"},
		"token":                  {"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", jose.WantPublic, jose.ErrKey, "a token (JWT)"},
		"address":                {"https://a.example/jwks", jose.WantPublic, jose.ErrKey, "an address"},
		"curve alone":            {"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", jose.WantPublic, jose.ErrKey, "the name of a curve without a key"},
		"revocation list":        {crl, jose.WantPublic, jose.ErrKey, "a revocation list"},
		"list, certificate":      {crl, jose.WantCertificate, nil, "not a usable certificate: this is a revocation list"},
		"private in base64":      {base64.StdEncoding.EncodeToString(secret), jose.WantPublic, jose.ErrPrivateKey, "PEM in base64"},
		"private, as private":    {base64.StdEncoding.EncodeToString(secret), jose.WantPrivate, jose.ErrKey, "base64 -d key.txt > key.pem"},
		"symmetric JWK":          {`{"kty":"oct","k":"AAAA"}`, jose.WantPublic, jose.ErrPrivateKey, "a symmetric key"},
		"private JWK":            {rfc7515EC, jose.WantPublic, jose.ErrPrivateKey, "jq 'del(.d,"},
		"JWK set":                {`{"keys":[]}`, jose.WantPublic, jose.ErrKey, "jq '.keys[0]'"},
		"RSA-PSS, private":       {string(openssl(t, nil, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")), jose.WantPrivate, jose.ErrWrongKeyType, "--alg PS256"},
		"RSA-PSS with SHA-512":   {string(openssl(t, openssl(t, nil, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_pss_keygen_md:sha512"), "pkey", "-pubout")), jose.WantPublic, jose.ErrWrongKeyType, "parameters that are not those of PS256"},
		"secp256k1":              {string(openssl(t, openssl(t, nil, "ecparam", "-name", "secp256k1", "-genkey"), "ec", "-pubout")), jose.WantPublic, jose.ErrWrongCurve, "EC key on secp256k1"},
		"secp256k1, private":     {string(openssl(t, nil, "ecparam", "-name", "secp256k1", "-genkey")), jose.WantPrivate, jose.ErrWrongCurve, "EC key on secp256k1"},
		"two certificates, keys": {certificate(t) + certificate(t), jose.WantPublic, jose.ErrKey, "several different keys"},
		"certificate and key":    {certificate(t) + string(newSigner(t, jose.ES256, "", "").Public().PEM()), jose.WantPublic, jose.ErrKey, "several different keys"},
		"two private keys":       {string(secret) + string(secret), jose.WantPrivate, jose.ErrKey, "more than one private key"},
	} {
		var err error
		switch tc.want {
		case jose.WantPublic:
			_, _, err = jose.ParsePublic([]byte(tc.data), "")
		case jose.WantPrivate:
			_, err = jose.ParsePrivate([]byte(tc.data))
		default:
			err = jose.NearMiss([]byte(tc.data), tc.want)
		}
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.message) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %v: %s", name, err, tc.is, tc.message)
		}
	}
}

// certificate returns a new certificate in PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key := openssl(t, nil, "ecparam", "-name", "prime256v1", "-genkey", "-noout")
	return string(openssl(t, key, "req", "-x509", "-new", "-key", "/dev/stdin", "-subj", "/CN=client"))
}

// TestPSSKey: a key for RSA-PSS alone is bound to PS256.
func TestPSSKey(t *testing.T) {
	for _, options := range [][]string{nil, {"-pkeyopt", "rsa_pss_keygen_md:sha256", "-pkeyopt", "rsa_pss_keygen_mgf1_md:sha256", "-pkeyopt", "rsa_pss_keygen_saltlen:32"}} {
		public := openssl(t, openssl(t, nil, append([]string{"genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"}, options...)...), "pkey", "-pubout")
		for _, alg := range []jose.Alg{"", jose.PS256} {
			if key, _, err := jose.ParsePublic(public, alg); err != nil || key.Alg() != jose.PS256 {
				t.Errorf("%q: %v", alg, err)
			}
		}
		if _, _, err := jose.ParsePublic(public, jose.RS256); !errors.Is(err, jose.ErrWrongKeyType) {
			t.Error(err)
		}
	}
}
