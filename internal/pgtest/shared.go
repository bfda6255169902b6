package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

// A Shared is one server for all tests of a package. The zero value is ready; the server is started
// on first use and removed with the test binary.
//
// It is not durable: for speed it never waits for the disk.
type Shared struct {
	mu      sync.Mutex
	server  *Server
	missing error
	made    int
}

// NewDatabase creates an empty database for a test and returns its URL; it is dropped after the
// test. If PostgreSQL is missing the test is skipped, or fails if MONEYER_REQUIRE_ALL=1.
func (s *Shared) NewDatabase(tb testing.TB) string {
	tb.Helper()
	server, number := s.start(tb)
	name := fmt.Sprint("test", number)
	if err := server.Exec(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The test's own context has ended.
		if err := server.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	return server.URL(name)
}

func (s *Shared) start(tb testing.TB) (server *Server, number int) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil && s.missing == nil {
		// The server outlives the first test.
		s.server, s.missing = Start(context.Background(), Options{Settings: map[string]string{
			"fsync": "off", "full_page_writes": "off", "max_connections": "300",
		}})
	}
	Require(tb, s.missing)
	s.made++
	return s.server, s.made
}

// Close removes the server, if there is one.
func (s *Shared) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.Remove()
	s.server = nil
	return err
}

// Require fails a test with an error of Start, or skips it if that is [ErrMissing] and
// MONEYER_REQUIRE_ALL=1 is not set.
func Require(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("MONEYER_REQUIRE_ALL") != "1" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}
