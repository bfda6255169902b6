package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// clientRevisions stores a client with all that it can have and takes changes
// only on top of what is stored.
func clientRevisions(t testing.TB, s Store) {
	c := &registry.Client{
		Issuer: issuer, ID: "bank", Name: "A bank", Scope: oauth.Scope{"a", "b"}, Created: start(),
		Attributes:   map[string]registry.Attribute{"roles": {IsList: true, List: []string{"x"}}, "id": {Text: "7"}},
		Keys:         []registry.Key{key(t, "k1", "prd")},
		Secrets:      []registry.Secret{apiKey("k"), {ID: "s", Kind: registry.ClientSecret, Created: start()}},
		Certificates: []registry.Certificate{certificate("c", "prd"), {ID: "n", Match: registry.MatchSANDNS, Value: "bank.example", Disabled: true, Created: start()}},
		Identities:   []registry.Identity{identity("i")},
		Subjects:     []string{"customer"}, BoundTokens: registry.BoundToTLS, AssertionAudience: registry.AudienceIssuerOrEndpoint,
	}
	must(t, s.PutClient(t.Context(), c, change("client.put")))
	got, err := s.Client(t.Context(), issuer, "bank")
	must(t, err)
	want := *c
	want.Revision = 1
	if a, b := asJSON(t, got), asJSON(t, &want); a != b {
		t.Errorf("stored %s\nread   %s", b, a)
	}
	if c.Revision != 0 {
		t.Errorf("PutClient changed its argument to revision %d", c.Revision)
	}
	for _, stale := range []int64{0, 2, -1} {
		c.Revision = stale
		if err := s.PutClient(t.Context(), c, change("client.put")); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("put on top of revision %d: %v, want ErrConflict", stale, err)
		}
	}
	c.Revision, c.Disabled = 1, true
	must(t, s.PutClient(t.Context(), c, change("client.put")))
	if got, err = s.Client(t.Context(), issuer, "bank"); err != nil || got.Revision != 2 || !got.Disabled {
		t.Errorf("after the second change: %+v, %v", got, err)
	}
	c.ID = "nobody"
	if err := s.PutClient(t.Context(), c, change("client.put")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("a change of a client that does not exist: %v, want ErrConflict", err)
	}
	for _, missing := range [][2]string{{issuer, "nobody"}, {"other", "bank"}} {
		if _, err := s.Client(t.Context(), missing[0], missing[1]); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("client %q: %v, want ErrNotFound", missing, err)
		}
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return string(text)
}

// clientRace changes one revision concurrently: one change succeeds.
func clientRace(t testing.TB, s Store) {
	putClient(t, s, "bank")
	for revision := int64(1); revision <= 5; revision++ {
		var done, refused atomic.Int64
		concurrently(8, func(i int) {
			c := &registry.Client{Issuer: issuer, ID: "bank", Name: strconv.Itoa(i), Revision: revision}
			switch err := s.PutClient(t.Context(), c, change("client.put")); {
			case err == nil:
				done.Add(1)
			case errors.Is(err, registry.ErrConflict):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
		if done.Load() != 1 || refused.Load() != 7 {
			t.Errorf("revision %d was changed %d times and refused %d times", revision, done.Load(), refused.Load())
		}
	}
}

func keysElsewhere(t testing.TB, s Store) {
	k := key(t, "k", "prd")
	k.Disabled = true
	must(t, s.PutClient(t.Context(), &registry.Client{Issuer: issuer, ID: "registered", Keys: []registry.Key{k}}, change("client.put")))
	thumbprint := k.Public.Thumbprint()
	must(t, s.KeyElsewhere(t.Context(), thumbprint, "prd"))
	must(t, s.KeyElsewhere(t.Context(), "another", "stg"))
	var taken *registry.KeyTakenError
	if err := s.KeyElsewhere(t.Context(), thumbprint, "stg"); !errors.As(err, &taken) || *taken != (registry.KeyTakenError{Issuer: issuer, Client: "registered", Kid: "k", Environment: "prd"}) {
		t.Errorf("a key that is registered elsewhere: %v", err)
	}
}

// clientPages lists clients page by page, each issuer's on its own.
func clientPages(t testing.TB, s Store) {
	for i := range 25 {
		putClient(t, s, fmt.Sprintf("client-%02d", i))
	}
	must(t, s.PutClient(t.Context(), &registry.Client{Issuer: "other", ID: "stranger"}, change("client.put")))
	var ids []string
	for after := ""; ; after = ids[len(ids)-1] {
		some, err := s.Clients(t.Context(), issuer, after, 10)
		must(t, err)
		for _, c := range some {
			ids = append(ids, c.ID)
		}
		if len(some) < 10 || len(ids) > 25 {
			break
		}
	}
	for i, id := range ids {
		if want := fmt.Sprintf("client-%02d", i); id != want {
			t.Errorf("client %d of the list is %s, want %s", i, id, want)
		}
	}
	if len(ids) != 25 {
		t.Errorf("%d clients, want 25", len(ids))
	}
}

// removedClients are gone with all their credentials, but not while somebody
// depends on them.
func removedClients(t testing.TB, s Store) {
	c := &registry.Client{Issuer: issuer, ID: "bank", Secrets: []registry.Secret{apiKey("k")}}
	must(t, s.PutClient(t.Context(), c, change("client.put")))
	putAccount(t, s, "shop")
	if err := s.RemoveClient(t.Context(), issuer, "bank", change("client.remove")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("removed a client that owns an account: %v", err)
	}
	if _, err := s.ClientByDigest(t.Context(), issuer, apiKey("k").Digest); err != nil {
		t.Errorf("after a refused removal: %v", err)
	}
	must(t, s.RemoveAccount(t.Context(), issuer, "shop", change("account.remove")))
	must(t, s.RemoveClient(t.Context(), issuer, "bank", change("client.remove")))
	if _, err := s.Client(t.Context(), issuer, "bank"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a removed client: %v", err)
	}
	if _, err := s.ClientByDigest(t.Context(), issuer, apiKey("k").Digest); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the API key of a removed client: %v", err)
	}
	if err := s.RemoveClient(t.Context(), issuer, "bank", change("client.remove")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// clientsInBulk are all put or none, by the rules for one, with one entry.
func clientsInBulk(t testing.TB, s Store) {
	many := make([]*registry.Client, 250)
	for i := range many {
		many[i] = &registry.Client{Issuer: issuer, ID: fmt.Sprintf("c%03d", i), Keys: []registry.Key{key(t, "k", "prd")}}
	}
	many[0].Secrets = []registry.Secret{apiKey("a")}
	must(t, s.PutClients(t.Context(), many, change("clients.put")))
	stored, err := s.Clients(t.Context(), issuer, "", 0)
	must(t, err)
	if len(stored) != len(many) || stored[249].ID != "c249" || stored[249].Revision != 1 {
		t.Errorf("%d clients are there, want %d", len(stored), len(many))
	}
	if _, entries := records(t, s, ledger.Query{}); len(entries) != 1 {
		t.Errorf("%d entries for one change", len(entries))
	}
	first := *stored[0]
	first.Name, first.Secrets = "changed", nil
	thief := &registry.Client{Issuer: issuer, ID: "thief", Keys: []registry.Key{key(t, "own", "prd"), many[1].Keys[0]}}
	taken := (*registry.KeyTakenError)(nil)
	err = s.PutClients(t.Context(), []*registry.Client{&first, thief}, change("clients.put"))
	if !errors.As(err, &taken) || taken.Client != "c001" || !strings.Contains(err.Error(), "thief") {
		t.Errorf("a key that another client has: %v", err)
	}
	unchanged(t, s, stored[0])
	fresh := &registry.Client{Issuer: issuer, ID: "fresh", Keys: []registry.Key{key(t, "k", "prd")}}
	for what, second := range map[string]*registry.Client{
		"itself":           fresh,
		"a stale revision": {Issuer: issuer, ID: "c001"},
		"the same key":     {Issuer: issuer, ID: "other", Keys: fresh.Keys},
	} {
		if err := s.PutClients(t.Context(), []*registry.Client{fresh, second}, change("clients.put")); err == nil {
			t.Errorf("a client with %s was put", what)
		}
		if _, err := s.Client(t.Context(), issuer, "fresh"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("half of a refused bulk change was made: %v", err)
		}
	}
	must(t, s.PutClients(t.Context(), []*registry.Client{&first, fresh}, change("clients.put")))
	if c, err := s.Client(t.Context(), issuer, "c000"); err != nil || c.Name != "changed" || c.Revision != 2 {
		t.Errorf("a changed client: %+v, %v", c, err)
	}
	if _, err := s.ClientByDigest(t.Context(), issuer, apiKey("a").Digest); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("by an API key that was taken away: %v", err)
	}
	if err := s.PutClients(t.Context(), make([]*registry.Client, store.MaxBulk+1), change("clients.put")); err == nil {
		t.Error("more clients than MaxBulk were taken")
	}
}

// unchanged fails unless c is stored unchanged with its API keys.
func unchanged(t testing.TB, s Store, c *registry.Client) {
	t.Helper()
	if got, err := s.Client(t.Context(), c.Issuer, c.ID); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("half of a refused bulk change was made: %+v, %v", got, err)
	}
	for _, secret := range c.Secrets {
		if got, err := s.ClientByDigest(t.Context(), c.Issuer, secret.Digest); err != nil || got.ID != c.ID {
			t.Errorf("half of a refused bulk change was made: %+v, %v", got, err)
		}
	}
}

// signingKeys are stored together, on top of the revision that was read.
func signingKeys(t testing.TB, s Store) {
	keys, err := s.SigningKeys(t.Context(), issuer)
	must(t, err)
	if keys.Issuer != issuer || keys.Revision != 0 || len(keys.Keys) != 0 {
		t.Errorf("before the first key: %+v", keys)
	}
	keys.Keys = []registry.SigningKey{{Issuer: issuer, Kid: "k", Alg: "ES256", URI: "sealed:", Sealed: []byte{0, 1, 255},
		JWK: json.RawMessage(`{"kty":"EC"}`), AnnouncedAt: start(), ActiveAt: start().Add(time.Hour)}}
	must(t, s.PutSigningKeys(t.Context(), keys, change("key.rotate")))
	if err := s.PutSigningKeys(t.Context(), keys, change("key.rotate")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("made twice: %v", err)
	}
	got, err := s.SigningKeys(t.Context(), issuer)
	must(t, err)
	if got.Revision != 1 || !reflect.DeepEqual(got.Keys, keys.Keys) {
		t.Errorf("read %+v, want %+v", got, keys)
	}
	must(t, s.PutSigningKeys(t.Context(), got, change("key.rotate")))
	if err := s.PutSigningKeys(t.Context(), got, change("key.rotate")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("put on top of a stale revision: %v", err)
	}
	if other, err := s.SigningKeys(t.Context(), "other"); err != nil || len(other.Keys) != 0 {
		t.Errorf("another issuer's keys: %+v, %v", other, err)
	}
}

// revocations are there until they are over, each under its issuer.
func revocations(t testing.TB, s Store) {
	revoke := func(issuer, id string, until time.Time) *revocation.Revocation {
		return &revocation.Revocation{Issuer: issuer, ID: id, JTIs: []string{id + "-1", id + "-2"}, Claim: "client_id", Value: "bank",
			Before: start(), Until: until, Reason: "suite", Created: start()}
	}
	long, short := revoke(issuer, "long", start().Add(999*time.Hour+30*time.Second)), revoke(issuer, "short", start().Add(999*time.Hour))
	must(t, s.PutRevocation(t.Context(), long, change("revoke")))
	must(t, s.PutRevocation(t.Context(), short, change("revoke")))
	must(t, s.PutRevocation(t.Context(), revoke("other", "theirs", start().Add(1000*time.Hour)), change("revoke")))
	if err := s.PutRevocation(t.Context(), long, change("revoke")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("an ID twice: %v", err)
	}
	got, err := s.Revocations(t.Context(), issuer)
	must(t, err)
	if want := []revocation.Revocation{*short, *long}; !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if got, err := s.Revocation(t.Context(), issuer, "long"); err != nil || !reflect.DeepEqual(got, long) {
		t.Errorf("one of them: %+v, %v", got, err)
	}
	if _, err := s.Revocation(t.Context(), issuer, "theirs"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("one of another issuer: %v", err)
	}
	gone, err := s.Forget(t.Context(), short.Until)
	must(t, err)
	if got, err = s.Revocations(t.Context(), issuer); gone != 1 || err != nil || len(got) != 1 || got[0].ID != "long" {
		t.Errorf("%d forgotten, left %+v, %v", gone, got, err)
	}
}

// lastUse returns the latest time at once, in whatever order the times arrive.
func lastUse(t testing.TB, s Store) {
	putClient(t, s, "bank")
	if last, err := s.LastUsed(t.Context(), issuer, "bank"); err != nil || len(last) != 0 {
		t.Errorf("before any use: %v, %v", last, err)
	}
	latest := start().Add(63 * time.Second)
	concurrently(64, func(i int) { s.Touch(issuer, "bank", "k1", start().Add(time.Duration(i)*time.Second)) })
	s.Touch(issuer, "bank", "k2", start())
	s.Touch(issuer, "other", "k3", start())
	s.Touch("other", "bank", "k4", start())
	last, err := s.LastUsed(t.Context(), issuer, "bank")
	must(t, err)
	if want := map[string]time.Time{"k1": latest, "k2": start()}; !reflect.DeepEqual(last, want) {
		t.Errorf("last used %v, want %v", last, want)
	}
}

// changesAreRecorded counts what each change, made or refused, leaves in the ledger.
func changesAreRecorded(t testing.TB, s Store) {
	putClient(t, s, "bank")
	_ = s.PutClient(t.Context(), &registry.Client{Issuer: issuer, ID: "bank"}, change("refused"))
	putAccount(t, s, "shop")
	_ = s.PutAccounts(t.Context(), []registry.Account{{Issuer: issuer, ID: "m", Client: "nobody"}}, change("refused"))
	must(t, s.PutItems(t.Context(), []registry.Item{{Issuer: issuer, ID: "t", Account: "shop"}}, change("items.put")))
	_ = s.RemoveItem(t.Context(), issuer, "u", change("refused"))
	must(t, s.RemoveItem(t.Context(), issuer, "t", change("item.remove")))
	must(t, s.RemoveAccount(t.Context(), issuer, "shop", change("account.remove")))
	must(t, s.RemoveClient(t.Context(), issuer, "bank", change("client.remove")))
	must(t, s.PutSigningKeys(t.Context(), registry.SigningKeys{Issuer: issuer}, change("key.rotate")))
	_ = s.PutSigningKeys(t.Context(), registry.SigningKeys{Issuer: issuer}, change("refused"))
	if err := s.PutClient(t.Context(), &registry.Client{Issuer: issuer, ID: "unrecorded"}, nil); err == nil {
		t.Error("a change was made without an entry")
	}
	_, entries := records(t, s, ledger.Query{Kind: ledger.KindAdmin})
	var actions []string
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	want := []string{"client.put", "account.put", "items.put", "item.remove", "account.remove", "client.remove", "key.rotate"}
	if !reflect.DeepEqual(actions, want) {
		t.Errorf("recorded %v, want %v", actions, want)
	}
	verified(t, s)
}
