package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func start(t *testing.T) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{Settings: map[string]string{"log_checkpoints": "off"}})
	Require(t, err)
	removed(t, s)
	return s
}

// removed checks that nothing of a server is left.
func removed(t *testing.T, s *Server) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.folder.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s stays: %v", s.folder.Path, err)
		}
		if s.Running() {
			t.Errorf("%s runs still", s.name)
		}
	})
}

func exec1(t *testing.T, s *Server, sql string) {
	t.Helper()
	if err := s.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, s *Server) int {
	t.Helper()
	n, err := query[int](t.Context(), s, "SELECT count(*) FROM number")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRestart(t *testing.T) {
	s := start(t)
	exec1(t, s, "CREATE TABLE number (n int)")
	addr := s.Addr()
	for n, end := range []func() error{s.Stop, s.Kill, func() error { return nil }} {
		exec1(t, s, fmt.Sprintf("INSERT INTO number VALUES (%d)", n))
		before := s.process.pid
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Addr() != addr || s.process.pid == before {
			t.Errorf("%s, process %d; before %s, process %d", s.Addr(), s.process.pid, addr, before)
		}
		if got := count(t, s); got != n+1 {
			t.Errorf("%d rows after %d restarts", got, n+1)
		}
	}
}

// TestKill: no process of a killed server is left when Kill returns.
func TestKill(t *testing.T) {
	s := start(t)
	all := append(children(s.process.pid), s.process.pid)
	if len(all) < 5 {
		t.Fatalf("PostgreSQL runs as processes %v: there should be more", all)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range all {
		if state, _ := status(pid); state != 0 && state != 'Z' {
			t.Errorf("process %d is %c", pid, state)
		}
	}
	if err := s.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a killed server answers")
	}
}

// TestFailover: commits of a quorum survive the loss of the primary, and the other servers follow
// the promoted standby.
func TestFailover(t *testing.T) {
	ctx := t.Context()
	primary := start(t)
	var standbys []*Server
	for _, name := range []string{"s1", "s2"} {
		s, err := primary.Standby(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		removed(t, s)
		standbys = append(standbys, s)
	}
	if err := primary.SetSync(ctx, 1, standbys...); err != nil {
		t.Fatal(err)
	}
	exec1(t, primary, "CREATE TABLE number (n int)")
	if err := standbys[0].Kill(); err != nil { // the other standby is enough for the quorum
		t.Fatal(err)
	}
	exec1(t, primary, "INSERT INTO number SELECT generate_series(1, 1000)")
	waits(t, primary, standbys[1])
	if err := standbys[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	exec1(t, primary, "INSERT INTO number SELECT generate_series(1, 1000)")

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	heir, err := Newest(ctx, standbys...)
	if err != nil {
		t.Fatal(err)
	}
	other := standbys[0]
	if heir == other {
		other = standbys[1]
	}
	if err := heir.Promote(ctx, 1, other, primary); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Server{other, primary} {
		if err := s.Follow(ctx, heir); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, heir); got < 2000 || got > 2001 {
		t.Errorf("%d rows after the failover, want 2000 or 2001", got)
	}
	if err := heir.SetSync(ctx, 2, other, primary); err != nil {
		t.Fatal(err)
	}
	exec1(t, heir, "INSERT INTO number VALUES (1)")
}

// waits checks that a commit waits for a standby while there is no other.
func waits(t *testing.T, primary, standby *Server) {
	t.Helper()
	if err := standby.Stop(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := primary.Exec(ctx, "INSERT INTO number VALUES (0)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit without a standby: %v", err)
	}
	if err := standby.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestShared(t *testing.T) {
	var shared Shared
	var url string
	t.Run("first", func(t *testing.T) {
		url = shared.NewDatabase(t)
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), "CREATE TABLE number (n int)"); err != nil {
			t.Error(err)
		}
		// The connection stays open, as in a failed test.
	})
	if url == "" {
		t.Skip("there is no server")
	}
	if c, err := pgx.Connect(t.Context(), url); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("the database of a test that ended: %v, %v", c, err)
	}
	t.Run("second", func(t *testing.T) {
		if second := shared.NewDatabase(t); second == url {
			t.Errorf("two tests got %s", url)
		}
	})
	folder := shared.server.folder.Path
	if err := shared.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}
