package store

import (
	"errors"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// TestFindSaysWhenItAsked: found in memory or asked for, as the authority is told, so that
// it can ask as often about a client that is known as about one that is not.
func TestFindSaysWhenItAsked(t *testing.T) {
	d := openNew(t)
	digest := registry.Digest{1}
	c := &registry.Client{Issuer: "d1", ID: "shop", Secrets: []registry.Secret{{ID: "k", Kind: registry.APIKey, Digest: digest}}}
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Unix(1_800_000_000, 0), Actor: "test"}
	if err := d.PutClient(t.Context(), c, entry); err != nil {
		t.Fatal(err)
	}
	find := func(name string, wantAsked bool, want error) {
		t.Helper()
		found, asked, err := d.FindClient(t.Context(), "d1", name)
		if asked != wantAsked || !errors.Is(err, want) || err == nil && found.ID != name {
			t.Errorf("%s: asked %t, %v, want %t, %v", name, asked, err, wantAsked, want)
		}
	}
	byKey := func(key registry.Digest, wantAsked bool, want error) {
		t.Helper()
		found, asked, err := d.FindClientByDigest(t.Context(), "d1", key)
		if asked != wantAsked || !errors.Is(err, want) || err == nil && found.ID != "shop" {
			t.Errorf("key %x: asked %t, %v, want %t, %v", key[:1], asked, err, wantAsked, want)
		}
	}
	for range 2 { // what does not exist is asked for each time
		find("nobody", true, registry.ErrNotFound)
		byKey(registry.Digest{2}, true, registry.ErrNotFound)
	}
	byKey(digest, true, nil)
	byKey(digest, false, nil)
	find("shop", false, nil)
	c.Revision = 1
	if err := d.PutClient(t.Context(), c, entry); err != nil { // drops it from memory
		t.Fatal(err)
	}
	find("shop", true, nil)
	find("shop", false, nil)
	if err := d.RemoveClient(t.Context(), "d1", "shop", entry); err != nil {
		t.Fatal(err)
	}
	find("shop", true, registry.ErrNotFound)
	byKey(digest, true, registry.ErrNotFound)
}
