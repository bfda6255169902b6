package bearer_test

import (
	"crypto"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://api.example"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// mint stands for an issuer with one key.
type mint struct {
	key    crypto.Signer
	signer *jose.Signer
}

func newMint(t testing.TB, alg jose.Alg, kid, typ string) *mint {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	return (&mint{key: key}).as(t, alg, kid, typ)
}

// as is the same key under another header.
func (m *mint) as(t testing.TB, alg jose.Alg, kid, typ string) *mint {
	t.Helper()
	signer, err := jose.NewSigner(m.key, alg, kid, typ)
	if err != nil {
		t.Fatal(err)
	}
	return &mint{key: m.key, signer: signer}
}

// claims are a good token's, at noon.
func claims(changes map[string]any) map[string]any {
	all := map[string]any{
		"iss": issuer, "sub": "client-1", "aud": audience, "client_id": "client-1", "scope": "read write",
		"iat": noon.Add(-time.Minute).Unix(), "exp": noon.Add(9 * time.Minute).Unix(), "jti": "id-1",
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// token mints a good token but for the changes; nil takes a claim away.
func (m *mint) token(t testing.TB, changes map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims(changes))
	if err != nil {
		t.Fatal(err)
	}
	return m.sign(t, string(payload))
}

func (m *mint) sign(t testing.TB, payload string) string {
	t.Helper()
	token, err := m.signer.Sign(nil, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// bearerKey is the public half.
func (m *mint) bearerKey(t testing.TB) bearer.Key {
	t.Helper()
	key, err := bearer.NewKey(m.key.Public(), string(m.signer.Alg()))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwks is the published set of some mints.
func jwks(mints ...*mint) string {
	set := []byte(`{"keys":[`)
	for i, m := range mints {
		if i > 0 {
			set = append(set, ',')
		}
		set = m.signer.Public().AppendJWK(set, m.signer.Kid())
	}
	return string(append(set, "]}"...))
}

// verifier takes the tokens of m at noon.
func (m *mint) verifier(t testing.TB) *bearer.Verifier {
	t.Helper()
	return &bearer.Verifier{
		Issuer:   issuer,
		Audience: []string{audience},
		Keys:     bearer.StaticKeys{m.signer.Kid(): m.bearerKey(t)},
		Now:      atNoon,
	}
}
