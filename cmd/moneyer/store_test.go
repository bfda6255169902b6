package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"moneyer/internal/pgtest"
)

// TestStoreMoves takes a server from its file to a database and back to another
// file, with backups of both.
func TestStoreMoves(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	pgtest.Require(t, err)
	t.Cleanup(func() {
		if err := server.Remove(); err != nil {
			t.Error(err)
		}
	})
	database := server.URL("postgres")
	i := install(t)
	p := i.serve()
	i.wantToken(600)
	p.stop()

	run := func(args ...string) string {
		t.Helper()
		p := begin(t, append([]string{"store"}, args...)...)
		if code := p.ended(); code != exitOK {
			t.Errorf("%v: exit code %d", args, code)
		}
		return p.output()
	}
	if out := run("copy", "--config", i.file, database); !strings.Contains(out, "copied and verified") {
		t.Error(out)
	}
	i.rewrite(strings.Replace(i.config(), "sqlite:moneyer.db", database, 1))
	p = i.serve()
	i.wantToken(600)
	i.does("client", "add", "later", "--scope", "pay")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^[A-Z2-7]+  ` + regexp.QuoteMeta(host) + ` +127\.0\.0\.1:\d+  development  \S+s ago +[+-]0\.\d{3} s$`)
	if out := run("status", "--config", i.file); strings.Count(out, "s ago") != 1 || !row.MatchString(out) {
		t.Error(out)
	}
	if out := run("status", "--config", i.file, "--json"); !strings.Contains(out, `"version": "development"`) || !strings.Contains(out, `"host": "`+host+`"`) {
		t.Error(out)
	}
	if out := run("check", "--config", i.file); !strings.Contains(out, "good  pooler") || !strings.Contains(out, "warn  standbys") {
		t.Error(out)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	if out := i.does("backup", file); !strings.Contains(out, "whole: entries 1 to ") {
		t.Errorf("the backup was not verified: %s", out)
	}
	checkPrivate(t, filepath.Dir(file), "backup.db")
	i.wantToken(600)
	p.stop()

	i.rewrite(strings.Replace(i.config(), "sqlite:moneyer.db", "sqlite:"+file, 1))
	i.restored("there is no note beside the store")
	p = i.serve()
	i.wantToken(600)
	i.does("client", "show", "later")
	i.does("ledger", "verify")
	p.stop()
}
