package differential

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/registry"
	"moneyer/internal/trustedkeys"
	"moneyer/profile"
)

const workloadID = "spiffe://example.org/ns/payments/sa/gateway"

// svid is a JWT-SVID in the making, signed by go-jose as SPIRE does.
type svid struct {
	key    crypto.Signer
	alg    josev4.SignatureAlgorithm
	header map[josev4.HeaderKey]any
	claims map[string]any
}

func (s *svid) sign(t testing.TB) string {
	t.Helper()
	signer, err := josev4.NewSigner(josev4.SigningKey{Algorithm: s.alg, Key: s.key}, &josev4.SignerOptions{ExtraHeaders: s.header})
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(s.claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// trustDomain is a trust domain with keys of both kinds that SPIRE makes, in a bundle file that
// go-spiffe writes.
type trustDomain struct {
	bundle *spiffebundle.Bundle
	ec     *ecdsa.PrivateKey
	rsa    *rsa.PrivateKey
	file   string
}

func newTrustDomain(t testing.TB) *trustDomain {
	t.Helper()
	d := &trustDomain{bundle: spiffebundle.New(spiffeid.RequireTrustDomainFromString("example.org")), file: filepath.Join(t.TempDir(), "bundle.json")}
	var err, err2 error
	d.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	d.rsa, err2 = rsa.GenerateKey(rand.Reader, 2048)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for kid, key := range map[string]crypto.Signer{"ec": d.ec, "rsa": d.rsa} {
		if err := d.bundle.AddJWTAuthority(kid, key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, root, root, d.ec.Public(), d.ec)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	d.bundle.AddX509Authority(parsed)
	d.bundle.SetRefreshHint(5 * time.Minute)
	d.bundle.SetSequenceNumber(7)
	text, err := d.bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// oneClient is a registry with one client, which has one identity.
type oneClient struct {
	authority.Registry
	client *registry.Client
}

func (r oneClient) FindClient(context.Context, string, string) (*registry.Client, bool, error) {
	return nil, true, registry.ErrNotFound
}

func (r oneClient) FindClientByDigest(_ context.Context, _ string, digest registry.Digest) (*registry.Client, bool, error) {
	if slices.ContainsFunc(r.client.Identities, func(i registry.Identity) bool { return i.Digest == digest }) {
		return r.client, false, nil
	}
	return nil, true, registry.ErrNotFound
}

// newAuthority trusts the domain by its bundle file.
func newAuthority(t testing.TB, d *trustDomain) (*authority.Authority, *registry.Issuer) {
	t.Helper()
	p, err := profile.Builtin("oauth2")
	if err != nil {
		t.Fatal(err)
	}
	i := &registry.Issuer{Name: "partners", URL: issuer, Profile: p.Definition(), Trusted: []*registry.TrustedIssuer{{Name: "spire", Kind: registry.TrustedSPIFFE,
		TrustDomain: "example.org", Bundle: d.file, Algs: []string{"ES256", "RS256"}, Claims: []string{"sub"}, MaxLifetime: 15 * time.Minute, Replay: "until-exp"}}}
	c := &registry.Client{Issuer: i.Name, ID: "gateway"}
	if _, err := c.AddIdentity(i, registry.Pepper("pepper"), "spire", map[string]string{"sub": workloadID}, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return &authority.Authority{Registry: oneClient{client: c}, TrustedKeys: trustedkeys.New([]*registry.Issuer{i}, nil, time.Now),
		Pepper: registry.Pepper("pepper"), Now: time.Now}, i
}

// TestSVIDs compares what is accepted as a JWT-SVID with what go-spiffe accepts: whatever is accepted
// here is accepted there, and what SPIRE makes is accepted by both.
func TestSVIDs(t *testing.T) {
	d := newTrustDomain(t)
	a, i := newAuthority(t, d)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	claim := func(name string, value any) func(*svid) { return func(s *svid) { s.claims[name] = value } }
	header := func(name josev4.HeaderKey, value any) func(*svid) { return func(s *svid) { s.header[name] = value } }
	for name, test := range map[string]struct {
		edit         func(*svid)
		ours, theirs bool
	}{
		"as SPIRE makes it":                      {func(*svid) {}, true, true},
		"RSA":                                    {func(s *svid) { s.key, s.alg, s.header["kid"] = d.rsa, josev4.RS256, "rsa" }, true, true},
		"typ JOSE":                               {header("typ", "JOSE"), true, true},
		"no typ":                                 {func(s *svid) { delete(s.header, "typ") }, true, true},
		"aud a string":                           {claim("aud", issuer), true, true},
		"with iss":                               {claim("iss", "https://oidc.example.org"), true, true},
		"no iat":                                 {func(s *svid) { delete(s.claims, "iat") }, true, true},
		"RSA-PSS, where an RSA key is for RS256": {func(s *svid) { s.key, s.alg, s.header["kid"] = d.rsa, josev4.PS256, "rsa" }, false, true},
		"RS512":                                  {func(s *svid) { s.key, s.alg, s.header["kid"] = d.rsa, josev4.RS512, "rsa" }, false, true},
		"two audiences":                          {claim("aud", []string{issuer, "other"}), false, true},
		"another workload":                       {claim("sub", "spiffe://example.org/ns/payments/sa/other"), false, true},
		"too long":                               {claim("exp", now.Add(time.Hour).Unix()), false, true},
		"another trust domain":                   {claim("sub", "spiffe://other.example/ns/payments/sa/gateway"), false, false},
		"no SPIFFE ID":                           {claim("sub", "gateway"), false, false},
		"a path with dots":                       {claim("sub", "spiffe://example.org/ns/../ns/payments/sa/gateway"), false, false},
		"typ at+jwt":                             {header("typ", "at+jwt"), false, false},
		"typ wit+jwt":                            {header("typ", "wit+jwt"), false, false},
		"unknown kid":                            {header("kid", "other"), false, false},
		"no kid":                                 {func(s *svid) { delete(s.header, "kid") }, false, false},
		"another key":                            {func(s *svid) { s.key = stranger }, false, false},
		"no exp":                                 {func(s *svid) { delete(s.claims, "exp") }, false, false},
		"past":                                   {claim("exp", now.Add(-5*time.Minute).Unix()), false, false},
		"another audience":                       {claim("aud", []string{"other"}), false, false},
		"no aud":                                 {func(s *svid) { delete(s.claims, "aud") }, false, false},
		"no sub":                                 {func(s *svid) { delete(s.claims, "sub") }, false, false},
	} {
		s := &svid{key: d.ec, alg: josev4.ES256, header: map[josev4.HeaderKey]any{"typ": "JWT", "kid": "ec"},
			claims: map[string]any{"sub": workloadID, "aud": []string{issuer}, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}}
		test.edit(s)
		token := s.sign(t)
		_, theirErr := jwtsvid.ParseAndValidate(token, d.bundle, []string{issuer})
		findings, err := a.Explain(t.Context(), i, token, false, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		broken := slices.IndexFunc(findings, func(f evidence.Finding) bool { return !f.Holds })
		if (broken < 0) != test.ours || (theirErr == nil) != test.theirs {
			t.Errorf("%s: accepted here %v, want %v; by go-spiffe: %v, want %v\n%+v", name, broken < 0, test.ours, theirErr, test.theirs, findings)
		}
		if test.ours && !test.theirs {
			t.Errorf("%s: accepted here alone", name)
		}
	}
}

// sameID wants the same trust domain as go-spiffe finds; only workloads have a path.
func sameID(t testing.TB, id string) {
	t.Helper()
	domain, ok := registry.TrustDomain(id)
	theirs, err := spiffeid.FromString(id)
	isWorkload := err == nil && theirs.Path() != "" && len(id) <= registry.MaxSPIFFEID && len(theirs.TrustDomain().Name()) <= registry.MaxTrustDomain
	if ok != isWorkload || ok && domain != theirs.TrustDomain().Name() {
		t.Errorf("%q: %q, %v; go-spiffe: %q, %v", id, domain, ok, theirs, err)
	}
}

var spiffeIDs = []string{
	workloadID, "spiffe://example.org", "spiffe://example.org/", "spiffe://example.org//a", "spiffe://example.org/a/", "spiffe://example.org/./a",
	"spiffe://example.org/../a", "spiffe://example.org/...", "spiffe://Example.org/a", "SPIFFE://example.org/a", "spiffe://me@example.org/a", "spiffe://a:1/b",
	"spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a/%62", "spiffe://a/é", "spiffe:///a", "spiffe://", "https://a/b", "", "spiffe://a_b-c.d/A.b_c-9",
	"spiffe://" + strings.Repeat("a", 255) + "/b", "spiffe://a/" + strings.Repeat("b", 2037),
}

func TestSPIFFEIDs(t *testing.T) {
	for _, id := range spiffeIDs {
		sameID(t, id)
	}
}

func FuzzSPIFFEIDs(f *testing.F) {
	for _, id := range spiffeIDs {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) { sameID(t, id) })
}
