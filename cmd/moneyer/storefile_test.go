package main

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestStoreFileIsReplaced: a server whose file is moved away says so without any load, gives out
// no token, and goes on after a restart where the file is back, with everything that it had
// acknowledged.
func TestStoreFileIsReplaced(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	i.wantToken(600)
	i.gets(i.admin, "/readyz", http.StatusOK)
	if err := os.Rename(i.store(), i.store()+".moved"); err != nil {
		t.Fatal(err)
	}
	p.await("nothing more is recorded until a restart")
	i.gets(i.admin, "/readyz", http.StatusServiceUnavailable)
	if a := i.get(i.admin, "/metrics"); !strings.Contains(a.body, "\nmoneyer_store_up 0\n") {
		t.Error("moneyer_store_up is not 0")
	}
	if a := i.token(i.bySecret()); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s, want no token", a.status, a.body)
	}
	if err := os.Rename(i.store()+".moved", i.store()); err != nil {
		t.Fatal(err)
	}
	if a := i.token(i.bySecret()); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s, want no token before a restart", a.status, a.body)
	}
	p.signal(syscall.SIGTERM)
	if code := p.ended(); code == exitOK { // it could not write what it does at a stop
		t.Error("exit code 0")
	}
	p = i.serve()
	i.wantToken(600)
	if out := i.does("ledger", "list", "--kind", "token", "--issuer", "plain", "--json"); strings.Count(out, `"kind": "token"`) != 2 {
		t.Errorf("want both tokens in the ledger: %s", out)
	}
	p.stop()
}
