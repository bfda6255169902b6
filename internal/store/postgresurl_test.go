package store

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/pgtest"
	"moneyer/internal/rowauth/rowauthtest"
)

// TestNoSecretInAnError: errors about a URL show no password.
func TestNoSecretInAnError(t *testing.T) {
	for _, url := range []string{"postgres://moneyer:tresor@127.0.0.1/m", "postgres://moneyer:1/tresor@127.0.0.1/m", "postgres://moneyer@127.0.0.1/m?PASSWORD=tresor&sslmode=sometimes"} {
		_, err := Open(t.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
		if err == nil || strings.Contains(err.Error(), "tresor") || strings.Contains(err.Error(), "\n") {
			t.Errorf("what is told of it: %v", err)
		}
	}
}

// TestSocket opens a store through a socket in the file system.
func TestSocket(t *testing.T) {
	folder, err := os.MkdirTemp("", "moneyer-") //nolint:usetesting // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	server := ownServer(t, map[string]string{"unix_socket_directories": folder})
	_, port, _ := strings.Cut(server.Addr(), ":")
	d := startReplica(t, "postgres:///postgres?host="+folder+"&port="+port+"&user="+pgtest.User, Options{})
	appendTo(t, 2, d)
	checkWhole(t, d, 2)
}

// TestPoolIsBounded: no more connections read than the URL allows.
func TestPoolIsBounded(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url+"&pool_max_conns=2", Options{})
	conn := connectTo(t, url)
	const reader = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(0.2)'`
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			_ = d.reads.List(t.Context(), `SELECT pg_sleep(0.2)`, nil, func(func(...any) error) error { return nil })
		})
	}
	done := make(chan struct{})
	go func() { readers.Wait(); close(done) }()
	most := 0
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		n := 0
		if err := conn.QueryRow(t.Context(), reader).Scan(&n); err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
	}
	if most != 2 {
		t.Errorf("up to %d connections read, want 2", most)
	}
}
