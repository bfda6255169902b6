package store

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// nextSteps are the steps of a later program: two more than this one knows.
func nextSteps(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{
		"migrations/postgres/9001_note.sql":      {Data: []byte(`ALTER TABLE client ADD COLUMN note TEXT NOT NULL DEFAULT ''; UPDATE schema_version SET oldest = version`)},
		"migrations/postgres/9001_note.down.sql": {Data: []byte(`ALTER TABLE client DROP COLUMN note`)},
		"migrations/postgres/9002_break.sql":     {Data: []byte(`CREATE TABLE other (id BIGINT); UPDATE schema_version SET oldest = 9999`)},
	}
	names, err := fs.Glob(migrations, "migrations/postgres/*.sql")
	must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(migrations, name)
		must(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func newPostgresURL(t *testing.T, database string) *postgresURL {
	t.Helper()
	u, err := parsePostgres(database)
	must(t, err)
	return u
}

// TestMigrateForwardAndBack: while the schema goes a step forward and back, a replica
// that does not know the step works on, and another starts.
func TestMigrateForwardAndBack(t *testing.T) {
	known, err := postgresSteps(migrations)
	must(t, err)
	n := len(known)
	later := nextSteps(t)
	database := PostgresForTests.NewDatabase(t)
	u := newPostgresURL(t, database)
	d := openURL(t, database)
	fill(t, d, 3)
	works := func() {
		t.Helper()
		must(t, d.PutClient(t.Context(), testClient(t, int(time.Now().UnixNano())), changeEntry()))
		other := openURL(t, database)
		must(t, other.PutClient(t.Context(), testClient(t, int(time.Now().UnixNano())), changeEntry()))
		must(t, other.Close())
	}
	moves := func(to int, want Migration) {
		t.Helper()
		if m, err := migratePostgres(t.Context(), u, later, to); err != nil || m != want {
			t.Errorf("%+v, %v; want %+v", m, err, want)
		}
	}
	wantError(t, preparePostgres(t.Context(), u, later), "moneyer store migrate") // a later program does not begin by itself
	moves(n+1, Migration{n, n + 1})
	works()
	must(t, preparePostgres(t.Context(), u, migrations))
	if m, err := Migrate(t.Context(), database, Newest); err != nil || m != (Migration{n + 1, n + 1}) {
		t.Errorf("a program that is older moved the schema: %+v, %v", m, err)
	}
	_, err = Migrate(t.Context(), database, Back)
	wantError(t, err, "use the newer program")
	refused(t, database, newFile(t), "use the newer program")
	moves(Back, Migration{n + 1, n})
	works()
	moves(Newest, Migration{n, n + 2})
	wantError(t, preparePostgres(t.Context(), u, migrations), "use a newer program")
	_, err = Open(t.Context(), database, Options{Now: time.Now})
	wantError(t, err, "use a newer program")
	_, err = migratePostgres(t.Context(), u, later, Back)
	wantError(t, err, "no way back")
	moves(Newest, Migration{n + 2, n + 2})
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want %q", err, text)
	}
}

// TestMigrateThatFails leaves the schema as it was.
func TestMigrateThatFails(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	u := newPostgresURL(t, database)
	must(t, openURL(t, database).Close())
	later := nextSteps(t)
	later["migrations/postgres/9002_break.sql"] = &fstest.MapFile{Data: []byte(`CREATE TABLE other (id BIGINT); SELECT 1/0`)}
	_, err := migratePostgres(t.Context(), u, later, Newest)
	wantError(t, err, "9002_break.sql")
	known, err := postgresSteps(migrations)
	must(t, err)
	if m, err := Migrate(t.Context(), database, Newest); err != nil || m != (Migration{len(known), len(known)}) {
		t.Errorf("%+v, %v", m, err)
	}
	for to, want := range map[int]string{0: "knows the versions 1 to", 99: "knows the versions 1 to", Back: "first version"} {
		if to == Back && len(known) > 1 {
			continue
		}
		_, err := Migrate(t.Context(), database, to)
		wantError(t, err, want)
	}
}

func TestMigrateFile(t *testing.T) {
	url := newFile(t)
	known, err := fileSteps()
	must(t, err)
	if m, err := Migrate(t.Context(), url, Newest); err != nil || m != (Migration{0, len(known)}) {
		t.Errorf("%+v, %v", m, err)
	}
	d := openURL(t, url)
	_, err = Migrate(t.Context(), url, Newest)
	wantError(t, err, "in use by process")
	must(t, d.Close())
	_, err = Migrate(t.Context(), url, Back)
	wantError(t, err, "restore a backup")
	_, err = Migrate(t.Context(), "mysql:x", Newest)
	if !errors.Is(err, errURL) {
		t.Error(err)
	}
}
