package moneyer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"moneyer/assertion"
	"moneyer/bench/subject"
	"moneyer/oauth"
)

// Settings of the registered clients.
const (
	kid        = "bench-1"
	merchantID = "bench-merchant"
	cardToken  = "bench-visa-1"
	// assertionLife is the longest that the strictest profile allows.
	assertionLife = 14 * time.Minute
)

// Partners are the clients that request tokens. Keys and secrets are derived from the number of a
// client, so that a filled store can be reused, and a million of them take no memory. They protect
// nothing.
type Partners struct {
	// Requests are spread randomly over the clients from First to Count.
	First, Count int

	signers map[int]*assertion.Signer
	random  *rand.Rand
}

// NewPartners returns count clients.
func NewPartners(count int) *Partners {
	return &Partners{Count: count, signers: map[int]*assertion.Signer{}, random: rand.New(rand.NewPCG(1, uint64(count)))}
}

// some returns the number of a random client.
func (p *Partners) some() int { return p.First + p.random.IntN(p.Count-p.First) }

// id returns the id of client n, as long as a D1 identifier.
func id(n int) string { return fmt.Sprintf("gw%08d", n) }

func derive(purpose string, n int) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "moneyer benchmark %s %d", purpose, n))
}

// key returns the key of client n.
func key(n int) (*ecdsa.PrivateKey, error) {
	scalar := derive("key", n)
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
}

// secret returns the secret of client n with an issuer.
func secret(issuer string, n int) string {
	sum := derive("secret of "+issuer, n)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// signer returns the signer of client n. A few are cached.
func (p *Partners) signer(n int) (*assertion.Signer, error) {
	if s, ok := p.signers[n]; ok {
		return s, nil
	}
	k, err := key(n)
	if err != nil {
		return nil, err
	}
	s, err := assertion.NewSigner(k, "ES256", kid, "")
	if err == nil && len(p.signers) < 10_000 {
		p.signers[n] = s
	}
	return s, err
}

// assert signs an assertion of client n.
func (p *Partners) assert(n int, audience string) (string, error) {
	signer, err := p.signer(n)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return signer.Sign(assertion.Assertion{Issuer: id(n), Subject: id(n), Audience: []string{audience},
		ID: assertion.NewID(), IssuedAt: now, Expiry: now.Add(assertionLife)})
}

// grant returns bodies of the jwt-bearer grant (RFC 7523 section 2.1).
func (p *Partners) grant(audience string) func(int) ([]byte, error) {
	return func(int) ([]byte, error) {
		signed, err := p.assert(p.some(), audience)
		return []byte("grant_type=" + url.QueryEscape(string(oauth.JWTBearer)) + "&assertion=" + signed), err
	}
}

// clientAssertion returns bodies of client_credentials with private_key_jwt (RFC 7523 section 2.2).
func (p *Partners) clientAssertion(audience string) func(int) ([]byte, error) {
	return func(int) ([]byte, error) {
		signed, err := p.assert(p.some(), audience)
		return []byte("grant_type=client_credentials&client_assertion_type=" +
			url.QueryEscape("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") + "&client_assertion=" + signed), err
	}
}

// secretPost returns bodies of client_credentials with client_secret_post (RFC 6749 section 2.3.1).
func (p *Partners) secretPost(issuer, scope string) func(int) ([]byte, error) {
	return func(int) ([]byte, error) {
		n := p.some()
		body := "grant_type=client_credentials&client_id=" + id(n) + "&client_secret=" + secret(issuer, n)
		if scope != "" {
			body += "&scope=" + url.QueryEscape(scope)
		}
		return []byte(body), nil
	}
}

func formHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

// Model returns the requests for a Moneyer with one client, for the reference servers.
func Model() (subject.Model, error) {
	p := NewPartners(1)
	k, err := key(0)
	if err != nil {
		return subject.Model{}, err
	}
	return subject.Model{Client: k.Public(), Grant: p.grant(audienceName), Credentials: p.secretPost(plain, ""), RS256: p.secretPost(bolt, boltScope)}, nil
}
