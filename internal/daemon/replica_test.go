package daemon

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/pgtest"
	"moneyer/internal/revocation"
	"moneyer/internal/store"
)

// postgresForTests is the server of this package's tests.
var postgresForTests pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := postgresForTests.Close(); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// TestClockOffTheOthers: a replica whose clock differs from the others' is not ready, and says why.
func TestClockOffTheOthers(t *testing.T) {
	file := newFolderOn(t, postgresForTests.NewDatabase(t))
	start := func(off time.Duration, log io.Writer) *Server {
		s, err := Start(t.Context(), Options{Load: func() (*config.Config, error) { return config.Load(file) }, Log: log, Version: "test",
			Now: func() time.Time { return time.Now().Add(off) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	var log testLog
	ahead := start(5*time.Second, &log)
	if err := ahead.ready(t.Context()); err != nil {
		t.Errorf("alone it is off nobody: %v", err)
	}
	right := start(0, io.Discard)
	eventually(t, "a replica is off the other", func() bool { return ahead.ready(t.Context()) != nil })
	if err := ahead.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "off the other replicas'") {
		t.Errorf("ahead: %v", err)
	}
	if err := right.ready(t.Context()); err != nil {
		t.Errorf("with the database's clock: %v", err)
	}
	if !strings.Contains(log.String(), "agree with the other replicas' clocks") {
		t.Error(log.String())
	}
}

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
