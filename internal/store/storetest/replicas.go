package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// within is how soon every replica acts on what one of them changed.
const within = time.Second

// replicas is how many stores a [ReplicaPart] has.
const replicas = 3

// ReplicaPart tests one promise on several stores of one new, empty database.
type ReplicaPart struct {
	Name string
	Test func(t testing.TB, stores []Store)
}

// ReplicaParts are all that is tested of stores that share a database.
func ReplicaParts() []ReplicaPart {
	return []ReplicaPart{
		{"use once on any replica", useOnceAnywhere},
		{"used is used everywhere", consumedEverywhere},
		{"several values on any replica", severalAnywhere},
		{"forget while others use", forgetWhileUsed},
		{"forget everywhere at once", forgetAtOnce},
		{"clients of one revision", revisionsAnywhere},
		{"keys of two clients", keysAnywhere},
		{"certificates of two clients", certificatesAnywhere},
		{"API keys of two clients", func(t testing.TB, stores []Store) { digestsAnywhere(t, stores, holdAPIKey) }},
		{"identities of two clients", func(t testing.TB, stores []Store) { digestsAnywhere(t, stores, holdIdentity) }},
		{"signing keys of one revision", signingKeysAnywhere},
		{"changed clients", clientsEverywhere},
		{"changed API keys", func(t testing.TB, stores []Store) { digestsEverywhere(t, stores, holdAPIKey) }},
		{"changed identities", func(t testing.TB, stores []Store) { digestsEverywhere(t, stores, holdIdentity) }},
		{"disabled certificates and identities", disabledEverywhere},
		{"changed accounts", accountsEverywhere},
		{"changed items", itemsEverywhere},
		{"new revocations", revocationsEverywhere},
		{"a chain for each", chainForEach},
	}
}

// RunReplicas runs every part on n stores of a database of its own. open makes an
// empty database, opens it n times, and has all closed by t.Cleanup.
func RunReplicas(t *testing.T, open func(t testing.TB, n int) []Store) {
	for _, part := range ReplicaParts() {
		t.Run(part.Name, func(t *testing.T) {
			t.Parallel()
			part.Test(t, open(t, replicas))
		})
	}
}

// useOnceAnywhere offers each of many assertions 64 times at once over all
// replicas, to one after the other in opposite orders, so that a replica which
// kept one assertion while it waits for the next would wait for ever.
func useOnceAnywhere(t testing.TB, stores []Store) {
	const callers, assertions = 64, 24
	var races [assertions]race
	concurrently(callers, func(caller int) {
		for i := range assertions {
			n := (i + caller/8) % assertions
			if caller%2 == 1 {
				n = assertions - 1 - n
			}
			races[n].offer(t, stores[caller%len(stores)], n, fmt.Sprint("sealed by ", caller))
		}
	})
	for n := range races {
		races[n].check(t, n, callers)
		for i, s := range stores {
			if _, found := records(t, s, ledger.Query{JTI: token(n).JTI}); len(found) != 1 {
				t.Errorf("replica %d finds %d entries of assertion %d", i, len(found), n)
			}
		}
	}
	verified(t, stores[0])
}

// consumedEverywhere consumes an assertion on one replica and offers it to the others.
func consumedEverywhere(t testing.TB, stores []Store) {
	for n := range 12 {
		first := n % len(stores)
		sealed := fmt.Sprint("sealed by ", first)
		must(t, stores[first].Append(t.Context(), token(n), use(n, sealed)))
		for i, s := range stores {
			var used *ledger.ReplayedError
			err := s.Append(t.Context(), token(n), use(n, "later"))
			if !errors.As(err, &used) || string(used.Sealed) != sealed {
				t.Errorf("assertion %d, used on replica %d, again on %d: %v, sealed %q", n, first, i, err, used.Sealed)
			}
		}
	}
}

// expiring is the value of the n-th of assertions that expire one after the other, several
// within one second.
func expiring(n int) ledger.Consumed {
	u := use(n, "")
	u.Until = start().Add(time.Duration(n) * 100 * time.Millisecond)
	return u
}

// forgetWhileUsed offers assertions to two replicas while the third forgets those
// that are over, and once more after that: by a clock that is behind, as those of
// two machines are. Whatever is forgotten, none is used twice.
func forgetWhileUsed(t testing.TB, stores []Store) {
	const assertions = 160
	var won [assertions]atomic.Int64
	offer := func(s Store, n int) {
		if err := s.Append(t.Context(), token(n), expiring(n)); err == nil {
			won[n].Add(1)
		}
	}
	var offered atomic.Int64
	stop := make(chan struct{})
	var forgetting sync.WaitGroup
	forgetting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			now := start().Add(time.Duration(offered.Load())*100*time.Millisecond - 50*time.Millisecond)
			if _, err := stores[0].Forget(t.Context(), now); err != nil {
				t.Errorf("forget: %v", err)
				return
			}
		}
	})
	concurrently(16, func(caller int) {
		for i := range assertions / 8 {
			n := i*8 + caller/2
			offer(stores[1+caller%2], n)
			offered.Store(int64(n))
		}
	})
	close(stop)
	forgetting.Wait()
	_, err := stores[0].Forget(t.Context(), start().Add(assertions*100*time.Millisecond/2+950*time.Millisecond))
	must(t, err)
	concurrently(16, func(caller int) {
		for i := range assertions / 16 {
			offer(stores[caller%len(stores)], i*16+caller)
		}
	})
	for n := range won {
		if times := won[n].Load(); times > 1 {
			t.Errorf("assertion %d was used %d times", n, times)
		}
		if _, found := records(t, stores[0], ledger.Query{JTI: token(n).JTI}); int64(len(found)) != won[n].Load() {
			t.Errorf("assertion %d was granted %d times and has %d entries", n, won[n].Load(), len(found))
		}
	}
}

// forgetAtOnce has all replicas forget at one moment: each key goes once, and those
// that are needed stay.
func forgetAtOnce(t testing.TB, stores []Store) {
	const keys, over = 200, 150
	for n := range keys {
		u := use(n, "")
		u.Until = start().Add(time.Duration(n) * time.Second)
		must(t, stores[n%len(stores)].Append(t.Context(), token(n), u))
	}
	var gone atomic.Int64
	concurrently(len(stores), func(i int) {
		n, err := stores[i].Forget(t.Context(), start().Add((over-1)*time.Second))
		if err != nil {
			t.Errorf("forget: %v", err)
		}
		gone.Add(n)
	})
	if n := gone.Load(); n != over {
		t.Errorf("%d keys were forgotten, want %d", n, over)
	}
	for _, s := range stores {
		old := use(over-1, "")
		old.Until = start().Add((over - 1) * time.Second)
		var used *ledger.ReplayedError
		if err := s.Append(t.Context(), token(over-1), old); err == nil || errors.As(err, &used) {
			t.Errorf("an assertion that may be among the forgotten: %v", err)
		}
		if err := s.Append(t.Context(), token(over), use(over, "")); !errors.As(err, &used) {
			t.Errorf("a key that is still needed: %v", err)
		}
	}
}

// winners runs a change on all replicas at once and returns how many succeeded. All
// others must fail as lost says.
func winners(t testing.TB, stores []Store, change func(s Store, i int) error, lost func(error) bool) int {
	t.Helper()
	errs := make([]error, len(stores)*2)
	concurrently(len(errs), func(i int) { errs[i] = change(stores[i%len(stores)], i) })
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !lost(err):
			t.Errorf("a loser was told: %v", err)
		}
	}
	return won
}

func isConflict(err error) bool { return errors.Is(err, registry.ErrConflict) }

// revisionsAnywhere puts a client under one revision on all replicas at once.
func revisionsAnywhere(t testing.TB, stores []Store) {
	for revision := range int64(12) {
		won := winners(t, stores, func(s Store, i int) error {
			c := &registry.Client{Issuer: issuer, ID: "bank", Revision: revision, Name: strconv.Itoa(i)}
			return s.PutClient(t.Context(), c, change("client.put"))
		}, isConflict)
		if won != 1 {
			t.Errorf("revision %d was put %d times", revision+1, won)
		}
	}
	_, entries := records(t, stores[0], ledger.Query{Kind: ledger.KindAdmin})
	if len(entries) != 12 {
		t.Errorf("12 changes have %d entries", len(entries))
	}
}

// signingKeysAnywhere has all replicas rotate at once.
func signingKeysAnywhere(t testing.TB, stores []Store) {
	for revision := range int64(12) {
		won := winners(t, stores, func(s Store, i int) error {
			keys := registry.SigningKeys{Issuer: issuer, Revision: revision, Keys: []registry.SigningKey{{Kid: fmt.Sprint(revision, "-", i)}}}
			return s.PutSigningKeys(t.Context(), keys, change("keys.rotate"))
		}, isConflict)
		if won != 1 {
			t.Errorf("revision %d was put %d times", revision+1, won)
		}
		for i, s := range stores {
			keys, err := s.SigningKeys(t.Context(), issuer)
			if err != nil || keys.Revision != revision+1 || len(keys.Keys) != 1 {
				t.Errorf("replica %d reads %+v, %v", i, keys, err)
			}
			late := registry.SigningKeys{Issuer: issuer, Revision: revision}
			if err := s.PutSigningKeys(t.Context(), late, change("keys.rotate")); !isConflict(err) {
				t.Errorf("replica %d puts keys under a revision that is over: %v", i, err)
			}
		}
	}
}

// waitUntilSeen waits until every replica sees an acknowledged change.
func waitUntilSeen(t testing.TB, stores []Store, what string, sees func(s Store) bool) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for last := false; ; {
		i := slices.IndexFunc(stores, func(s Store) bool { return !sees(s) })
		if i < 0 {
			return
		}
		if last {
			t.Fatalf("%s: replica %d does not see it after %v", what, i, within)
		}
		select {
		case <-again.C:
		case <-late.C:
			last = true // a slow machine has had no time to look
		}
	}
}

// rounds is how often each part changes what all replicas have in memory.
const rounds = 9

// clientsEverywhere changes a client on one replica after the other.
func clientsEverywhere(t testing.TB, stores []Store) {
	putClient(t, stores[0], "bank")
	stop := inBackground(func() {
		for _, s := range stores {
			_, _ = s.Client(t.Context(), issuer, "bank")
		}
	})
	defer stop()
	for n := 1; n <= rounds; n++ {
		c := &registry.Client{Issuer: issuer, ID: "bank", Revision: int64(n), Name: strconv.Itoa(n), Disabled: n%2 == 1}
		must(t, stores[n%len(stores)].PutClient(t.Context(), c, change("client.put")))
		waitUntilSeen(t, stores, c.Name, func(s Store) bool {
			got, err := s.Client(t.Context(), issuer, "bank")
			return err == nil && got.Name == c.Name && got.Disabled == c.Disabled
		})
	}
	must(t, stores[0].RemoveClient(t.Context(), issuer, "bank", change("client.remove")))
	waitUntilSeen(t, stores, "a removed client", func(s Store) bool {
		_, err := s.Client(t.Context(), issuer, "bank")
		return errors.Is(err, registry.ErrNotFound)
	})
}

// accountsEverywhere disables and enables an account.
func accountsEverywhere(t testing.TB, stores []Store) {
	putClient(t, stores[0], "bank")
	for n := range rounds {
		a := registry.Account{Issuer: issuer, ID: "shop", Client: "bank", Disabled: n%2 == 0}
		must(t, stores[n%len(stores)].PutAccounts(t.Context(), []registry.Account{a}, change("account.put")))
		waitUntilSeen(t, stores, "an account", func(s Store) bool {
			got, err := s.Account(t.Context(), issuer, "shop")
			return err == nil && got.Disabled == a.Disabled
		})
	}
	must(t, stores[0].RemoveAccount(t.Context(), issuer, "shop", change("account.remove")))
	waitUntilSeen(t, stores, "a removed account", func(s Store) bool {
		_, err := s.Account(t.Context(), issuer, "shop")
		return errors.Is(err, registry.ErrNotFound)
	})
}

// itemsEverywhere adds and removes an item.
func itemsEverywhere(t testing.TB, stores []Store) {
	putClient(t, stores[0], "bank")
	putAccount(t, stores[0], "shop")
	for n := range rounds {
		s := stores[n%len(stores)]
		must(t, s.PutItems(t.Context(), []registry.Item{{Issuer: issuer, ID: "t", Account: "shop"}}, change("item.put")))
		count := func(want int) func(Store) bool {
			return func(s Store) bool {
				found, err := s.Items(t.Context(), issuer, []string{"t"})
				return err == nil && len(found) == want
			}
		}
		waitUntilSeen(t, stores, "an item", count(1))
		must(t, s.RemoveItem(t.Context(), issuer, "t", change("item.remove")))
		waitUntilSeen(t, stores, "a removed item", count(0))
	}
}

// revocationsEverywhere revokes on one replica; the others know when they are asked.
func revocationsEverywhere(t testing.TB, stores []Store) {
	for n := range rounds {
		r := &revocation.Revocation{Issuer: issuer, ID: fmt.Sprint("r", n), Until: time.Now().AddDate(1, 0, 0)} //nolint:forbidigo // of the store's own clock
		must(t, stores[n%len(stores)].PutRevocation(t.Context(), r, change("token.revoke")))
		for i, s := range stores {
			found, err := s.Revocations(t.Context(), issuer)
			if err != nil || len(found) != n+1 {
				t.Errorf("replica %d knows %d revocations of %d: %v", i, len(found), n+1, err)
			}
		}
	}
}

// chainForEach has all replicas append side by side: each in a chain of its own,
// all of which are whole, and each reads the entries of all.
func chainForEach(t testing.TB, stores []Store) {
	const each = 24 // tokens of seconds, all within the minutes that need no checkpoint
	concurrently(len(stores)*4, func(caller int) {
		for i := range each {
			if err := stores[caller%len(stores)].Append(t.Context(), token(caller*each+i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i, s := range stores {
		if all, _ := records(t, s, ledger.Query{}); len(all) != len(stores)*4*each {
			t.Errorf("replica %d reads %d entries", i, len(all))
		}
		report := verified(t, s)
		if len(report.Chains) != len(stores) {
			t.Errorf("%d replicas wrote %d chains", len(stores), len(report.Chains))
		}
		for _, c := range report.Chains {
			if n := ledger.PlaceOf(c.Last); n != 4*each {
				t.Errorf("chain %d has %d entries, want %d", c.Chain, n, 4*each)
			}
		}
	}
}
