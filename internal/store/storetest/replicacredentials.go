package storetest

import (
	"errors"
	"fmt"
	"testing"

	"moneyer/internal/registry"
)

// keysAnywhere registers one key under several clients at once.
func keysAnywhere(t testing.TB, stores []Store) {
	for round := range 6 {
		shared := key(t, "k", "")
		takenOnce(t, stores, round, isTaken, func(c *registry.Client, _ int) { c.Keys = []registry.Key{shared} })
	}
}

// certificatesAnywhere registers one certificate under several clients at once, and in
// several environments.
func certificatesAnywhere(t testing.TB, stores []Store) {
	for round := range 6 {
		takenOnce(t, stores, round, isTaken, func(c *registry.Client, i int) {
			shared := certificate(fmt.Sprint("shared ", round), "")
			if round%2 == 1 {
				c.Issuer, shared.Environment = fmt.Sprint("issuer ", i), fmt.Sprint(i)
			}
			c.Certificates = []registry.Certificate{shared}
		})
	}
}

// takenOnce has all replicas put clients at once, of which one can be: what give gives them
// is one and the same. lost reports whether an error is that of the others.
func takenOnce(t testing.TB, stores []Store, round int, lost func(error) bool, give func(c *registry.Client, i int)) {
	t.Helper()
	won := winners(t, stores, func(s Store, i int) error {
		c := &registry.Client{Issuer: issuer, ID: fmt.Sprint("bank-", round, "-", i)}
		give(c, i)
		return s.PutClient(t.Context(), c, change("client.put"))
	}, lost)
	if won != 1 {
		t.Errorf("round %d was won %d times", round, won)
	}
}

func isTaken(err error) bool {
	_, ok := errors.AsType[*registry.KeyTakenError](err)
	return ok
}

// digestsAnywhere gives several clients at once what one of them is found by.
func digestsAnywhere(t testing.TB, stores []Store, give hold) {
	for round := range 6 {
		name := fmt.Sprint("shared ", round)
		takenOnce(t, stores, round, isConflict, func(c *registry.Client, _ int) { give(c, name) })
		digest := give(&registry.Client{}, name)
		for i, s := range stores {
			if c, err := s.ClientByDigest(t.Context(), issuer, digest); err != nil || c.Issuer != issuer {
				t.Errorf("replica %d does not find the one that won: %v", i, err)
			}
		}
	}
}

// digestsEverywhere moves what a client is found by from one to another and back.
func digestsEverywhere(t testing.TB, stores []Store, give hold) {
	digest := give(&registry.Client{}, "k")
	revisions := map[string]int64{}
	put := func(s Store, id string, holds bool) {
		c := &registry.Client{Issuer: issuer, ID: id, Revision: revisions[id]}
		if holds {
			give(c, "k")
		}
		must(t, s.PutClient(t.Context(), c, change("client.put")))
		revisions[id]++
	}
	for n := range rounds {
		holder := []string{"a", "b"}[n%2]
		put(stores[n%len(stores)], holder, true)
		waitUntilSeen(t, stores, "the holder", func(s Store) bool {
			c, err := s.ClientByDigest(t.Context(), issuer, digest)
			return err == nil && c.ID == holder
		})
		put(stores[(n+1)%len(stores)], holder, false)
		waitUntilSeen(t, stores, "what nobody holds", func(s Store) bool {
			_, err := s.ClientByDigest(t.Context(), issuer, digest)
			return errors.Is(err, registry.ErrNotFound)
		})
	}
}

// disabledEverywhere disables a certificate and an identity, and enables them.
func disabledEverywhere(t testing.TB, stores []Store) {
	digest := identity("i").Digest
	for n := range rounds {
		cert, who := certificate("c", ""), identity("i")
		cert.Disabled, who.Disabled = n%2 == 1, n%2 == 1
		c := &registry.Client{Issuer: issuer, ID: "bank", Revision: int64(n), Certificates: []registry.Certificate{cert}, Identities: []registry.Identity{who}}
		must(t, stores[n%len(stores)].PutClient(t.Context(), c, change("client.put")))
		waitUntilSeen(t, stores, "a disabled certificate", func(s Store) bool {
			got, err := s.Client(t.Context(), issuer, "bank")
			return err == nil && got.Certificates[0].Disabled == cert.Disabled
		})
		waitUntilSeen(t, stores, "a disabled identity", func(s Store) bool {
			got, err := s.ClientByDigest(t.Context(), issuer, digest)
			return err == nil && got.Identities[0].Disabled == who.Disabled
		})
	}
}
