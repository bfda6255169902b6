package storetest

import (
	"errors"
	"testing"

	"moneyer/internal/registry"
)

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

// certificatesOnce registers one certificate where it may be and where it may not be, and
// another certificate of its key.
func certificatesOnce(t testing.TB, s Store) {
	with := func(issuer, id string, revision int64, all ...registry.Certificate) *registry.Client {
		return &registry.Client{Issuer: issuer, ID: id, Revision: revision, Certificates: all}
	}
	held, name := certificate("c", "prd"), registry.Certificate{ID: "n", Match: registry.MatchSANDNS, Value: certificate("c", "").Value}
	must(t, s.PutClient(t.Context(), with(issuer, "holder", 0, held), change("client.put")))
	renamed, renewed, renewedElsewhere := held, certificate("renewed", "prd"), certificate("renewed", "stg")
	renamed.ID, renewed.Key, renewedElsewhere.Key = "renamed", held.Key, held.Key
	itself := registry.KeyTakenError{Issuer: issuer, Client: "holder", Kid: "c", Environment: "prd", Certificate: true}
	itsKey := registry.KeyTakenError{Issuer: issuer, Client: "holder", Kid: "certificate c", Environment: "prd"}
	for what, row := range map[string]struct {
		client *registry.Client
		want   registry.KeyTakenError
	}{
		"another client of the issuer":           {with(issuer, "thief", 0, certificate("other", "prd"), renamed), itself},
		"another environment elsewhere":          {with("other", "thief", 0, certificate("c", "stg")), itself},
		"another environment, the same owner":    {with(issuer, "holder", 1, held, certificate("c", "stg")), itself},
		"its key, another client of the issuer":  {with(issuer, "thief", 0, renewed), itsKey},
		"its key, another environment elsewhere": {with("other", "thief", 0, renewedElsewhere), itsKey},
	} {
		var taken *registry.KeyTakenError
		err := s.PutClient(t.Context(), row.client, change("client.put"))
		if !errors.As(err, &taken) || *taken != row.want {
			t.Errorf("%s: %v, want a KeyTakenError that names the holder", what, err)
		}
	}
	if _, err := s.Client(t.Context(), issuer, "thief"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a refused client is there: %v", err)
	}
	var taken *registry.KeyTakenError
	if err := s.KeyElsewhere(t.Context(), held.Key, "stg"); !errors.As(err, &taken) || *taken != itsKey {
		t.Errorf("the key of a certificate elsewhere: %v", err)
	}
	must(t, s.PutClient(t.Context(), with("other", "partner", 0, held), change("client.put")))
	must(t, s.PutClient(t.Context(), with(issuer, "named", 0, name), change("client.put"))) // a name has many certificates
	must(t, s.PutClient(t.Context(), with(issuer, "holder", 1, held, renewed), change("client.put")))
	must(t, s.PutClient(t.Context(), with(issuer, "holder", 2), change("client.put")))
	must(t, s.PutClient(t.Context(), with(issuer, "heir", 0, held), change("client.put")))
	must(t, s.RemoveClient(t.Context(), issuer, "heir", change("client.remove")))
	must(t, s.PutClient(t.Context(), with(issuer, "next", 0, held), change("client.put")))
}

// certificatesRevoked registers one certificate disabled: for each client that has a name of
// it, in whatever environment.
func certificatesRevoked(t testing.TB, s Store) {
	put := func(id string, revision int64, environment string, disabled bool) error {
		c := certificate("c", environment)
		c.Disabled = disabled
		return s.PutClient(t.Context(), &registry.Client{Issuer: issuer, ID: id, Revision: revision, Certificates: []registry.Certificate{c}}, change("client.put"))
	}
	refused := func(what string, err error) {
		t.Helper()
		if taken := (*registry.KeyTakenError)(nil); !errors.As(err, &taken) || taken.Client != "holder" {
			t.Errorf("%s: %v, want a KeyTakenError that names the holder", what, err)
		}
	}
	must(t, put("holder", 0, "prd", false))
	must(t, put("revoked", 0, "prd", true))
	must(t, put("elsewhere", 0, "stg", true))
	must(t, put("holder", 1, "prd", false)) // those do not hold it
	refused("enabled for another client", put("revoked", 1, "prd", false))
	refused("enabled in another environment", put("elsewhere", 1, "stg", false))
	must(t, put("holder", 2, "prd", true))
	refused("of another client while the holder has it disabled", put("thief", 0, "prd", false))
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

// identitiesOnce finds clients by identities, of which each has one client of the issuer,
// even while it is disabled, and none once it is removed.
func identitiesOnce(t testing.TB, s Store) {
	with := func(issuer, id string, revision int64, all ...registry.Identity) *registry.Client {
		return &registry.Client{Issuer: issuer, ID: id, Revision: revision, Identities: all}
	}
	held := identity("i")
	held.Disabled = true
	must(t, s.PutClient(t.Context(), with(issuer, "holder", 0, held, identity("second")), change("client.put")))
	for what, c := range map[string]*registry.Client{
		"that another holds": with(issuer, "thief", 0, identity("i")),
		"twice":              with(issuer, "thief", 0, identity("new"), identity("new")),
	} {
		if err := s.PutClient(t.Context(), c, change("client.put")); !errors.Is(err, registry.ErrConflict) {
			t.Errorf("an identity %s: %v", what, err)
		}
	}
	for _, name := range []string{"i", "second"} {
		if c, err := s.ClientByDigest(t.Context(), issuer, identity(name).Digest); err != nil || c.ID != "holder" || !c.Identities[0].Disabled {
			t.Errorf("by identity %s: %+v, %v", name, c, err)
		}
	}
	must(t, s.PutClient(t.Context(), with("other", "partner", 0, identity("i")), change("client.put")))
	must(t, s.PutClient(t.Context(), with(issuer, "holder", 1, identity("second")), change("client.put")))
	if _, err := s.ClientByDigest(t.Context(), issuer, identity("i").Digest); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("by an identity that was removed: %v", err)
	}
	must(t, s.PutClient(t.Context(), with(issuer, "heir", 0, identity("i")), change("client.put")))
	if c, err := s.ClientByDigest(t.Context(), issuer, identity("i").Digest); err != nil || c.ID != "heir" {
		t.Errorf("by an identity that has another client now: %+v, %v", c, err)
	}
}
