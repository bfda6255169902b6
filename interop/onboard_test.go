package interop

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// issuer is an issuer of the sandbox by its short name.
type issuer string

const (
	d1        issuer = "d1"
	d1Banking issuer = "d1-banking"
	boltpay   issuer = "boltpay"
	etp       issuer = "etp"
	oauth2AS  issuer = "oauth2"
)

var profiles = map[issuer]string{d1: "thales-d1", d1Banking: "thales-d1-banking", boltpay: "boltpay", etp: "thales-etp", oauth2AS: "oauth2"}

func (i issuer) demo(t *testing.T) demo {
	t.Helper()
	for _, d := range moneyer.demos {
		if d.Profile == profiles[i] {
			return d
		}
	}
	t.Fatalf("the sandbox serves no %s", i)
	return demo{}
}

func (i issuer) url(t *testing.T) string {
	t.Helper()
	return i.demo(t).Issuer
}

// metadata is what the tests need of RFC 8414 §2.
type metadata struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	JWKSURI       string `json:"jwks_uri"`
}

// metadata discovers the issuer as RFC 8414 §3.1 tells: the well-known part
// between host and path.
func (i issuer) metadata(t *testing.T) metadata {
	t.Helper()
	url := i.url(t)
	slash := len("http://") + strings.IndexByte(url[len("http://"):], '/')
	resp, err := http.Get(url[:slash] + "/.well-known/oauth-authorization-server" + url[slash:])
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var m metadata
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		t.Fatalf("metadata of %s: %s: %v", i, resp.Status, err)
	}
	if m.Issuer != url || m.TokenEndpoint == "" || m.JWKSURI == "" {
		t.Fatalf("metadata of %s: %+v", i, m)
	}
	return m
}

func (i issuer) endpoint(t *testing.T) string { t.Helper(); return i.metadata(t).TokenEndpoint }

// admin runs one of the onboarding commands.
func (i issuer) admin(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--issuer", string(i), "--admin", filepath.Join(moneyer.dir, "moneyer-admin.json"))
	return strings.TrimSpace(string(program(t, nil, moneyer.binary, args...)))
}

var clientsMade atomic.Int64

// newID makes a client id that is as long as a D1 identifier.
func newID() string {
	n := clientsMade.Add(1)
	return "interop-" + string([]byte{byte('a' + n/26%26), byte('a' + n%26)})
}

// scopes that the clients are registered for.
var scopes = map[issuer]string{
	d1: "d1-s2s:api:merchant-gtw", d1Banking: "d1-api:account:full d1-api:consumer:read",
	boltpay: "openid accountId roles", oauth2AS: "payments:read payments:write",
}

// newClient registers a client.
func (i issuer) newClient(t *testing.T, id string, flags ...string) string {
	t.Helper()
	i.admin(t, append([]string{"client", "add", id, "--scope", scopes[i]}, flags...)...)
	return id
}

// newSecret gives a client a secret.
func (i issuer) newSecret(t *testing.T, id string) string {
	t.Helper()
	return i.admin(t, "secret", "add", id)
}

// key is a key pair that openssl made.
type key struct {
	alg string
	kid string
	// own is the private key as openssl writes it, pkcs8 in the form that
	// libraries want, public what is registered: paths.
	own, pkcs8, public string
}

var keysMade atomic.Int64

// newKey makes a key pair with openssl: for ES256 by the commands of the D1 page,
// ecparam -genkey and ec -pubout.
func newKey(t *testing.T, alg string) *key {
	t.Helper()
	needProgram("openssl")(t)
	dir := t.TempDir()
	k := &key{alg: alg, kid: "openssl-" + string(rune('a'+keysMade.Add(1)%26)),
		own: filepath.Join(dir, "own.pem"), pkcs8: filepath.Join(dir, "pkcs8.pem"), public: filepath.Join(dir, "public.pem")}
	openssl := func(args ...string) { t.Helper(); program(t, nil, "openssl", args...) }
	switch alg {
	case "ES256":
		openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", k.own)
		openssl("ec", "-in", k.own, "-pubout", "-out", k.public)
	case "EdDSA":
		openssl("genpkey", "-algorithm", "ed25519", "-out", k.own)
		openssl("pkey", "-in", k.own, "-pubout", "-out", k.public)
	default:
		openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", k.own)
		openssl("rsa", "-in", k.own, "-pubout", "-out", k.public)
	}
	openssl("pkcs8", "-topk8", "-nocrypt", "-in", k.own, "-out", k.pkcs8)
	return k
}

// register registers the public half for a client.
func (k *key) register(t *testing.T, i issuer, client string) {
	t.Helper()
	flags := []string{"key", "add", client, k.public, "--kid", k.kid}
	if k.alg == "RS256" || k.alg == "PS256" {
		flags = append(flags, "--alg", k.alg) // an RSA key does not tell
	}
	i.admin(t, flags...)
}

// pem is the private key in PKCS #8.
func (k *key) pem(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(k.pkcs8)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
