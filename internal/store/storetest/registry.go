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
		Attributes: map[string]registry.Attribute{"roles": {IsList: true, List: []string{"x"}}, "id": {Text: "7"}},
		Keys:       []registry.Key{key(t, "k1", "prd")},
		Secrets:    []registry.Secret{apiKey("k"), {ID: "s", Kind: registry.ClientSecret, Created: start()}},
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

// keysOnce registers one key where it may be and where it may not be.
func keysOnce(t testing.TB, s Store) {
	k := key(t, "k", "prd")
	elsewhere := k
	elsewhere.Environment = "stg"
	again := k
	again.Kid = "the same under another kid"
	holder := &registry.Client{Issuer: issuer, ID: "holder", Keys: []registry.Key{k, again}}
	must(t, s.PutClient(t.Context(), holder, change("client.put")))
	sibling := func(issuer, id string, k registry.Key) *registry.Client {
		return &registry.Client{Issuer: issuer, ID: id, Keys: []registry.Key{key(t, "own", k.Environment), k}}
	}
	disabled := k
	disabled.Disabled = true
	for name, c := range map[string]*registry.Client{
		"another client of the issuer":        sibling(issuer, "thief", k),
		"another client, disabled":            sibling(issuer, "thief", disabled),
		"another environment elsewhere":       sibling("other", "thief", elsewhere),
		"another environment, the same owner": {Issuer: issuer, ID: "holder", Revision: 1, Keys: []registry.Key{k, elsewhere}},
	} {
		var taken *registry.KeyTakenError
		err := s.PutClient(t.Context(), c, change("client.put"))
		if !errors.As(err, &taken) {
			t.Errorf("%s: %v, want a KeyTakenError", name, err)
			continue
		}
		if taken.Issuer != issuer || taken.Client != "holder" || taken.Environment != "prd" {
			t.Errorf("%s: the holder is said to be %+v", name, taken)
		}
	}
	if _, err := s.Client(t.Context(), issuer, "thief"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a refused client is there: %v", err)
	}
	must(t, s.PutClient(t.Context(), sibling("other", "partner", k), change("client.put")))
	twice := &registry.Client{Issuer: issuer, ID: "twice", Keys: []registry.Key{key(t, "k", "prd"), key(t, "k", "prd")}}
	if err := s.PutClient(t.Context(), twice, change("client.put")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("two keys with one kid: %v", err)
	}

	holder.Revision, holder.Keys = 1, nil
	must(t, s.PutClient(t.Context(), holder, change("client.put")))
	must(t, s.PutClient(t.Context(), sibling(issuer, "heir", k), change("client.put")))
	must(t, s.RemoveClient(t.Context(), issuer, "heir", change("client.remove")))
	must(t, s.PutClient(t.Context(), sibling(issuer, "next", k), change("client.put")))
}

// jwksURIOnce registers one jwks_uri, in several spellings, where it may be and where it
// may not be, and asks where keys are registered.
func jwksURIOnce(t testing.TB, s Store) {
	const uri = "https://idp.example/keys"
	at := func(issuer, id, environment, uri string) *registry.Client {
		c := &registry.Client{Issuer: issuer, ID: id}
		c.SetJWKSURI(&registry.Issuer{Environment: environment}, uri)
		return c
	}
	holder := at(issuer, "holder", "prd", uri)
	must(t, s.PutClient(t.Context(), holder, change("client.put")))
	refused := func(name string, c *registry.Client) {
		t.Helper()
		var taken *registry.KeyTakenError
		if err := s.PutClient(t.Context(), c, change("client.put")); !errors.As(err, &taken) {
			t.Errorf("%s: %v, want a KeyTakenError", name, err)
		} else if taken.Issuer != issuer || taken.Client != "holder" || taken.Environment != "prd" || taken.Kid != "" {
			t.Errorf("%s: the holder is said to be %+v", name, taken)
		}
	}
	for _, again := range []string{uri, "https://IDP.example/keys", "https://idp.example:443/keys", "https://idp.example./x/..//keys/", "https://idp.example/%6beys"} {
		refused(again, at("other", "thief", "stg", again))
	}
	must(t, s.PutClient(t.Context(), at(issuer, "sibling", "prd", uri), change("client.put")))
	must(t, s.PutClient(t.Context(), at("other", "sibling", "prd", uri), change("client.put")))
	without := at(issuer, "sibling", "prd", "")
	without.Revision = 1
	must(t, s.PutClient(t.Context(), without, change("client.put")))
	must(t, s.RemoveClient(t.Context(), "other", "sibling", change("client.remove")))
	moved := at(issuer, "holder", "prd", uri+"/prd")
	moved.Revision = 1
	refused("while one holds it", at("other", "heir", "stg", uri))
	must(t, s.PutClient(t.Context(), moved, change("client.put")))
	must(t, s.PutClient(t.Context(), at("other", "heir", "stg", uri), change("client.put")))
	keysElsewhere(t, s)
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

// apiKeysOnce finds clients by API keys, of which each has one holder.
func apiKeysOnce(t testing.TB, s Store) {
	digest := apiKey("k").Digest
	plain := apiKey("secret")
	plain.Kind = registry.ClientSecret
	holder := &registry.Client{Issuer: issuer, ID: "holder", Secrets: []registry.Secret{apiKey("k"), plain}}
	must(t, s.PutClient(t.Context(), holder, change("client.put")))
	other := &registry.Client{Issuer: issuer, ID: "other", Secrets: []registry.Secret{apiKey("k")}}
	if err := s.PutClient(t.Context(), other, change("client.put")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("an API key that another holds: %v", err)
	}
	if c, err := s.ClientByDigest(t.Context(), issuer, digest); err != nil || c.ID != "holder" {
		t.Errorf("by API key: %+v, %v", c, err)
	}
	for _, missing := range []struct {
		issuer string
		digest registry.Digest
	}{{"other", digest}, {issuer, apiKey("unknown").Digest}, {issuer, plain.Digest}} {
		if _, err := s.ClientByDigest(t.Context(), missing.issuer, missing.digest); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("by an API key that nobody holds: %v", err)
		}
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
