package postgres_test

import (
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
)

// nextSteps are the steps of a later program: two more than this one knows.
func nextSteps(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{
		"migrations/9001_note.sql":      {Data: []byte(`ALTER TABLE client ADD COLUMN note TEXT NOT NULL DEFAULT ''; UPDATE schema_version SET oldest = version`)},
		"migrations/9001_note.down.sql": {Data: []byte(`ALTER TABLE client DROP COLUMN note`)},
		"migrations/9002_break.sql":     {Data: []byte(`CREATE TABLE other (id BIGINT); UPDATE schema_version SET oldest = 9999`)},
	}
	names, err := fs.Glob(postgres.Migrations, "migrations/*.sql")
	must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(postgres.Migrations, name)
		must(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func parsed(t *testing.T, url string) *postgres.URL {
	t.Helper()
	u, err := postgres.Parse(url)
	must(t, err)
	return u
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	d, err := store.Open(t.Context(), url, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// put puts a new client.
func put(t *testing.T, d *store.DB) {
	t.Helper()
	c := &registry.Client{Issuer: "d1", ID: strconv.FormatInt(time.Now().UnixNano(), 10), Name: "A bank"}
	must(t, d.PutClient(t.Context(), c, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Actor: "test", Action: "fill"}))
}

// TestMigrateForwardAndBack: while the schema goes a step forward and back, a replica
// that does not know the step works on, and another starts.
func TestMigrateForwardAndBack(t *testing.T) {
	n := postgres.Known(t)
	later := nextSteps(t)
	database := postgres.NewDatabase(t)
	u := parsed(t, database)
	d := open(t, database)
	put(t, d)
	works := func() {
		t.Helper()
		put(t, d)
		other := open(t, database)
		put(t, other)
		must(t, other.Close())
	}
	moves := func(to int, want engine.Migration) {
		t.Helper()
		if m, err := postgres.MigrateFiles(t.Context(), u, later, to); err != nil || m != want {
			t.Errorf("%+v, %v; want %+v", m, err, want)
		}
	}
	wantError(t, postgres.PrepareFiles(t.Context(), u, false, later), "moneyer store migrate") // a later program does not begin by itself
	moves(n+1, engine.Migration{From: n, To: n + 1})
	works()
	must(t, postgres.PrepareFiles(t.Context(), u, false, postgres.Migrations))
	if m, err := store.Migrate(t.Context(), database, store.Newest); err != nil || m != (engine.Migration{From: n + 1, To: n + 1}) {
		t.Errorf("a program that is older moved the schema: %+v, %v", m, err)
	}
	_, err := store.Migrate(t.Context(), database, store.Back)
	wantError(t, err, "use the newer program")
	_, err = store.Copy(t.Context(), database, "sqlite:"+filepath.Join(t.TempDir(), "moneyer.db"), nil)
	wantError(t, err, "use the newer program")
	moves(store.Back, engine.Migration{From: n + 1, To: n})
	works()
	moves(store.Newest, engine.Migration{From: n, To: n + 2})
	wantError(t, postgres.PrepareFiles(t.Context(), u, false, postgres.Migrations), "use a newer program")
	_, err = store.Open(t.Context(), database, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
	wantError(t, err, "use a newer program")
	_, err = postgres.MigrateFiles(t.Context(), u, later, store.Back)
	wantError(t, err, "no way back")
	moves(store.Newest, engine.Migration{From: n + 2, To: n + 2})
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want %q", err, text)
	}
}

// TestMigrateThatFails leaves the schema as it was.
func TestMigrateThatFails(t *testing.T) {
	database := postgres.NewDatabase(t)
	u := parsed(t, database)
	must(t, open(t, database).Close())
	later := nextSteps(t)
	later["migrations/9002_break.sql"] = &fstest.MapFile{Data: []byte(`CREATE TABLE other (id BIGINT); SELECT 1/0`)}
	_, err := postgres.MigrateFiles(t.Context(), u, later, store.Newest)
	wantError(t, err, "9002_break.sql")
	if m, err := store.Migrate(t.Context(), database, store.Newest); err != nil || m != (engine.Migration{From: postgres.Known(t), To: postgres.Known(t)}) {
		t.Errorf("%+v, %v", m, err)
	}
	for to, want := range map[int]string{0: "knows the versions 1 to", 99: "knows the versions 1 to", store.Back: "first version"} {
		if to == store.Back && postgres.Known(t) > 1 {
			continue
		}
		_, err := store.Migrate(t.Context(), database, to)
		wantError(t, err, want)
	}
}
