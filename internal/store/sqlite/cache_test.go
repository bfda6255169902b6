package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"modernc.org/sqlite"

	"moneyer/internal/store/engine"
)

// maxCache bounds the memory of the page caches of an open store and of a backup in progress, in
// MiB, which SQLite shares among its connections. It is outside of Go's heap. SQLite's allocator
// takes half as much again as the pages have.
const maxCache = (writeCache+(readConnections+1)*readCache+2*readCache)*8/5>>10 + 1

// TestPageCachesAreBounded: however much is read and written, SQLite keeps what operations.md
// says, and no more.
func TestPageCachesAreBounded(t *testing.T) {
	f := openNew(t)
	const rows, size = 6000, 4000 // 24 MB, which five connections read or write
	if err := (directly{f}).Change(t.Context(), func(exec engine.Exec) error {
		_, err := exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO use_up (key, until, sealed) SELECT randomblob(32), 0, zeroblob($2) FROM n`, rows, size)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var conns []*sql.Conn
	for range readConnections {
		conn, err := f.reads.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var read int
		if err := conn.QueryRowContext(t.Context(), `SELECT sum(length(sealed || '')) FROM use_up`).Scan(&read); err != nil || read != 0 {
			t.Fatalf("%d bytes, %v", read, err)
		}
		conns = append(conns, conn)
	}
	used := cacheUsed(t, f.keeper) + cacheUsed(t, f.session.conn)
	for _, conn := range conns {
		used += cacheUsed(t, conn)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if used > maxCache<<20 || used < writeCache<<9 {
		t.Errorf("the caches take %d MiB, want at most %d, and that they are in use", used>>20, maxCache)
	}
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("| page caches of SQLite | %d MiB", maxCache); !strings.Contains(string(text), want) {
		t.Errorf("operations.md lacks %q", want)
	}
}

func cacheUsed(t *testing.T, conn *sql.Conn) (n int) {
	t.Helper()
	err := conn.Raw(func(c any) (err error) {
		status, ok := c.(sqlite.DBStatus)
		if !ok {
			return errors.New("no status")
		}
		n, _, err = status.Status(sqlite.DBStatusCacheUsed, false)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
