package daemon

import (
	"context"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/keyring"
	"moneyer/internal/revocation"
	"moneyer/internal/store"
)

// revoked is a RevocationStore with one revocation for every issuer.
type revoked struct{ authority.RevocationStore }

func (revoked) Revocation(_ context.Context, issuer, id string) (*revocation.Revocation, error) {
	return &revocation.Revocation{Issuer: issuer, ID: id, JTIs: []string{"token"}, Until: time.Now().Add(time.Hour)}, nil
}

func (r revoked) Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error) {
	v, err := r.Revocation(ctx, issuer, "one")
	return []revocation.Revocation{*v}, err
}

// TestRevocationsOfNewIssuer: a reload loads the revocations of an issuer that it adds before it
// swaps the snapshot. A revocation in between must not be missed, since it is reported only once.
func TestRevocationsOfNewIssuer(t *testing.T) {
	for name, ids := range map[string][]string{"one by one": {"one"}, "all of the issuer": nil} {
		s := &state{revocations: authority.NewRevocations(revoked{})}
		s.current.Store(&Snapshot{keys: &keyring.Keyring{Issuers: map[string]keyring.Settings{"served": {}}}})
		if err := s.changedElsewhere(t.Context(), store.ChangedRevocations, "added", ids); err != nil {
			t.Fatal(err)
		}
		if s.revocations.Version("added") == 0 {
			t.Errorf("%s: it is not known", name)
		}
	}
}
