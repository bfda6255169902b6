package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminclient"
	"moneyer/internal/daemon"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

// checkPrivate fails for each file below dir that others than its owner may read.
func checkPrivate(t *testing.T, dir string, want ...string) {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && path != dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		found[d.Name()] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range want {
		if !found[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestInitIsPrivate(t *testing.T) {
	i := install(t)
	checkPrivate(t, i.dir, daemon.ConfigFile, adminclient.DefaultFile, "master.key", "moneyer.db")
	p := i.serve()
	i.wantToken(600)
	checkPrivate(t, i.dir, "moneyer.db-wal")
	p.stop()
}

// TestInitReplacesALostAdminKey: the new key works in every state of the
// administrator's client.
func TestInitReplacesALostAdminKey(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.withStore(func(db *store.DB) error {
		known, err := db.Client(t.Context(), "admin", "admin")
		if err != nil {
			return err
		}
		client := *known
		client.Disabled, client.Scope = true, nil
		return db.PutClient(t.Context(), &client, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Action: "client.set"})
	})
	lost := readFile(t, i.adminFile)
	if err := os.Remove(i.adminFile); err != nil {
		t.Fatal(err)
	}
	if code := begin(t, "init", "--dir", i.dir).ended(); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	var before, after adminclient.File
	for text, file := range map[string]*adminclient.File{lost: &before, readFile(t, i.adminFile): &after} {
		if err := json.Unmarshal([]byte(text), file); err != nil {
			t.Fatal(err)
		}
	}
	if after.Kid == before.Kid || after.PrivateKey == before.PrivateKey {
		t.Error("it is the same key")
	}
	p := i.serve()
	i.does("client", "add", "other", "--scope", "pay")
	out := i.does("ledger", "list", "--json")
	if n := strings.Count(out, `"moneyer init"`); n != 2 {
		t.Errorf("the ledger has init %d times:\n%s", n, out)
	}
	p.stop()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
