package store

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// found returns what was found of one thing.
func found(t *testing.T, all []Finding, what string) Finding {
	t.Helper()
	for _, f := range all {
		if f.What == what {
			return f
		}
	}
	t.Errorf("nothing was said of %s: %+v", what, all)
	return Finding{}
}

func wantFindings(t *testing.T, all []Finding, want map[string]Level) {
	t.Helper()
	for what, level := range want {
		if f := found(t, all, what); f.Level != level || (f.Advice == "") != (level == Good) || f.Found == "" {
			t.Errorf("%+v, want it %s", f, level)
		}
	}
}

func checked(t *testing.T, url string, now func() time.Time) []Finding {
	t.Helper()
	all, err := Check(t.Context(), url, now)
	must(t, err)
	return all
}

// TestCheckDatabase: the tests' server writes nothing to the disk, has no standbys,
// and lets everybody be superuser.
func TestCheckDatabase(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	wantFindings(t, checked(t, database, time.Now), map[string]Level{"schema": Good, "rights": Warn})
	d := openURL(t, database)
	fill(t, d, 2)
	all := checked(t, database, time.Now)
	wantFindings(t, all, map[string]Level{
		"server": Good, "primary": Good, "TLS": Good, "fsync": Bad, "full_page_writes": Bad, "synchronous_commit": Good, "standbys": Warn,
		"clock": Good, "server_encoding": Good, "default_transaction_isolation": Good, "max_connections": Good,
		"session": Good, "pooler": Good, "notifications": Good, "schema": Good, "replicas": Warn, "partitions": Good, "rights": Warn,
	})
	openURL(t, database)
	wantFindings(t, checked(t, database, time.Now), map[string]Level{"replicas": Good})
	wantFindings(t, checked(t, database, func() time.Time { return time.Now().Add(time.Second) }), map[string]Level{"clock": Warn})
	wantFindings(t, checked(t, database, func() time.Time { return time.Now().Add(-time.Minute) }), map[string]Level{"clock": Bad})
}

// TestCheckRole: settings and rights of the role are seen.
func TestCheckRole(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	must(t, openURL(t, database).Close())
	must(t, do(t, database, `CREATE ROLE poor LOGIN; ALTER ROLE poor SET default_transaction_isolation = 'serializable';
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO poor; REVOKE DELETE ON use_up FROM poor`))
	t.Cleanup(func() { _ = do(t, database, `DROP OWNED BY poor; DROP ROLE poor`) })
	u, err := url.Parse(database)
	must(t, err)
	u.User = url.User("poor")
	all := checked(t, u.String(), time.Now)
	wantFindings(t, all, map[string]Level{"rights": Bad, "default_transaction_isolation": Warn})
	for _, lack := range []string{"CREATE in the schema public", "DELETE on use_up", "ownership of ledger_batch"} {
		if text := found(t, all, "rights").Found; !strings.Contains(text, lack) {
			t.Errorf("%s: want %s", text, lack)
		}
	}
	must(t, do(t, database, `ALTER ROLE poor RESET ALL; GRANT CREATE ON SCHEMA public TO poor; GRANT DELETE ON use_up TO poor; ALTER TABLE ledger_batch OWNER TO poor`))
	wantFindings(t, checked(t, u.String(), time.Now), map[string]Level{"rights": Good, "default_transaction_isolation": Good})
}

func do(t *testing.T, database, script string) error {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), database)
	if err != nil {
		return err
	}
	_, err = conn.PgConn().Exec(context.Background(), script).ReadAll()
	return errors.Join(err, conn.Close(context.Background()))
}

func TestCheckUnreachable(t *testing.T) {
	wantFindings(t, checked(t, "postgres://127.0.0.1:1/moneyer?sslmode=disable", time.Now), map[string]Level{"connection": Bad})
	for _, url := range []string{"mysql:x", "sqlite:" + t.TempDir() + "/missing", "postgres://db.example/moneyer?sslmode=disable"} {
		if all, err := Check(t.Context(), url, time.Now); err == nil {
			t.Errorf("%s: %+v", url, all)
		}
	}
}

func TestCheckFile(t *testing.T) {
	store := newFile(t)
	path := strings.TrimPrefix(store, "sqlite:")
	d := openURL(t, store)
	fill(t, d, 200)
	wantFindings(t, checked(t, store, time.Now), map[string]Level{"file": Good, "schema": Good, "pages": Warn})
	must(t, d.Close())
	wantFindings(t, checked(t, store, time.Now), map[string]Level{"file": Good, "schema": Good, "pages": Good, "references": Good})

	must(t, os.Chmod(path, 0o640))
	wantFindings(t, checked(t, store, time.Now), map[string]Level{"file": Bad})
	must(t, os.Chmod(path, 0o600))
	text, err := os.ReadFile(path)
	must(t, err)
	for i := len(text) / 2; i < len(text)/2+9000; i++ {
		text[i] ^= 0x55
	}
	must(t, os.WriteFile(path, text, 0o600))
	wantFindings(t, checked(t, store, time.Now), map[string]Level{"pages": Bad})

	cut, to := "sqlite:"+filepath.Join(t.TempDir(), "from.db"), newFile(t)
	must(t, openURL(t, cut).Close())
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Copy(ctx, cut, to, func(string, int64, int64) { cancel() }); err == nil {
		t.Fatal("not cut")
	}
	wantFindings(t, checked(t, to, time.Now), map[string]Level{"schema": Bad})
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, []byte(strings.Repeat("no database ", 100)), 0o600))
	wantFindings(t, checked(t, "sqlite:"+other, time.Now), map[string]Level{"schema": Bad})
}

func TestStatus(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	must(t, openURL(t, database).Close())
	if s, err := ReadStatus(t.Context(), database); err != nil || len(s.Replicas) != 0 {
		t.Errorf("replicas that are gone: %+v, %v", s.Replicas, err)
	}
	empty, err := ReadStatus(t.Context(), PostgresForTests.NewDatabase(t))
	if err != nil || empty.Version != 0 || empty.Known == 0 {
		t.Errorf("%+v, %v", empty, err)
	}
	for _, store := range []string{database, newFile(t)} {
		d := openURL(t, store)
		fill(t, d, 5)
		s, err := ReadStatus(t.Context(), store)
		if err != nil || s.Version != s.Known || s.Oldest == 0 || s.Unfinished || len(s.Chains) != 1 || s.Chains[0].Seq < 5 || s.Bytes < 8192 {
			t.Errorf("%+v, %v", s, err)
		}
		if !IsPostgres(store) {
			continue
		}
		if len(s.Replicas) != 1 || s.Replicas[0].ID != s.Chains[0].Holder || s.Replicas[0].HeartbeatAge > time.Minute || len(s.Sizes) == 0 || strings.Contains(s.Name, "sslmode") {
			t.Errorf("%+v", s)
		}
	}
	for _, store := range []string{"mysql:x", "sqlite:" + t.TempDir() + "/missing"} {
		if s, err := ReadStatus(t.Context(), store); err == nil {
			t.Errorf("%s: %+v", store, s)
		}
	}
}
