package postgres

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/pgtest"
	"moneyer/internal/store/engine"
)

// newChecker connects a checker to a database.
func newChecker(t *testing.T, url string) *checker {
	t.Helper()
	u := parsed(t, url)
	conn, _, err := u.dial(t.Context(), writeSettings())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &checker{url: u, now: time.Now, conn: conn}
}

// one returns the only finding of a check.
func (e *checker) one(t *testing.T, check func(context.Context) error) engine.Finding {
	t.Helper()
	e.Findings = nil
	if err := check(t.Context()); err != nil || len(e.Findings) != 1 {
		t.Fatalf("%+v, %v", e.Findings, err)
	}
	return e.Findings[0]
}

// TestCheckNamesWhatExists: every setting, function and table that a check reads or advises is
// one of PostgreSQL, of libpq, of pgbouncer or of this program.
func TestCheckNamesWhatExists(t *testing.T) {
	elsewhere := strings.Fields(`transaction_timeout
		pool_max_conns target_session_attrs
		pool_mode ignore_startup_parameters
		moneyer_check pg_hba`)
	reference, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), parsed(t, server.NewDatabase(t)), true, engine.Process{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	known := func(name string) bool {
		var there bool
		err := d.reads.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM pg_settings WHERE name = $1) OR EXISTS (SELECT FROM pg_proc WHERE proname = $1)
			OR EXISTS (SELECT FROM pg_class WHERE relname = $1) OR EXISTS (SELECT FROM pg_attribute WHERE attname = $1)
			OR EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, name).Scan(&there)
		if err != nil {
			t.Fatal(err)
		}
		return there || slices.Contains(elsewhere, name)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		if slices.Contains([]string{"check.go", "rights.go", "standbys.go", "wentback.go"}, file) {
			for _, text := range stringsOf(t, file) {
				for _, name := range regexp.MustCompile(`\b[a-z]+(_[a-z]+)+\b`).FindAllString(text, -1) {
					if checked++; !known(name) {
						t.Errorf("%s names %s, which is not there: %s", file, name, text)
					}
				}
				for _, setting := range regexp.MustCompile(`\b(ledger|limits|listen|admin)\.([a-z_]+)\b`).FindAllStringSubmatch(text, -1) {
					if checked++; !strings.Contains(string(reference), "`"+setting[2]+"`") {
						t.Errorf("%s names %s, which is no setting", file, setting[0])
					}
				}
			}
		}
	}
	if checked < 30 {
		t.Errorf("%d names were found", checked)
	}
}

// stringsOf returns the string literals of a file.
func stringsOf(t *testing.T, file string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text)
		}
		return true
	})
	return all
}

// TestCheckSnapshots finds an open transaction that holds vacuum back.
func TestCheckSnapshots(t *testing.T) {
	url := server.NewDatabase(t)
	e := newChecker(t, url)
	if f := e.one(t, e.snapshots); f.Level != engine.Good {
		t.Errorf("%+v", f)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class"} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	f := e.one(t, func(ctx context.Context) error { return e.snapshotsOlder(ctx, 0, oldXmin) })
	if want := strconv.Itoa(int(conn.PgConn().PID())); f.Level != engine.Warn || !strings.Contains(f.Found, "session "+want+" of ") {
		t.Errorf("%+v, want session %s", f, want)
	}
}

// TestCheckHistory finds a database that lost what it had acknowledged.
func TestCheckHistory(t *testing.T) {
	url := server.NewDatabase(t)
	e := newChecker(t, url)
	if err := e.wentBack(t.Context()); err != nil || len(e.Findings) != 0 {
		t.Errorf("without a schema: %+v, %v", e.Findings, err)
	}
	d, err := Open(t.Context(), parsed(t, url), true, engine.Process{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	run := func(sql string) {
		t.Helper()
		if _, err := e.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run(`INSERT INTO ledger_chain (id, holder, seq, hash) VALUES (0, '', 0, ''), (3, '', 3::bigint << 40 | 7, '')`)
	run(`CREATE TABLE part PARTITION OF ledger_batch DEFAULT`)
	run(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines) VALUES (3::bigint << 40 | 5, 3, 1, 1, '', '', '', '')`)
	run(`INSERT INTO replica (id, seen, acknowledged) VALUES ('a', now(), 3::bigint << 40 | 7), ('b', now(), 0)`)
	if f := e.one(t, e.wentBack); f.Level != engine.Good {
		t.Errorf("nothing is missing: %+v", f)
	}
	for fault, want := range map[string]string{
		`UPDATE replica SET acknowledged = 3::bigint << 40 | 9 WHERE id = 'a'`: "got entry 3-9 acknowledged, and the database ends at 3-7",
		`UPDATE ledger_chain SET seq = seq + 1 WHERE id = 3`:                   "the ledger ends at entry 3-7, and its chain at 3-8",
		`DELETE FROM ledger_batch`:                                             "the ledger ends at entry 3-0, and its chain at 3-7",
		`DELETE FROM ledger_chain WHERE id = 3`:                                "the chain of replica a is gone",
	} {
		run("BEGIN")
		run(fault)
		if f := e.one(t, e.wentBack); f.Level != engine.Bad || !strings.Contains(f.Found, want) {
			t.Errorf("%s: %+v, want %s", fault, f, want)
		}
		run("ROLLBACK")
	}
}

// TestCheckFrozenStandby: a standby that is connected and acknowledges nothing does not count.
func TestCheckFrozenStandby(t *testing.T) {
	primary, err := pgtest.Start(t.Context(), pgtest.Options{})
	pgtest.Require(t, err)
	t.Cleanup(func() { _ = primary.Remove() })
	standby, err := primary.Standby(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = standby.Remove() })
	if err := primary.SetSync(t.Context(), 1, standby); err != nil {
		t.Fatal(err)
	}
	e := newChecker(t, primary.URL("postgres"))
	if f := e.one(t, e.standbys); f.Level != engine.Warn || !strings.Contains(f.Found, "streaming") {
		t.Errorf("one of one: %+v", f)
	}
	their, err := pgx.Connect(t.Context(), standby.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var receiver int
	err = errors.Join(their.QueryRow(t.Context(), `SELECT pid FROM pg_stat_wal_receiver`).Scan(&receiver), their.Close(t.Context()))
	if err == nil {
		err = syscall.Kill(receiver, syscall.SIGSTOP)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(receiver, syscall.SIGCONT) })
	if err := primary.Exec(t.Context(), `SET synchronous_commit = local; CREATE TABLE something (n INT)`); err != nil {
		t.Fatal(err)
	}
	if f := e.one(t, e.standbys); f.Level != engine.Bad || !strings.Contains(f.Found, "frozen") {
		t.Errorf("frozen: %+v", f)
	}
}

// TestCheckSession: a proxy may drop what a session asks for.
func TestCheckSession(t *testing.T) {
	u := parsed(t, server.NewDatabase(t))
	for level, settings := range map[engine.Level]map[string]string{engine.Good: writeSettings(), engine.Bad: nil} {
		conn, _, err := u.dial(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		e := &checker{url: u, now: time.Now, conn: conn}
		if err := errors.Join(e.sessionSettings(t.Context()), conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if len(e.Findings) != 1 || e.Findings[0].What != "session" || e.Findings[0].Level != level {
			t.Errorf("%+v, want it %s", e.Findings, level)
		}
	}
}

func TestCheckStandbys(t *testing.T) {
	at := func(name, state, sync string) standby { return standby{name: name, state: state, sync: sync} }
	for _, c := range []struct {
		names string
		all   []standby
		want  engine.Level
	}{
		{"ANY 1 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "streaming", "quorum")}, engine.Good},
		{"ANY 1 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "catchup", "quorum")}, engine.Warn},
		{"any 2 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "streaming", "quorum")}, engine.Warn},
		{"ANY 2 (a, b)", []standby{at("a", "streaming", "quorum")}, engine.Bad},
		{" FIRST 1 (a, b)", []standby{at("a", "streaming", "sync"), at("b", "streaming", "potential")}, engine.Good},
		{"2 (a, b)", []standby{at("a", "streaming", "sync"), at("x", "streaming", "async")}, engine.Bad},
		{"a, b", []standby{at("a", "streaming", "sync"), at("b", "streaming", "potential")}, engine.Good},
		{"a", nil, engine.Bad},
		{"*", []standby{at("walreceiver", "streaming", "sync")}, engine.Warn},
	} {
		var e checker
		e.judgeStandbys(c.names, c.all)
		if e.Findings[0].Level != c.want {
			t.Errorf("%s: %+v, want %s", c.names, e.Findings, c.want)
		}
	}
}
