package storetest

import (
	"errors"
	"strconv"
	"testing"

	"moneyer/internal/registry"
)

// changes is how often each coherence part changes what others read.
const changes = 60

// readers read meanwhile, so that there is always one whose answer was read
// before a change and arrives after it.
const readers = 4

// clientCoherence changes a client that many read: whoever changed it sees the
// change with the next read, and so does everybody.
func clientCoherence(t testing.TB, s Store) {
	putClient(t, s, "bank")
	stop := inBackground(func() { _, _ = s.Client(t.Context(), issuer, "bank") })
	defer stop()
	for n := 1; n <= changes; n++ {
		c := &registry.Client{Issuer: issuer, ID: "bank", Revision: int64(n), Name: strconv.Itoa(n), Disabled: n%2 == 1}
		must(t, s.PutClient(t.Context(), c, change("client.put")))
		for range 10 {
			got, err := s.Client(t.Context(), issuer, "bank")
			must(t, err)
			if got.Name != c.Name || got.Disabled != c.Disabled {
				t.Fatalf("after change %d was acknowledged, change %s was read", n, got.Name)
			}
		}
	}
	stop()
	must(t, s.RemoveClient(t.Context(), issuer, "bank", change("client.remove")))
	if _, err := s.Client(t.Context(), issuer, "bank"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a removed client: %v", err)
	}
}

// digestCoherence moves what clients are found by between two of them, while many look for it.
func digestCoherence(t testing.TB, s Store, give hold) {
	digest := give(&registry.Client{}, "k")
	holders := []string{"a", "b"}
	putClient(t, s, "a")
	putClient(t, s, "b")
	put := func(id string, revision int, holds bool) {
		c := &registry.Client{Issuer: issuer, ID: id, Revision: int64(revision)}
		if holds {
			give(c, "k")
		}
		must(t, s.PutClient(t.Context(), c, change("client.put")))
	}
	stop := inBackground(func() { _, _ = s.ClientByDigest(t.Context(), issuer, digest) })
	defer stop()
	for n := range changes / 2 {
		holder := holders[n%2]
		revision := 1 + n/2*2
		if _, err := s.ClientByDigest(t.Context(), issuer, digest); !errors.Is(err, registry.ErrNotFound) {
			t.Fatalf("move %d: what nobody holds any more: %v", n, err)
		}
		put(holder, revision, true)
		if c, err := s.ClientByDigest(t.Context(), issuer, digest); err != nil || c.ID != holder {
			t.Fatalf("move %d: what %s holds is held by %+v, %v", n, holder, c, err)
		}
		put(holder, revision+1, false)
	}
}

// accountCoherence disables and enables an account that many read.
func accountCoherence(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putAccount(t, s, "shop")
	stop := inBackground(func() { _, _ = s.Account(t.Context(), issuer, "shop") })
	defer stop()
	for n := range changes {
		a := registry.Account{Issuer: issuer, ID: "shop", Client: "bank", Disabled: n%2 == 0}
		must(t, s.PutAccounts(t.Context(), []registry.Account{a}, change("account.put")))
		got, err := s.Account(t.Context(), issuer, "shop")
		must(t, err)
		if got.Disabled != a.Disabled {
			t.Fatalf("change %d was acknowledged and is not read", n)
		}
	}
	stop()
	must(t, s.RemoveAccount(t.Context(), issuer, "shop", change("account.remove")))
	if _, err := s.Account(t.Context(), issuer, "shop"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a removed account: %v", err)
	}
}

// itemCoherence removes and adds an item that many read.
func itemCoherence(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putAccount(t, s, "shop")
	ids := []string{"t"}
	stop := inBackground(func() { _, _ = s.Items(t.Context(), issuer, ids) })
	defer stop()
	for n := range changes / 2 {
		must(t, s.PutItems(t.Context(), []registry.Item{{Issuer: issuer, ID: "t", Account: "shop"}}, change("item.put")))
		if found, err := s.Items(t.Context(), issuer, ids); err != nil || len(found) != 1 {
			t.Fatalf("item %d was put and is not read: %v", n, err)
		}
		must(t, s.RemoveItem(t.Context(), issuer, "t", change("item.remove")))
		if found, err := s.Items(t.Context(), issuer, ids); err != nil || len(found) != 0 {
			t.Fatalf("item %d was removed and is read: %v", n, err)
		}
	}
}
