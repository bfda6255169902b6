package interop

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenSSLKeys: the files that openssl writes are accepted unchanged: private keys with EC
// PARAMETERS by our own commands, public keys also with blanks at the ends of lines, and in a
// certificate.
func TestOpenSSLKeys(t *testing.T) {
	for name, write := range map[string]func(*testing.T, *key) string{
		"as written": func(t *testing.T, k *key) string { return readFile(t, k.public) },
		"blanks":     func(t *testing.T, k *key) string { return strings.ReplaceAll(readFile(t, k.public), "\n", " \t\n") },
		"CRLF":       func(t *testing.T, k *key) string { return strings.ReplaceAll(readFile(t, k.public), "\n", "\r\n") },
		"certificate": func(t *testing.T, k *key) string {
			return string(program(t, nil, "openssl", "req", "-x509", "-new", "-key", k.own, "-subj", "/CN=interop", "-days", "2"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKey(t, "ES256")
			if text := readFile(t, k.own); !strings.Contains(text, "EC PARAMETERS") || !strings.Contains(text, "EC PRIVATE KEY") {
				t.Fatalf("openssl writes private keys another way now:\n%s", text)
			}
			if err := os.WriteFile(k.public, []byte(write(t, k)), 0o600); err != nil {
				t.Fatal(err)
			}
			client := d1.newClient(t, newID())
			k.register(t, d1, client)
			for form, private := range map[string]string{"own": k.own, "PKCS #8": k.pkcs8} {
				assertion := program(t, nil, moneyer.binary, "assert", "--profile", profiles[d1], "--issuer", d1.url(t),
					"--client", client, "--key", private, "--kid", k.kid)
				got := post(t, d1.endpoint(t), url.Values{"grant_type": {jwtBearer}, "assertion": {strings.TrimSpace(string(assertion))}})
				if got.outcome() != token {
					t.Errorf("private key %s: %s", form, got.outcome())
				}
			}
		})
	}
}

// TestOpenSSLRefusedKeys: unsuitable keys are refused at registration, not at first use.
func TestOpenSSLRefusedKeys(t *testing.T) {
	needProgram("openssl")(t)
	client := d1.newClient(t, newID())
	dir := t.TempDir()
	k := newKey(t, "ES256")
	p384, public384, rsa := filepath.Join(dir, "p384.pem"), filepath.Join(dir, "p384-public.pem"), newKey(t, "RS256").public
	program(t, nil, "openssl", "ecparam", "-name", "secp384r1", "-genkey", "-out", p384)
	program(t, nil, "openssl", "ec", "-in", p384, "-pubout", "-out", public384)
	for name, file := range map[string]string{"P-384": public384, "RSA": rsa, "private": k.own, "private in PKCS #8": k.pkcs8} {
		_, complaint, err := tryProgram(t.Context(), nil, moneyer.binary, "key", "add", client, file, "--kid", "slip",
			"--issuer", string(d1), "--admin", filepath.Join(moneyer.dir, "moneyer-admin.json"))
		if err == nil {
			t.Errorf("a key of the wrong kind was registered: %s", name)
		}
		if strings.Contains(string(complaint), "PRIVATE KEY-----") {
			t.Errorf("%s: the error contains the private key", name)
		}
	}
}

// TestOpenSSLSignatureInDER: a DER signature as written by openssl is not a JWS signature, and is
// refused.
func TestOpenSSLSignatureInDER(t *testing.T) {
	needProgram("openssl")(t)
	client := d1.newClient(t, newID())
	k := newKey(t, "ES256")
	k.register(t, d1, client)
	work := signing{Alg: k.alg, Kid: k.kid, Claims: assertionClaims(client, d1.url(t)), key: k}
	der, input := derFromOpenSSL(t, work)
	for want, assertion := range map[string]string{"400 invalid_grant": input + "." + b64(der), token: signWithOpenSSL(t, work)} {
		got := post(t, d1.endpoint(t), url.Values{"grant_type": {jwtBearer}, "assertion": {assertion}})
		if got.outcome() != want {
			t.Errorf("%s, want %s", got.outcome(), want)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
