package postgres

import (
	"fmt"
	"os"
	"testing"

	"moneyer/internal/pgtest"
)

// server is that of this package's tests.
var server pgtest.Shared

func TestMain(m *testing.M) {
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func parsed(t *testing.T, url string) *URL {
	t.Helper()
	u, err := Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
