package moneyer

import (
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/bench/subject"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

// options are options for stores in temporary folders.
func options(o Options) *Options {
	o.Log = io.Discard
	o.Clients = max(o.Clients, 1)
	return &o
}

func open(t *testing.T, folder string) *store.DB {
	t.Helper()
	return openStore(t, folder, "sqlite:"+filepath.Join(folder, storeFile))
}

func openStore(t *testing.T, folder, url string) *store.DB {
	t.Helper()
	master, err := keyring.ReadMasterKey(filepath.Join(folder, masterFile))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), url, store.Options{Now: time.Now, RowKey: master.RowKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestFillRegistersWhoAsks(t *testing.T) {
	for name, c := range map[string]struct {
		o       *Options
		issuers []string
		last    int
	}{
		"one":  {options(Options{}), []string{d1, banking, plain, bolt, etp, reusing}, 0},
		"many": {options(Options{Clients: 30}), []string{plain}, 29},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			text := configuration(c.o, "127.0.0.1:1", "127.0.0.1:2", nil)
			if err := c.o.fill(t.Context(), folder, text); err != nil {
				t.Fatal(err)
			}
			db := open(t, folder)
			for _, issuer := range c.issuers {
				client, err := db.Client(t.Context(), issuer, id(c.last))
				if err != nil || len(client.Secrets) != 1 {
					t.Errorf("%s: %+v, %v", issuer, client, err)
				}
			}
		})
	}
}

func TestFillIsDoneOnce(t *testing.T) {
	o, folder := options(Options{Entries: 50, Age: time.Hour}), t.TempDir()
	text := configuration(o, "127.0.0.1:1", "127.0.0.1:2", nil)
	if err := o.fill(t.Context(), folder, text); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(folder, masterFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.fill(t.Context(), folder, text); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(folder, masterFile)); err != nil || string(again) != string(key) {
		t.Errorf("a filled store got another master key, %v", err)
	}
	count := 0
	query := ledger.Query{Kind: ledger.KindToken, Until: time.Now().Add(-time.Hour)}
	if err := open(t, folder).Entries(t.Context(), query, func(*ledger.Record) error { count++; return nil }); err != nil || count != 50 {
		t.Errorf("%d entries an hour old, %v", count, err)
	}
}

func TestConfigurationIsGood(t *testing.T) {
	for _, o := range []*Options{options(Options{}), options(Options{Limits: true}), options(Options{Retention: 24 * time.Hour})} {
		cfg, err := config.Parse("moneyer.toml", []byte(configuration(o, "127.0.0.1:1", "127.0.0.1:2", nil)))
		if err != nil {
			t.Fatal(err)
		}
		if limited := cfg.Limits.ClientRate > 0; limited != o.Limits || cfg.Ledger.Retention != o.Retention || len(cfg.Issuers) != 6 {
			t.Errorf("%+v: %+v", o, cfg)
		}
	}
}

func TestExchanges(t *testing.T) {
	if all := options(Options{}).exchanges("http://x"); len(all) != 10 {
		t.Errorf("%d exchanges", len(all))
	}
	for _, e := range options(Options{}).exchanges("http://127.0.0.1:1") {
		one, err := e.Body(0)
		if err != nil {
			t.Fatal(err)
		}
		two, err := e.Body(1)
		if err != nil {
			t.Fatal(err)
		}
		asserts := e.Kind == subject.JWTBearerES256 || e.Kind == subject.PrivateKeyJWTES256
		if differ := string(one) != string(two); differ != asserts {
			t.Errorf("%s %s: differ is %v", e.Kind, e.Variant, differ)
		}
		if _, err := url.ParseQuery(string(one)); err != nil && one[0] != '{' {
			t.Errorf("%s: %v", one, err)
		}
	}
}

func TestApart(t *testing.T) {
	o := options(Options{Clients: 3, Apart: true})
	e := o.exchanges("http://127.0.0.1:1")
	if len(e) != 2 {
		t.Fatalf("%d exchanges", len(e))
	}
	p := NewPartners(3)
	p.First = 1
	seen := map[int]bool{}
	for range 100 {
		seen[p.some()] = true
	}
	if seen[0] || !seen[1] || !seen[2] {
		t.Errorf("asked: %v", seen)
	}
}

func TestCacheFollowsSchema(t *testing.T) {
	root := t.TempDir()
	migrations := filepath.Join(root, "internal/store/sqlite/migrations")
	if err := os.MkdirAll(migrations, 0o700); err != nil {
		t.Fatal(err)
	}
	o := options(Options{Root: root, Clients: 5000})
	before, err := o.cacheFolder()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(migrations, "1.sql"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := o.cacheFolder()
	if err != nil || before == after || !strings.HasPrefix(after, filepath.Join(root, "bench/.cache")) {
		t.Errorf("%s, then %s, %v", before, after, err)
	}
}

func TestFillStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options(Options{Clients: 10})
	if err := o.fill(ctx, t.TempDir(), configuration(o, "127.0.0.1:1", "127.0.0.1:2", nil)); err == nil {
		t.Error("an interrupted filling says that all is there")
	}
}

// TestFillPostgres: a store in PostgreSQL is filled when its database has started, once.
func TestFillPostgres(t *testing.T) {
	folder, err := os.MkdirTemp("", "moneyer-bench-") //nolint:usetesting // another user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	o := options(Options{Postgres: true})
	text, beside, err := o.prepare(t.Context(), folder, func(o *Options) string { return configuration(o, "127.0.0.1:1", "127.0.0.1:2", nil) })
	if err != nil {
		t.Skip(err)
	}
	process, _, _, err := subject.Start(t.Context(), beside[0], filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop() })               // after the store is closed
	if err := beside[0].Prepare(t.Context()); err != nil { // again, as after a restart
		t.Fatal(err)
	}
	cfg, err := config.Parse("moneyer.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	db := openStore(t, folder, cfg.Store)
	for _, issuer := range []string{d1, banking, plain, bolt, etp} {
		if _, err := db.Client(t.Context(), issuer, id(0)); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}
