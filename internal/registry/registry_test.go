package registry_test

import (
	"encoding/json"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/profile"
)

// noon is on a whole second, so that edges are exact.
var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

const (
	clientID = "ACMEGW0001"
	pepper   = "pepper"
)

// Keys of clients.
var (
	partnerKey  = newKey(jose.ES256)
	secondKey   = newKey(jose.ES256)
	strangerKey = newKey(jose.ES256)
	edKey       = newKey(jose.EdDSA)
	rsaKey      = newKey(jose.RS256)
)

func newKey(alg jose.Alg) *jose.PublicKey {
	private, err := jose.GenerateKey(alg)
	if err != nil {
		panic(err)
	}
	public, err := jose.NewPublicKey(private.Public(), alg)
	if err != nil {
		panic(err)
	}
	return public
}

// newIssuer is an issuer with a built-in profile.
func newIssuer(t testing.TB, name string) *registry.Issuer {
	t.Helper()
	found, err := profile.Builtin(name)
	p := found.Definition()
	if err != nil {
		t.Fatal(err)
	}
	return &registry.Issuer{Name: "d1", URL: "https://auth.example/d1", Profile: p, Environment: "stg"}
}

func BenchmarkReadClient(b *testing.B) {
	document, err := json.Marshal(registry.Client{Issuer: "d1", ID: clientID, Name: "The gateway", Revision: 7, Scope: []string{"d1-s2s:api:merchant-gtw"},
		Keys: []registry.Key{{Kid: "key-2026-11", Public: partnerKey, Environment: "prd", Created: noon}}, Created: noon})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := json.Unmarshal(document, new(registry.Client)); err != nil {
			b.Fatal(err)
		}
	}
}
