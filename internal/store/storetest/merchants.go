package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"moneyer/internal/registry"
)

// merchants are put in bulk, listed by page and removed.
func merchants(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putClient(t, s, "psp")
	many := make([]registry.Merchant, 250)
	for i := range many {
		many[i] = registry.Merchant{Issuer: issuer, ID: fmt.Sprintf("m%03d", i), Client: "bank",
			Attributes: map[string]registry.Attribute{"mcc": {Text: "5411"}}}
	}
	must(t, s.PutMerchants(t.Context(), many, change("merchants.put")))
	first, err := s.Merchants(t.Context(), issuer, "", 200)
	must(t, err)
	rest, err := s.Merchants(t.Context(), issuer, "m199", 200)
	must(t, err)
	if all := append(first, rest...); !reflect.DeepEqual(all, many) {
		t.Errorf("read %d merchants that are not the %d that were put", len(all), len(many))
	}
	moved := many[7]
	moved.Client, moved.Disabled = "psp", true
	bad := registry.Merchant{Issuer: issuer, ID: "bad", Client: "nobody"}
	err = s.PutMerchants(t.Context(), []registry.Merchant{moved, bad}, change("merchants.put"))
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a merchant of a client that does not exist: %v", err)
	}
	if m, err := s.Merchant(t.Context(), issuer, moved.ID); err != nil || m.Client != "bank" {
		t.Errorf("half of a refused bulk change was made: %+v, %v", m, err)
	}
	must(t, s.PutMerchants(t.Context(), []registry.Merchant{moved}, change("merchants.put")))
	if m, err := s.Merchant(t.Context(), issuer, moved.ID); err != nil || !reflect.DeepEqual(*m, moved) {
		t.Errorf("a moved merchant: %+v, %v", m, err)
	}
	must(t, s.RemoveMerchant(t.Context(), issuer, moved.ID, change("merchant.remove")))
	if _, err := s.Merchant(t.Context(), issuer, moved.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a removed merchant: %v", err)
	}
	if err := s.RemoveMerchant(t.Context(), issuer, moved.ID, change("merchant.remove")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// cardTokens belong to one merchant for ever.
func cardTokens(t testing.TB, s Store) {
	putClient(t, s, "bank")
	putMerchant(t, s, "shop")
	putMerchant(t, s, "cafe")
	token := func(id, merchant, scheme string) registry.CardToken {
		return registry.CardToken{Issuer: issuer, ID: id, Merchant: merchant, Scheme: scheme}
	}
	must(t, s.PutCardTokens(t.Context(), []registry.CardToken{token("a", "shop", "visa"), token("b", "shop", "visa")}, change("tokens.put")))
	must(t, s.PutCardTokens(t.Context(), []registry.CardToken{token("b", "shop", "mastercard"), token("c", "cafe", "visa")}, change("tokens.put")))
	for name, refused := range map[string]struct {
		tokens []registry.CardToken
		is     error
		names  string
	}{
		"another merchant's":  {[]registry.CardToken{token("a", "shop", "jcb"), token("new", "cafe", "visa"), token("b", "cafe", "visa")}, registry.ErrConflict, `"b"`},
		"two merchants' own":  {[]registry.CardToken{token("new", "cafe", "visa"), token("new", "shop", "visa")}, registry.ErrConflict, `"new"`},
		"nobody's":            {[]registry.CardToken{token("new", "cafe", "visa"), token("newer", "nowhere", "visa")}, registry.ErrNotFound, `"nowhere"`},
		"of another issuer's": {[]registry.CardToken{{Issuer: "other", ID: "new", Merchant: "shop"}}, registry.ErrNotFound, `"shop"`},
	} {
		err := s.PutCardTokens(t.Context(), refused.tokens, change("tokens.put"))
		if !errors.Is(err, refused.is) || !strings.Contains(err.Error(), refused.names) {
			t.Errorf("%s: %v, want %v that names %s", name, err, refused.is, refused.names)
		}
	}
	found, err := s.CardTokens(t.Context(), issuer, []string{"b", "new", "a", "unknown"})
	must(t, err)
	if len(found) != 2 || found[0] != token("a", "shop", "visa") && found[1] != token("a", "shop", "visa") {
		t.Errorf("card tokens a and b: %+v", found)
	}
	listed, err := s.MerchantCardTokens(t.Context(), issuer, "shop", "a", 10)
	must(t, err)
	if want := []registry.CardToken{token("b", "shop", "mastercard")}; !reflect.DeepEqual(listed, want) {
		t.Errorf("after a: %+v, want %+v", listed, want)
	}
	if err := s.RemoveMerchant(t.Context(), issuer, "shop", change("merchant.remove")); !errors.Is(err, registry.ErrConflict) {
		t.Errorf("removed a merchant that has card tokens: %v", err)
	}
	must(t, s.RemoveCardToken(t.Context(), issuer, "a", change("token.remove")))
	must(t, s.RemoveCardToken(t.Context(), issuer, "b", change("token.remove")))
	if err := s.RemoveCardToken(t.Context(), issuer, "a", change("token.remove")); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	must(t, s.RemoveMerchant(t.Context(), issuer, "shop", change("merchant.remove")))
}
