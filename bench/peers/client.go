package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"moneyer/assertion"
	"moneyer/bench/subject"
)

// assertionLife is the lifetime of assertions: the bodies of a round are all made before its first
// request.
const assertionLife = 5 * time.Minute

// A client is the machine client that is registered at a peer. It authenticates with the secret
// under ID, and with the key under KeyID.
type client struct {
	ID, Secret string
	KeyID      string // client_id of the client that has a key instead of a secret
	Key        *ecdsa.PrivateKey
	Kid        string
	signer     *assertion.Signer
}

func newClient() (*client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &client{ID: "bench", Secret: newSecret(), KeyID: "bench-key", Key: key, Kid: "bench-1"}
	c.signer, err = assertion.NewSigner(key, "ES256", c.Kid, "JWT")
	return c, err
}

// newSecret returns 256 random bits, so that no server needs a slow hash. They are hex digits: one
// peer stops reading a secret at some characters.
func newSecret() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return fmt.Sprintf("%x", secret)
}

// secretBody returns client_credentials requests with the secret in the body, which spares servers
// decoding a header.
func (c *client) secretBody(more url.Values) func(int) ([]byte, error) {
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {c.ID},
		"client_secret": {c.Secret},
	}
	body := encode(form, more)
	return func(int) ([]byte, error) { return body, nil }
}

// introspect returns the exchange that asks endpoint about a token of another one (RFC 7662), by the
// client with its secret in the body.
func (c *client) introspect(of subject.Exchange, endpoint string) subject.Exchange {
	return of.Introspect(endpoint, url.Values{"client_id": {c.ID}, "client_secret": {c.Secret}})
}

// keyBody returns client_credentials requests with private_key_jwt (RFC 7523 section 2.2).
func (c *client) keyBody(audience string, more url.Values) func(int) ([]byte, error) {
	return func(int) ([]byte, error) {
		token, err := c.sign(c.KeyID, c.KeyID, audience)
		return encode(url.Values{
			"grant_type":            {"client_credentials"},
			"client_id":             {c.KeyID},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {token},
		}, more), err
	}
}

// bearerBody returns requests with an assertion as the grant (RFC 7523 section 2.1).
func (c *client) bearerBody(issuer, subject, audience string, more url.Values) func(int) ([]byte, error) {
	return func(int) ([]byte, error) {
		token, err := c.sign(issuer, subject, audience)
		return encode(url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"},
			"assertion":  {token},
		}, more), err
	}
}

// sign makes an assertion with a new jti.
func (c *client) sign(issuer, subject, audience string) (string, error) {
	now := time.Now()
	return c.signer.Sign(assertion.Assertion{
		Issuer:   issuer,
		Subject:  subject,
		Audience: []string{audience},
		ID:       assertion.NewID(),
		IssuedAt: now,
		Expiry:   now.Add(assertionLife),
	})
}

func encode(form, more url.Values) []byte {
	for name, values := range more {
		form[name] = values
	}
	return []byte(form.Encode())
}

// form is the header of a token request.
func form() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

// A jwk is a key as JSON (RFC 7517).
type jwk map[string]string

// publicJWK returns the public half of a P-256 key.
func publicJWK(key *ecdsa.PublicKey, kid string) (jwk, error) {
	point, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	half := len(point) / 2 // after the byte that says "uncompressed"
	return jwk{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
		"x": base64URL(point[1 : 1+half]), "y": base64URL(point[1+half:])}, nil
}

// newECKey returns a new private P-256 key.
func newECKey(kid string) (jwk, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	written, err := publicJWK(&key.PublicKey, kid)
	if err != nil {
		return nil, err
	}
	scalar, err := key.Bytes()
	written["d"] = base64URL(scalar)
	return written, err
}

// newRSAKey returns a new private RSA key of 2048 bits.
func newRSAKey(kid string) (jwk, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return jwk{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": base64URL(key.N.Bytes()), "e": base64URL(big.NewInt(int64(key.E)).Bytes()), "d": base64URL(key.D.Bytes()),
		"p": base64URL(key.Primes[0].Bytes()), "q": base64URL(key.Primes[1].Bytes()),
		"dp": base64URL(key.Precomputed.Dp.Bytes()), "dq": base64URL(key.Precomputed.Dq.Bytes()),
		"qi": base64URL(key.Precomputed.Qinv.Bytes())}, nil
}

func base64URL(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// config is the configuration of the small servers in this folder.
type config struct {
	Listen       string `json:"listen"`
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	KeyClientID  string `json:"key_client_id"`
	ClientKey    jwk    `json:"client_key"`
	SigningKeys  []jwk  `json:"signing_keys"`
	// TLSCert and TLSKey are the files of a server that serves TLS.
	TLSCert string `json:"tls_cert,omitempty"`
	TLSKey  string `json:"tls_key,omitempty"`
	// Database is the file of a server with a durable store.
	Database string `json:"database,omitempty"`
}

// baseURL returns the URL of a server at an address, which serves TLS if there are certificates.
func baseURL(address string, certificates *subject.Certificates) string {
	if certificates != nil {
		return "https://" + address
	}
	return "http://" + address
}

// ready returns a Ready function that succeeds when a page returns 200.
func ready(page string, certificates *subject.Certificates) func(context.Context) error {
	if certificates != nil {
		return certificates.Answers(page)
	}
	return subject.Answers(page)
}

// writeConfig writes the configuration for a client and signing keys, with TLS if there are
// certificates, and returns the file's name.
func (c *client) writeConfig(folder, address, issuer string, certificates *subject.Certificates, keys ...jwk) (string, error) {
	public, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		return "", err
	}
	written := config{
		Listen:       address,
		Issuer:       issuer,
		ClientID:     c.ID,
		ClientSecret: c.Secret,
		KeyClientID:  c.KeyID,
		ClientKey:    public,
		SigningKeys:  keys,
		Database:     filepath.Join(folder, "store.db"),
	}
	if certificates != nil {
		written.TLSCert, written.TLSKey = certificates.Cert, certificates.Key
	}
	return writeJSON(folder, "config.json", written)
}

// writeJSON writes a file that only its owner can read.
func writeJSON(folder, name string, value any) (string, error) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, name)
	return path, os.WriteFile(path, text, 0o600)
}
