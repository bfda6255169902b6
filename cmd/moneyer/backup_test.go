package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminclient"
	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
)

// TestBackup takes a backup of a server under load and restores it.
func TestBackup(t *testing.T) {
	t.Parallel()
	i := install(t)
	file := filepath.Join(t.TempDir(), "backup.db")
	for _, leftover := range []string{i.store() + ".copy", i.store() + ".copy.part", file + ".part"} { // of processes that were killed
		if err := os.WriteFile(leftover, []byte("half a copy"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := i.serve()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(i.token(i.byKey()).body), &body); err != nil {
		t.Fatal(err)
	}
	jti := jtiOf(body.Token)
	l := i.load()
	l.await(t, 50)

	if out := i.does("backup", file); !strings.Contains(out, "whole: entries 1 to ") {
		t.Errorf("the backup was not verified: %s", out)
	}
	l.await(t, 50)
	l.stop()
	checkPrivate(t, filepath.Dir(file), "backup.db")
	taken := readFile(t, file)
	if code, out := i.cli("backup", file); code != exitUsage || !strings.Contains(out, "is not overwritten") || readFile(t, file) != taken {
		t.Errorf("a second backup to the same file: exit code %d, %s", code, out)
	}
	if entries, err := filepath.Glob(i.store() + ".copy*"); err != nil || len(entries) > 0 {
		t.Errorf("the server left a copy: %v", entries)
	}
	v := begin(t, "ledger", "verify", "--store", file)
	if code := v.ended(); code != exitUnconfirmed { // without the key
		t.Errorf("exit code %d", code)
	}
	if names, err := os.ReadDir(filepath.Dir(file)); err != nil || len(names) != 1 {
		t.Errorf("beside the backup: %v", names)
	}

	i.does("client", "add", "later", "--scope", "pay")
	p.stop()
	if files, err := filepath.Glob(i.store() + "-*"); err != nil || len(files) > 0 {
		t.Errorf("a server that has stopped left %v", files)
	}
	replaceFile(t, i.store(), []byte(taken))
	i.restored("the store went back: it does not hold entry ")
	p = i.serve()
	i.wantToken(600)
	i.does("client", "show", "shop")
	if code, out := i.cli("client", "show", "later"); code != exitRefused {
		t.Errorf("a client that came after the backup: exit code %d, %s", code, out)
	}
	if out := i.does("ledger", "list", "--jti", jti); !strings.Contains(out, jti) {
		t.Errorf("the token from before is not in the ledger: %s", out)
	}
	if out := i.does("ledger", "list", "--kind", "admin"); strings.Count(out, "store.backup store by admin") != 1 {
		t.Errorf("the ledger does not record who made the backup: %s", out)
	}
	i.does("ledger", "verify")
	p.stop()
}

// TestBackupOfABrokenLedger: the copy is kept, and the exit code is 1.
// restored checks a store that was restored, as operations.md does it: a server accepts
// secrets and no assertion, those of administrators included, until the store is accepted.
func (i *installation) restored(why string) {
	i.t.Helper()
	p := i.serve()
	i.wantToken(600)
	if a := i.token(i.byKey()); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		i.t.Errorf("an assertion after a restore: %d %v %s", a.status, a.header, a.body)
	}
	if code, out := i.cli("client", "show", "shop"); code != exitUnavailable || !strings.Contains(out, "temporarily_unavailable") || !strings.Contains(out, "the server's log says why") {
		i.t.Errorf("an assertion after a restore: exit code %d, %s", code, out)
	}
	p.stop()
	if log := p.output(); !strings.Contains(log, "the store is not trusted") || !strings.Contains(log, why) || !strings.Contains(log, "moneyer store accept") {
		i.t.Errorf("the log does not say why:\n%s", log)
	}
	for _, step := range []struct {
		code int
		text string
		args []string
	}{
		{exitRefused, "assertions that end by ", nil}, {exitOK, "accepted, and recorded", []string{"--yes"}}, {exitOK, "nothing to accept", []string{"--yes"}},
	} {
		p := begin(i.t, append([]string{"store", "accept", "--config", i.file}, step.args...)...)
		if code := p.ended(); code != step.code || !strings.Contains(p.output(), step.text) {
			i.t.Errorf("store accept %v: exit code %d\n%s", step.args, code, p.output())
		}
	}
}

func TestBackupOfABrokenLedger(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	i.wantToken(600)
	p.stop()
	tamper(t, i.store())
	p = i.serve()
	file := filepath.Join(t.TempDir(), "backup.db")
	for _, args := range [][]string{{"backup", file}, {"backup", file + "2", "--json"}, {"ledger", "verify", "--store", file}} {
		if code, out := i.cli(args...); code != exitRefused || !strings.Contains(out, "changed") {
			t.Errorf("%v: exit code %d, %s", args, code, out)
		}
	}
	checkPrivate(t, filepath.Dir(file), "backup.db", "backup.db2")
	p.stop()
}

// TestBackupThatBreaksOff: an incomplete copy is removed.
func TestBackupThatBreaksOff(t *testing.T) {
	whole := wholeStore(t)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		code   int
		text   string
	}{
		"whole": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = w.Write(whole)
		}, exitOK, ""},
		"short":       {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "99999999"); _, _ = w.Write(whole) }, exitUnavailable, "ends early"},
		"empty":       {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "0") }, exitUnavailable, ""},
		"endless":     {func(w http.ResponseWriter) { w.(http.Flusher).Flush(); _, _ = w.Write(whole) }, exitUnavailable, "ends early"},
		"foreign":     {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, exitUnavailable, "not a database"},
		"refused":     {func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }, exitRefused, "not granted"},
		"busy":        {func(w http.ResponseWriter) { w.WriteHeader(http.StatusConflict) }, exitRefused, ""},
		"unavailable": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, exitUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/ledger/checkpoint-key") {
					_, _ = io.WriteString(w, `{"alg":"Ed25519","key":"4V9vZ3u0DTGoCvk1TWMSLQ-SScT5Z8Y8lka6P_mjJgY"}`)
					return
				}
				c.answer(w)
			}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "backup.db")
			var out bytes.Buffer
			o := &onboarding{app: &app{out: &out, now: time.Now}, api: adminclient.New("", adminclient.File{URL: server.URL}, server.Client())}
			err := o.backup(t.Context(), file)
			_, missing := os.Lstat(file)
			there := missing == nil
			if c.code == exitOK {
				if err != nil || !there {
					t.Errorf("%v, there: %t", err, there)
				}
				return
			}
			if err == nil || failureOf(err).code != c.code || !strings.Contains(err.Error(), c.text) || there {
				t.Errorf("%v, there: %t; want exit code %d, %q", err, there, c.code, c.text)
			}
		})
	}
}

// wholeStore is a store's file with one entry.
func wholeStore(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	var copied []byte
	withoutForks(func() {
		db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "store.db"), store.Options{Create: true, Now: time.Now, RowKey: rowauthtest.Key()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Append(t.Context(), &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := db.Backup(t.Context(), filepath.Join(dir, "copy.db")); err != nil {
			t.Fatal(err)
		}
		copied = []byte(readFile(t, filepath.Join(dir, "copy.db")))
	})
	return copied
}

// tamper changes the entries of the ledger directly in the file.
func tamper(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	result, err := db.ExecContext(t.Context(), `UPDATE ledger_batch SET marks = zeroblob(length(marks))`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatal(n, err)
	}
}

// TestCheckpoints: a server that stops leaves a checkpoint, whose signature can be
// verified with the public key.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	i := install(t)
	p := i.serve()
	i.wantToken(600)
	key := strings.TrimSpace(i.does("ledger", "key"))
	p.stop()
	const another = "4V9vZ3u0DTGoCvk1TWMSLQ-SScT5Z8Y8lka6P_mjJgY"
	p = i.serve()
	export := filepath.Join(t.TempDir(), "ledger.ndjson")
	if err := os.WriteFile(export, []byte(i.does("ledger", "export")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, where := range [][]string{{"--store", i.store()}, {"--file", export}, nil} {
		verify := func(args ...string) (int, string) {
			return i.cli(slices.Concat([]string{"ledger", "verify"}, where, args)...)
		}
		if code, out := verify("--checkpoint-key", key); code != exitOK || !strings.Contains(out, " checkpoints, signatures checked with key "+key) {
			t.Errorf("%v with the key: exit code %d, %s", where, code, out)
		}
		code, out := verify("--checkpoint-key", another)
		if where == nil && (code != exitUsage || !strings.Contains(out, key)) || where != nil && (code != exitRefused || !strings.Contains(out, "not by the checkpoint key")) {
			t.Errorf("%v with another key: exit code %d, %s", where, code, out)
		}
		if code, out := verify("--checkpoint-key", "x"); code != exitUsage || !strings.Contains(out, "32 bytes") {
			t.Errorf("%v with no key: exit code %d, %s", where, code, out)
		}
		want := exitUnconfirmed
		if where == nil {
			want = exitOK
		}
		if code, out := verify(); code != want || strings.Contains(out, "signatures not checked") == (where == nil) {
			t.Errorf("%v without a key: exit code %d, %s", where, code, out)
		}
	}
	if out := i.does("ledger", "list", "--kind", "checkpoint"); strings.Count(out, "heads ") < 2 {
		t.Errorf("a start and a stop left no checkpoints: %s", out)
	}
	if out := i.does("backup", filepath.Join(t.TempDir(), "backup.db")); !strings.Contains(out, "signatures checked with key "+key) {
		t.Errorf("the backup was verified without the key: %s", out)
	}
	p.stop()
}
