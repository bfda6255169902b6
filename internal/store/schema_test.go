package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/store/engine"
)

// alteredSchema is statements that put something into a schema that decides what other
// statements read and write, with the name of what is found.
type alteredSchema struct {
	statements []string
	found      string
}

func checkAltered(t *testing.T, d *DB, reopen func() (*DB, error), found string) {
	t.Helper()
	audit, err := d.Audit(t.Context())
	if err != nil || audit.stated || !strings.Contains(audit.Difference, found) || !strings.Contains(audit.Difference, "changed the schema") {
		t.Errorf("an audit: %+v, %v; want %q", audit, err, found)
	}
	_, sign := signer("key")
	if heads, err := d.Checkpoint(t.Context(), sign); !errors.Is(err, engine.ErrSchema) {
		t.Errorf("a checkpoint: %v, %v", heads, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if d, err := reopen(); !errors.Is(err, engine.ErrSchema) || !strings.Contains(err.Error(), found) {
		t.Errorf("it is opened: %v", err)
		if err == nil {
			_ = d.Close()
		}
	}
}

// TestAlteredSchemaOfAFile: a trigger runs in the transactions of the server, and could keep
// a client enabled that it disables, or a token out of the ledger; a view can show an
// audit other rows than a request.
func TestAlteredSchemaOfAFile(t *testing.T) {
	t.Parallel()
	for name, altered := range map[string]alteredSchema{
		"a trigger": {[]string{`CREATE TRIGGER undo AFTER UPDATE ON client BEGIN
			UPDATE client SET document = OLD.document, mac = OLD.mac WHERE issuer = OLD.issuer AND id = OLD.id; END`}, `"undo"`},
		"a trigger that drops entries": {[]string{`CREATE TRIGGER drops BEFORE INSERT ON ledger_batch WHEN NEW.time_max < 0 BEGIN SELECT RAISE(IGNORE); END`}, `"drops"`},
		"a view":                       {[]string{`CREATE TABLE kept AS SELECT * FROM revocation`, `DROP TABLE revocation`, `CREATE VIEW revocation AS SELECT * FROM kept WHERE random() % 2 = 0`}, `"revocation"`},
		"another definition": {[]string{`DROP TABLE used_batch`, `CREATE TABLE used_batch (until BIGINT NOT NULL, first_seq BIGINT NOT NULL, keys BLOB NOT NULL,
			PRIMARY KEY (until, first_seq) ON CONFLICT IGNORE) WITHOUT ROWID`}, `"used_batch"`},
		"a unique index": {[]string{`CREATE UNIQUE INDEX alone ON revocation (issuer)`}, `"alone"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "moneyer.db")
			d := openTest(t, path, Options{})
			for _, statement := range altered.statements {
				run(t, d, statement)
			}
			checkAltered(t, d, func() (*DB, error) { return Open(t.Context(), "sqlite:"+path, Options{Now: clock, RowKey: d.rows}) }, altered.found)
		})
	}
	path := filepath.Join(t.TempDir(), "moneyer.db")
	d := openTest(t, path, Options{})
	run(t, d, `CREATE TABLE more (n BIGINT)`)
	run(t, d, `CREATE INDEX more_of_them ON revocation (until, issuer)`)
	run(t, d, `ANALYZE`)
	if audit, err := d.Audit(t.Context()); err != nil || audit.Difference != "" {
		t.Errorf("further tables and indexes: %+v, %v", audit, err)
	}
}

// TestAlteredSchemaOfADatabase is TestAlteredSchemaOfAFile for PostgreSQL.
func TestAlteredSchemaOfADatabase(t *testing.T) {
	t.Parallel()
	const function = `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`
	for name, altered := range map[string]alteredSchema{
		"a trigger":   {[]string{function, `CREATE TRIGGER undo AFTER UPDATE ON client FOR EACH ROW EXECUTE FUNCTION f()`}, "the trigger undo on client"},
		"a rule":      {[]string{`CREATE RULE forgets AS ON INSERT TO revocation DO INSTEAD NOTHING`}, "the rule forgets on revocation"},
		"a view":      {[]string{`ALTER TABLE client RENAME TO kept`, `CREATE VIEW client AS SELECT * FROM kept WHERE current_query() LIKE '%LIMIT%'`}, "client is not a table"},
		"policies":    {[]string{`ALTER TABLE revocation ENABLE ROW LEVEL SECURITY`}, "row security on revocation"},
		"inheritance": {[]string{`CREATE TABLE more () INHERITS (signing_keys)`}, "a table that inherits signing_keys"},
		"a constraint": {[]string{`CREATE FUNCTION g() RETURNS boolean LANGUAGE sql AS 'SELECT true'`, `ALTER TABLE account ADD CONSTRAINT calls CHECK (g())`},
			"the constraint calls on account"},
	} {
		t.Run(name, func(t *testing.T) {
			url := PostgresForTests.NewDatabase(t)
			d := startReplica(t, url, Options{})
			appendTo(t, 1, d)
			conn := connectTo(t, url)
			for _, statement := range altered.statements {
				mustExec(t, conn, statement)
			}
			checkAltered(t, d, func() (*DB, error) { return Open(t.Context(), url, Options{Now: time.Now, RowKey: d.rows}) }, altered.found)
		})
	}
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	appendTo(t, 1, d)
	conn := connectTo(t, url)
	mustExec(t, conn, `CREATE TABLE more (n BIGINT)`)
	mustExec(t, conn, `CREATE INDEX more_of_them ON revocation (until, issuer)`)
	if audit, err := d.Audit(t.Context()); err != nil || audit.Difference != "" {
		t.Errorf("further tables and indexes: %+v, %v", audit, err)
	}
}
