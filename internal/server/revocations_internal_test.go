package server

import (
	"context"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// oneKey is a store of signing keys in memory.
type oneKey struct{ keys registry.SigningKeys }

func (o *oneKey) SigningKeys(context.Context, string) (registry.SigningKeys, error) {
	return o.keys, nil
}

func (o *oneKey) PutSigningKeys(_ context.Context, keys registry.SigningKeys, _ *ledger.Entry) error {
	keys.Revision++
	o.keys = keys
	return nil
}

// TestNobodyWaitsForASignature: while one caller signs the list of revocations, the others get the
// last one.
func TestNobodyWaitsForASignature(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	master, err := keyring.NewMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := &keyring.Keyring{Store: &oneKey{}, Master: master, Now: func() time.Time { return now },
		Issuers: map[string]keyring.Settings{"d1": {Alg: jose.ES256}}}
	if err := keys.Ensure(t.Context(), "d1"); err != nil {
		t.Fatal(err)
	}
	e := &endpoint{Server: &Server{Keyring: keys, Authority: &authority.Authority{Revocations: authority.NewRevocations(nil)}}, issuer: &registry.Issuer{Name: "d1", URL: "https://d1.example"}}
	var list signedList
	first, etag, err := list.current(e, now, now)
	if err != nil {
		t.Fatal(err)
	}
	list.mu.Lock() // another signs
	now = now.Add(2 * maxListAge)
	body, same, err := list.current(e, now, now)
	if err != nil || string(body) != string(first) || same != etag {
		t.Errorf("%v, another list: %t", err, string(body) != string(first))
	}
	list.mu.Unlock()
	if body, _, err := list.current(e, now, now); err != nil || string(body) == string(first) {
		t.Errorf("%v, the same list once the other is done", err)
	}
}
