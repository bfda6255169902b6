package differential

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://api.example"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// mint is an issuer with one key.
type mint struct {
	key    crypto.Signer
	signer *jose.Signer
}

func newMint(t testing.TB, alg jose.Alg) *mint {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(key, alg, "k1", "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	return &mint{key: key, signer: signer}
}

// token returns a valid token with the given changes; nil removes a claim.
func (m *mint) token(t testing.TB, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": issuer, "sub": "client-1", "aud": audience, "client_id": "client-1", "scope": "read write",
		"iat": noon.Add(-time.Minute).Unix(), "exp": noon.Add(9 * time.Minute).Unix(), "jti": "id-1",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := m.signer.Sign(nil, payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// verifier returns a verifier that accepts the tokens of m at noon.
func (m *mint) verifier(t testing.TB) *bearer.Verifier {
	t.Helper()
	key, err := bearer.NewKey(m.key.Public(), string(m.signer.Alg()))
	if err != nil {
		t.Fatal(err)
	}
	return &bearer.Verifier{Issuer: issuer, Audience: []string{audience}, Keys: bearer.StaticKeys{"k1": key}, Now: atNoon}
}

// others are the other libraries, with the same requirements as verifier.
type others struct {
	oidc *oidc.IDTokenVerifier
	jwt  *jwt.Parser
	key  crypto.PublicKey
}

func (m *mint) others() *others {
	key := m.key.Public()
	return &others{
		oidc: oidc.NewVerifier(issuer, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &oidc.Config{
			ClientID: audience, SupportedSigningAlgs: []string{string(m.signer.Alg())}, Now: atNoon,
		}),
		jwt: jwt.NewParser(jwt.WithValidMethods([]string{string(m.signer.Alg())}), jwt.WithIssuer(issuer),
			jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithTimeFunc(atNoon)),
		key: key,
	}
}

func (o *others) golangJWT(token string) error {
	_, err := o.jwt.Parse(token, func(*jwt.Token) (any, error) { return o.key, nil })
	return err
}

func b64[T string | []byte](data T) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// swap returns a with the payload of b.
func swap(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return x[0] + "." + y[1] + "." + x[2]
}
