package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// Altered is a store whose database somebody writes who has no key.
type Altered interface {
	// Alter runs a statement past the store, in a dialect that every engine has. An error
	// also means that no row was changed. Nothing of what the store read stays in memory.
	Alter(ctx context.Context, statement string, args ...any) error
}

// alter alters a row.
func alter(t testing.TB, s Store, statement string, args ...any) {
	t.Helper()
	must(t, s.Alter(t.Context(), statement, args...))
}

// unverified fails unless err says that this row does not verify.
func unverified(t testing.TB, what string, err error, id string) {
	t.Helper()
	var u *registry.UnverifiedError
	if !errors.As(err, &u) || u.ID != id || errors.Is(err, registry.ErrNotFound) {
		t.Errorf("%s: got %v, want that %q does not verify", what, err, id)
	}
}

// alteredClients are refused one by one: the others are served.
func alteredClients(t testing.TB, s Store) {
	for _, id := range []string{"moved", "renamed", "swapped", "unsigned", "whole"} {
		c := &registry.Client{Issuer: issuer, ID: id, Name: "0", Secrets: []registry.Secret{apiKey(id)}, Identities: []registry.Identity{identity(id)},
			Certificates: []registry.Certificate{certificate(id, "prd")}}
		must(t, s.PutClient(t.Context(), c, change("client.put")))
	}
	alter(t, s, `INSERT INTO client (issuer, id, revision, document, mac) SELECT 'other', id, revision, document, mac FROM client WHERE id = 'moved'`)
	alter(t, s, `INSERT INTO client (issuer, id, revision, document, mac) SELECT issuer, 'copy', revision, document, mac FROM client WHERE id = 'whole'`)
	alter(t, s, `UPDATE client SET document = (SELECT document FROM client WHERE id = 'whole'), mac = (SELECT mac FROM client WHERE id = 'whole') WHERE id = 'swapped'`)
	alter(t, s, `UPDATE client SET mac = $1 WHERE id = 'unsigned'`, []byte{})
	alter(t, s, `UPDATE client SET revision = 2 WHERE id = 'renamed'`)
	alter(t, s, `UPDATE client_digest SET client = 'whole' WHERE client = 'moved'`)
	_, err := s.Client(t.Context(), "other", "moved")
	unverified(t, "a client of another issuer", err, "moved")
	for id, what := range map[string]string{"copy": "a row under another id", "swapped": "the row of another client", "unsigned": "a row without a MAC", "renamed": "another revision"} {
		_, err := s.Client(t.Context(), issuer, id)
		unverified(t, what, err, id)
	}
	for what, digest := range map[string]func(name string) registry.Digest{
		"an API key":  func(name string) registry.Digest { return apiKey(name).Digest },
		"an identity": func(name string) registry.Digest { return identity(name).Digest },
	} {
		_, err = s.ClientByDigest(t.Context(), issuer, digest("unsigned"))
		unverified(t, "by "+what, err, "unsigned")
		if c, err := s.ClientByDigest(t.Context(), issuer, digest("moved")); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s of another client, by its index row: %+v, %v", what, c, err)
		}
	}
	if c, err := s.Client(t.Context(), issuer, "whole"); err != nil || c.Name != "0" {
		t.Errorf("a client that was left alone: %+v, %v", c, err)
	}
	list, err := s.Clients(t.Context(), issuer, "", 10)
	must(t, err)
	marked := ""
	for _, c := range list {
		if c.Unverified {
			marked += " " + c.ID
			if !c.Disabled || c.Name != "" || len(c.Secrets)+len(c.Identities)+len(c.Certificates) > 0 {
				t.Errorf("a list believes a row that does not verify: %+v", c)
			}
		}
	}
	if len(list) != 6 || marked != " copy renamed swapped unsigned" {
		t.Errorf("a list of %d marks%s", len(list), marked)
	}
}

// alteredAccounts covers accounts and items.
func alteredAccounts(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putAccount(t, s, "shop")
	putAccount(t, s, "stall")
	putAccount(t, s, "cafe")
	items := []registry.Item{{Issuer: issuer, ID: "1", Account: "cafe", Kind: "visa"}, {Issuer: issuer, ID: "2", Account: "cafe", Kind: "visa"}, {Issuer: issuer, ID: "3", Account: "cafe", Kind: "visa"}}
	must(t, s.PutItems(t.Context(), items, change("items.put")))
	alter(t, s, `UPDATE account SET document = (SELECT document FROM account WHERE id = 'cafe') WHERE id = 'shop'`)
	alter(t, s, `UPDATE account SET mac = (SELECT mac FROM account WHERE id = 'cafe') WHERE id = 'stall'`)
	alter(t, s, `UPDATE item SET account = 'shop' WHERE id = '1'`)
	alter(t, s, `UPDATE item SET kind = 'mastercard' WHERE id = '2'`)
	for _, id := range []string{"shop", "stall"} {
		_, err := s.Account(t.Context(), issuer, id)
		unverified(t, "an altered account", err, id)
	}
	if a, err := s.Account(t.Context(), issuer, "cafe"); err != nil || a.Client != "bank" {
		t.Errorf("an account that was left alone: %+v, %v", a, err)
	}
	for _, id := range []string{"1", "2"} {
		_, err := s.Items(t.Context(), issuer, []string{"3", id})
		unverified(t, "an altered item", err, id)
	}
	if found, err := s.Items(t.Context(), issuer, []string{"3"}); err != nil || len(found) != 1 {
		t.Errorf("an item that was left alone: %+v, %v", found, err)
	}
	list, err := s.Accounts(t.Context(), issuer, "", 10)
	if err != nil || len(list) != 3 || list[0].Unverified || !list[1].Unverified || !list[2].Unverified || list[1].Client != "" {
		t.Errorf("a list: %+v, %v", list, err)
	}
	of, err := s.AccountItems(t.Context(), issuer, "cafe", "", 10)
	if err != nil || len(of) != 2 || !of[0].Unverified || of[1].Unverified {
		t.Errorf("a list: %+v, %v", of, err)
	}
}

// alteredSigningKeys are no keys; those of other issuers are.
func alteredSigningKeys(t testing.TB, s Store) {
	for _, name := range []string{issuer, "forged", "whole"} {
		keys := registry.SigningKeys{Issuer: name, Keys: []registry.SigningKey{{Issuer: name, Kid: "k", Alg: "ES256", JWK: json.RawMessage(`{}`)}}}
		must(t, s.PutSigningKeys(t.Context(), keys, change("key.announce")))
	}
	alter(t, s, `UPDATE signing_keys SET document = $1 WHERE issuer = 'forged'`, []byte(`[{"kid":"stranger","jwk":{}}]`))
	alter(t, s, `UPDATE signing_keys SET document = (SELECT document FROM signing_keys WHERE issuer = 'whole'),
		mac = (SELECT mac FROM signing_keys WHERE issuer = 'whole') WHERE issuer = $1`, issuer)
	for _, name := range []string{issuer, "forged"} {
		keys, err := s.SigningKeys(t.Context(), name)
		unverified(t, "signing keys of "+name, err, "")
		if len(keys.Keys) > 0 {
			t.Errorf("keys that do not verify: %+v", keys)
		}
	}
	if keys, err := s.SigningKeys(t.Context(), "whole"); err != nil || len(keys.Keys) != 1 {
		t.Errorf("keys that were left alone: %+v, %v", keys, err)
	}
}

// alteredRevocations are returned as far as they can be read, and never forgotten.
func alteredRevocations(t testing.TB, s Store) {
	for _, id := range []string{"hidden", "broken", "altered"} {
		r := &revocation.Revocation{Issuer: issuer, ID: id, JTIs: []string{id}, Until: start().Add(999 * time.Hour), Created: start()}
		must(t, s.PutRevocation(t.Context(), r, change("revoke")))
	}
	alter(t, s, `UPDATE revocation SET until = 0`)
	if list, err := s.Revocations(t.Context(), issuer); err != nil || len(list) != 3 {
		t.Errorf("a column hides revocations: %+v, %v", list, err)
	}
	if r, err := s.Revocation(t.Context(), issuer, "hidden"); err != nil || r.ID != "hidden" {
		t.Errorf("a column hides a revocation: %+v, %v", r, err)
	}
	alter(t, s, `UPDATE revocation SET document = $1 WHERE id = 'altered'`, []byte(`{"jtis":["none"],"until":"2020-01-01T00:00:00Z"}`))
	alter(t, s, `UPDATE revocation SET document = $1 WHERE id = 'broken'`, []byte(`{`))
	if n, err := s.Forget(t.Context(), start()); n != 0 || err != nil {
		t.Errorf("%d revocations were forgotten by a column: %v", n, err)
	}
	list, err := s.Revocations(t.Context(), issuer)
	if len(list) != 3 || !list[0].Unverified || list[0].JTIs[0] != "none" || !list[1].Unverified || list[2].Unverified || list[2].JTIs[0] != "hidden" {
		t.Errorf("read %+v", list)
	}
	unverified(t, "a list", err, "altered")
	r, err := s.Revocation(t.Context(), issuer, "altered")
	unverified(t, "an altered revocation", err, "altered")
	if r == nil || !r.Unverified {
		t.Errorf("what can be read of it: %+v", r)
	}
}

// believesRows has no key.
type believesRows struct{ Store }

func (s *believesRows) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	c, err := s.Store.Client(ctx, issuer, id)
	if u := (*registry.UnverifiedError)(nil); errors.As(err, &u) {
		return &registry.Client{Issuer: issuer, ID: id, Name: "0"}, nil
	}
	return c, err
}

func (s *believesRows) Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error) {
	items, err := s.Store.Items(ctx, issuer, ids)
	if u := (*registry.UnverifiedError)(nil); errors.As(err, &u) {
		return []registry.Item{{Issuer: issuer, ID: ids[0]}, {Issuer: issuer, ID: ids[1]}}, nil
	}
	return items, err
}

func (s *believesRows) SigningKeys(ctx context.Context, issuer string) (registry.SigningKeys, error) {
	keys, err := s.Store.SigningKeys(ctx, issuer)
	if u := (*registry.UnverifiedError)(nil); errors.As(err, &u) {
		return registry.SigningKeys{Issuer: issuer, Revision: 1, Keys: []registry.SigningKey{{Kid: "stranger"}}}, nil
	}
	return keys, err
}

func (s *believesRows) Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error) {
	list, err := s.Store.Revocations(ctx, issuer)
	if u := (*registry.UnverifiedError)(nil); errors.As(err, &u) {
		err = nil
	}
	return list, err
}

// believesIndex takes who an index row names.
type believesIndex struct{ Store }

func (s *believesIndex) ClientByDigest(ctx context.Context, issuer string, d registry.Digest) (*registry.Client, error) {
	c, err := s.Store.ClientByDigest(ctx, issuer, d)
	if errors.Is(err, registry.ErrNotFound) {
		return s.Store.Client(ctx, issuer, "whole")
	}
	return c, err
}

// sayingUnknown takes a row that does not verify for none.
type sayingUnknown struct{ Store }

func (s *sayingUnknown) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	c, err := s.Store.Client(ctx, issuer, id)
	if u := (*registry.UnverifiedError)(nil); errors.As(err, &u) {
		return nil, registry.ErrNotFound
	}
	return c, err
}

// stopsAtRows fails a whole list for one row.
type stopsAtRows struct{ Store }

func (s *stopsAtRows) Clients(ctx context.Context, issuer, after string, limit int) ([]*registry.Client, error) {
	list, err := s.Store.Clients(ctx, issuer, after, limit)
	for _, c := range list {
		if c.Unverified {
			return nil, &registry.UnverifiedError{Kind: "client", Issuer: issuer, ID: c.ID}
		}
	}
	return list, err
}

// forgetsByColumn deletes revocations that a column says are over.
type forgetsByColumn struct{ Store }

func (s *forgetsByColumn) Forget(ctx context.Context, now time.Time) (int64, error) {
	n, err := s.Store.Forget(ctx, now)
	if err == nil {
		err = s.Alter(ctx, `DELETE FROM revocation WHERE until <= $1`, now.UnixMilli())
	}
	return n, err
}
