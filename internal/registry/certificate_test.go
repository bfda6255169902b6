package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// x5t is the x5t#S256 of a certificate.
func x5t(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

func keyOf(t testing.TB, pair tls.Certificate) *jose.PublicKey {
	t.Helper()
	key, err := jose.NewPublicKey(pair.Leaf.PublicKey, jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// withX5C is the JWK of a key with members of a certificate.
func withX5C(key *jose.PublicKey, members string) string {
	return strings.TrimSuffix(string(key.AppendJWK(nil, "k")), "}") + "," + members + "}"
}

func x5c(certs ...*x509.Certificate) string {
	var chain []string
	for _, cert := range certs {
		chain = append(chain, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	text, _ := json.Marshal(chain)
	return `"x5c":` + string(text)
}

func TestAddCertificateItself(t *testing.T) {
	pair := certtest.SelfSigned(t, noon, "merchant", nil)
	other := certtest.SelfSigned(t, noon, "merchant", nil)
	over := certtest.SelfSigned(t, noon, "merchant", func(c *x509.Certificate) { c.NotAfter = noon })
	large := p384(t)
	end := pair.Leaf.NotAfter
	text := string(certtest.PEM(pair.Leaf))
	key := keyOf(t, pair)
	for _, c := range []struct {
		name, text string
		notAfter   time.Time
		blocked    []string
		end        time.Time
		problem    string
	}{
		{"PEM", text, time.Time{}, nil, end, ""},
		{"PEM with text around it", "subject=CN=x\n" + text + "\n", time.Time{}, nil, end, ""},
		{"JWK with x5c", withX5C(key, x5c(pair.Leaf)), time.Time{}, nil, end, ""},
		{"JWK with a chain", withX5C(key, x5c(pair.Leaf, other.Leaf)), time.Time{}, nil, end, ""},
		{"JWK with x5t#S256", withX5C(key, x5c(pair.Leaf)+`,"x5t#S256":"`+x5t(pair.Leaf)+`"`), time.Time{}, nil, end, ""},
		{"an earlier end", text, noon.Add(time.Hour), nil, noon.Add(time.Hour), ""},
		{"an end after the certificate's", text, end.Add(time.Hour), nil, end, ""},
		{"a key that signs no JWTs", string(certtest.PEM(large)), time.Time{}, nil, large.NotAfter, ""},

		{"an end that is over", text, noon, nil, end, "it is over since 2026-11-02T12:00:00Z"},
		{"a certificate that is over", string(certtest.PEM(over.Leaf)), time.Time{}, nil, end, "it is over since"},
		{"JWK of another key", withX5C(keyOf(t, other), x5c(pair.Leaf)), time.Time{}, nil, end, "not that of the first certificate in x5c"},
		{"JWK of the second certificate", withX5C(key, x5c(other.Leaf, pair.Leaf)), time.Time{}, nil, end, "not that of the first certificate in x5c"},
		{"JWK with another x5t#S256", withX5C(key, x5c(pair.Leaf)+`,"x5t#S256":"`+x5t(other.Leaf)+`"`), time.Time{}, nil, end, "x5t#S256 of the JWK is not"},
		{"JWK without x5c", string(key.AppendJWK(nil, "k")), time.Time{}, nil, end, "the JWK has no x5c"},
		{"JWK with an empty x5c", withX5C(key, `"x5c":[]`), time.Time{}, nil, end, "the JWK has no x5c"},
		{"x5c as text", withX5C(key, `"x5c":"AAAA"`), time.Time{}, nil, end, "array"},
		{"x5c in base64url", withX5C(key, `"x5c":["-_-_"]`), time.Time{}, nil, end, "x5c is not base64"},
		{"x5c of no certificate", withX5C(key, `"x5c":["AAAA"]`), time.Time{}, nil, end, "x509"},
		{"JWK set", `{"keys":[]}`, time.Time{}, nil, end, "a JWK set"},
		{"private JWK", withX5C(key, `"d":"AAAA",`+x5c(pair.Leaf)), time.Time{}, nil, end, "private"},
		{"certificate and private key", text + string(certtest.KeyPEM(t, pair)), time.Time{}, nil, end, "this is a private key"},
		{"several certificates", string(certtest.PEM(pair.Leaf, other.Leaf)), time.Time{}, nil, end, "several certificates"},
		{"public key", string(key.PEM()), time.Time{}, nil, end, "no certificate in PEM"},
		{"nothing", "", time.Time{}, nil, end, "no certificate in PEM"},
		{"a blocked key", text, time.Time{}, []string{key.Thumbprint()}, end, "refused by configuration"},
	} {
		client := &registry.Client{ID: "c"}
		added, err := client.AddCertificate(newIssuer(t, "oauth2"), c.blocked, registry.Certificate{Match: registry.MatchCertificate, Value: c.text, NotAfter: c.notAfter}, noon)
		wantProblem(t, c.name, err, c.problem)
		if c.problem != "" {
			if len(client.Certificates) > 0 {
				t.Errorf("%s: registered all the same", c.name)
			}
			continue
		}
		cert, keyID := pair.Leaf, key.Thumbprint()
		if strings.HasPrefix(c.name, "a key that") {
			digest := sha256.Sum256(large.RawSubjectPublicKeyInfo)
			cert, keyID = large, base64.RawURLEncoding.EncodeToString(digest[:])
		}
		want := registry.Certificate{ID: added.ID, Match: registry.MatchCertificate, Value: x5t(cert), Key: keyID, Environment: "stg", NotAfter: c.end.UTC(), Created: noon}
		if len(client.Certificates) != 1 || client.Certificates[0] != want || added != want || added.ID == "" {
			t.Errorf("%s: registered %+v, want %+v", c.name, client.Certificates, want)
		}
	}
}

// p384 is a certificate with a key of a kind that the keys of clients are not.
func p384(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAddCertificateByName(t *testing.T) {
	for _, c := range []struct {
		match         registry.CertificateMatch
		text, problem string
	}{
		{registry.MatchSubjectDN, "CN=merchant,O=Acme,C=NL", ""},
		{registry.MatchSANDNS, "merchant.example", ""},
		{registry.MatchSANURI, "spiffe://acme.example/merchant", ""},
		{registry.MatchSANIP, "2001:db8::1", ""},
		{registry.MatchSANEmail, "Gateway@acme.example", ""},
		{registry.MatchSubjectDN, "merchant", "subject_dn is refused: "},
		{registry.MatchSubjectDN, "", "subject_dn is refused: "},
		{registry.MatchSANDNS, "", "san_dns is"},
		{registry.MatchSANDNS, "two words", "san_dns is"},
		{registry.MatchSANURI, "/merchant", "no absolute URI"},
		{registry.MatchSANIP, "10.0.0.0/8", "no IP address"},
		{registry.MatchSANEmail, "acme.example", "no address of e-mail"},
		{"", "merchant", "by one of its names"},
		{"issuer_dn", "CN=ca", "by one of its names"},
	} {
		client := &registry.Client{ID: "c"}
		added, err := client.AddCertificate(newIssuer(t, "oauth2"), nil, registry.Certificate{Match: c.match, Value: c.text}, noon)
		wantProblem(t, fmt.Sprint(c.match, " ", c.text), err, c.problem)
		want := registry.Certificate{ID: added.ID, Match: c.match, Value: c.text, Created: noon}
		if c.problem == "" && (len(client.Certificates) != 1 || client.Certificates[0] != want) {
			t.Errorf("registered %+v, want %+v", client.Certificates, want)
		}
	}
}

// What stands for the same certificates is registered once, in whatever spelling.
func TestAddCertificateTwice(t *testing.T) {
	issuer, pair := newIssuer(t, "oauth2"), certtest.SelfSigned(t, noon, "merchant", nil)
	client := &registry.Client{ID: "c"}
	add := func(match registry.CertificateMatch, text string) (registry.Certificate, error) {
		return client.AddCertificate(issuer, nil, registry.Certificate{Match: match, Value: text}, noon)
	}
	for _, c := range []struct {
		match        registry.CertificateMatch
		first, again string
	}{
		{registry.MatchCertificate, string(certtest.PEM(pair.Leaf)), withX5C(keyOf(t, pair), x5c(pair.Leaf))},
		{registry.MatchSubjectDN, "CN=Merchant,O=Acme", "cn=merchant, o=ACME"},
		{registry.MatchSANDNS, "merchant.example", "Merchant.Example"},
		{registry.MatchSANIP, "2001:db8::1", "2001:DB8:0::1"},
		{registry.MatchSANURI, "https://acme.example/a", "https://acme.example/a"},
	} {
		first, err := add(c.match, c.first)
		if err != nil {
			t.Fatal(err)
		}
		_, err = add(c.match, c.again)
		wantProblem(t, string(c.match), err, "already, as "+first.ID)
	}
	if _, err := add(registry.MatchSANURI, "https://acme.example/b"); err != nil {
		t.Error(err)
	}
	for len(client.Certificates) < 32 {
		if _, err := add(registry.MatchSANDNS, fmt.Sprintf("m%d.example", len(client.Certificates))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := add(registry.MatchSANDNS, "one.more.example")
	wantProblem(t, "too many", err, "at most 32 certificates")
}

func TestAddCertificateWithoutEffect(t *testing.T) {
	for _, c := range []struct {
		name    string
		issuer  *registry.Issuer
		match   registry.CertificateMatch
		problem string
	}{
		{"a profile without certificates", newIssuer(t, "boltpay"), registry.MatchSANDNS, "does not use tls_client_auth"},
		{"a profile without certificates", newIssuer(t, "boltpay"), registry.MatchCertificate, "does not use self_signed_tls_client_auth"},
		{"a configuration that demands one", demanding(t, "boltpay", oauth.AuthTLS), registry.MatchSANDNS, ""},
		{"a configuration that demands another", demanding(t, "boltpay", oauth.AuthSelfSignedTLS), registry.MatchSANDNS, "does not use tls_client_auth"},
	} {
		_, err := (&registry.Client{ID: "c"}).AddCertificate(c.issuer, nil, registry.Certificate{Match: c.match, Value: "merchant.example"}, noon)
		wantProblem(t, c.name, err, c.problem)
	}
	// A certificate of a client that is registered by a name is revoked by registering it disabled.
	revoked := registry.Certificate{Match: registry.MatchCertificate, Value: string(certtest.PEM(certtest.SelfSigned(t, noon, "merchant", nil).Leaf))}
	named := demanding(t, "boltpay", oauth.AuthTLS)
	_, err := (&registry.Client{ID: "c"}).AddCertificate(named, nil, revoked, noon)
	wantProblem(t, "itself beside names", err, "does not use self_signed_tls_client_auth")
	revoked.Disabled = true
	_, err = (&registry.Client{ID: "c"}).AddCertificate(named, nil, revoked, noon)
	wantProblem(t, "itself beside names, disabled", err, "")
	_, err = (&registry.Client{ID: "c"}).AddCertificate(newIssuer(t, "boltpay"), nil, revoked, noon)
	wantProblem(t, "itself, disabled, where certificates are not used", err, "does not use")
}

// demanding is an issuer that demands a client certificate.
func demanding(t testing.TB, profile string, method oauth.ClientAuth) *registry.Issuer {
	t.Helper()
	issuer := newIssuer(t, profile)
	p := *issuer.Profile
	p.Policy = p.Policy.WithCertificate([]oauth.ClientAuth{method})
	issuer.Profile = &p
	return issuer
}

func TestCertificateStates(t *testing.T) {
	c := registry.Certificate{ID: "a", NotAfter: noon}
	if c.LiveAt(noon) || !c.LiveAt(noon.Add(-1)) || c.State(noon.Add(time.Hour)) != "certificate a, over since 1h0m0s" {
		t.Errorf("over: %s", c.State(noon.Add(time.Hour)))
	}
	if c.Disabled = true; c.LiveAt(noon.Add(-1)) || c.State(noon) != "certificate a, disabled" {
		t.Errorf("disabled: %s", c.State(noon))
	}
}

func FuzzAddCertificate(f *testing.F) {
	pair := certtest.SelfSigned(f, noon, "merchant", nil)
	f.Add(uint8(0), string(certtest.PEM(pair.Leaf)))
	f.Add(uint8(0), withX5C(keyOf(f, pair), x5c(pair.Leaf)))
	f.Add(uint8(1), "CN=merchant,O=Acme")
	f.Add(uint8(3), "spiffe://acme.example/merchant")
	issuer := newIssuer(f, "oauth2")
	f.Fuzz(func(t *testing.T, match uint8, text string) {
		client := &registry.Client{ID: "c"}
		all := registry.CertificateMatches()
		added, err := client.AddCertificate(issuer, nil, registry.Certificate{Match: all[int(match)%len(all)], Value: text}, noon)
		if invalid := (*registry.InvalidError)(nil); err != nil && !errors.As(err, &invalid) {
			t.Errorf("%v is not the operator's to mend", err)
		}
		if (err == nil) != (len(client.Certificates) == 1) || err == nil && (added.Value == "" || len(added.Value) > 16<<10) {
			t.Errorf("registered %+v: %v", client.Certificates, err)
		}
	})
}
