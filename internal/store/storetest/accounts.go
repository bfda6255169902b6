package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"moneyer/internal/registry"
)

// accounts are put in bulk, listed by page and removed.
func accounts(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putClient(t, s, "psp")
	many := make([]registry.Account, 250)
	for i := range many {
		many[i] = registry.Account{Issuer: issuer, ID: fmt.Sprintf("m%03d", i), Client: "bank",
			Attributes: map[string]registry.Attribute{"mcc": {Text: "5411"}}}
	}
	must(t, s.PutAccounts(t.Context(), many, change("accounts.put")))
	first, err := s.Accounts(t.Context(), issuer, "", 200)
	must(t, err)
	rest, err := s.Accounts(t.Context(), issuer, "m199", 200)
	must(t, err)
	if all := append(first, rest...); !reflect.DeepEqual(all, many) {
		t.Errorf("read %d accounts that are not the %d that were put", len(all), len(many))
	}
	moved := many[7]
	moved.Client, moved.Disabled = "psp", true
	bad := registry.Account{Issuer: issuer, ID: "bad", Client: "nobody"}
	err = s.PutAccounts(t.Context(), []registry.Account{moved, bad}, change("accounts.put"))
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an account of a client that does not exist: %v", err)
	}
	if a, err := s.Account(t.Context(), issuer, moved.ID); err != nil || a.Client != "bank" {
		t.Errorf("half of a refused bulk change was made: %+v, %v", a, err)
	}
	must(t, s.PutAccounts(t.Context(), []registry.Account{moved}, change("accounts.put")))
	if a, err := s.Account(t.Context(), issuer, moved.ID); err != nil || !reflect.DeepEqual(*a, moved) {
		t.Errorf("a moved account: %+v, %v", a, err)
	}
	must(t, s.RemoveAccount(t.Context(), issuer, moved.ID, change("account.remove")))
	if _, err := s.Account(t.Context(), issuer, moved.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a removed account: %v", err)
	}
	if err := s.RemoveAccount(t.Context(), issuer, moved.ID, change("account.remove")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// items belong to one account for ever.
func items(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putAccount(t, s, "shop")
	putAccount(t, s, "cafe")
	item := func(id, account, kind string) registry.Item {
		return registry.Item{Issuer: issuer, ID: id, Account: account, Kind: kind}
	}
	must(t, s.PutItems(t.Context(), []registry.Item{item("a", "shop", "visa"), item("b", "shop", "visa")}, change("items.put")))
	must(t, s.PutItems(t.Context(), []registry.Item{item("b", "shop", "mastercard"), item("c", "cafe", "visa")}, change("items.put")))
	for name, refused := range map[string]struct {
		items []registry.Item
		is    error
		names string
	}{
		"another account's":   {[]registry.Item{item("a", "shop", "jcb"), item("new", "cafe", "visa"), item("b", "cafe", "visa")}, registry.ErrConflict, `"b"`},
		"two accounts' own":   {[]registry.Item{item("new", "cafe", "visa"), item("new", "shop", "visa")}, registry.ErrConflict, `"new"`},
		"nobody's":            {[]registry.Item{item("new", "cafe", "visa"), item("newer", "nowhere", "visa")}, registry.ErrNotFound, `"nowhere"`},
		"of another issuer's": {[]registry.Item{{Issuer: "other", ID: "new", Account: "shop"}}, registry.ErrNotFound, `"shop"`},
	} {
		err := s.PutItems(t.Context(), refused.items, change("items.put"))
		if !errors.Is(err, refused.is) || !strings.Contains(err.Error(), refused.names) {
			t.Errorf("%s: %v, want %v that names %s", name, err, refused.is, refused.names)
		}
	}
	found, err := s.Items(t.Context(), issuer, []string{"b", "new", "a", "unknown"})
	must(t, err)
	if len(found) != 2 || found[0] != item("a", "shop", "visa") && found[1] != item("a", "shop", "visa") {
		t.Errorf("items a and b: %+v", found)
	}
	listed, err := s.AccountItems(t.Context(), issuer, "shop", "a", 10)
	must(t, err)
	if want := []registry.Item{item("b", "shop", "mastercard")}; !reflect.DeepEqual(listed, want) {
		t.Errorf("after a: %+v, want %+v", listed, want)
	}
	if err := s.RemoveAccount(t.Context(), issuer, "shop", change("account.remove")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("removed an account that has items: %v", err)
	}
	must(t, s.RemoveItem(t.Context(), issuer, "a", change("item.remove")))
	must(t, s.RemoveItem(t.Context(), issuer, "b", change("item.remove")))
	if err := s.RemoveItem(t.Context(), issuer, "a", change("item.remove")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	must(t, s.RemoveAccount(t.Context(), issuer, "shop", change("account.remove")))
}
