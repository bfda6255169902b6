package admin_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
)

func TestBackup(t *testing.T) {
	copied := filepath.Join(t.TempDir(), "copy.db")
	var fail error
	w := newTestAPI(t, func(w *testAPI) {
		w.api.Backup = func(ctx context.Context) (*os.File, error) {
			if fail != nil {
				return nil, fail
			}
			if err := w.db.Backup(ctx, copied); err != nil {
				return nil, err
			}
			return os.Open(copied)
		}
	})
	ask := func(token, query string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/backup"+query, nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp, body
	}
	for name, c := range map[string]struct {
		token, query string
		status       int
	}{
		"read-only token": {w.mint("reader", adminapi.ScopeRead, time.Hour), "", http.StatusForbidden},
		"a stranger":      {"nonsense", "", http.StatusUnauthorized},
		"a parameter":     {w.token, "?to=elsewhere", http.StatusBadRequest},
	} {
		if resp, body := ask(c.token, c.query); resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if _, err := os.Stat(copied); err == nil {
		t.Error("a copy was made for a caller without the scope")
	}

	resp, body := ask(w.token, "")
	if resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(body)) || resp.Header.Get("Content-Type") != "application/vnd.sqlite3" {
		t.Errorf("%d, %d bytes of %d, %v", resp.StatusCode, len(body), resp.ContentLength, resp.Header)
	}
	received := filepath.Join(t.TempDir(), "received.db")
	must(t, os.WriteFile(received, body, 0o600))
	report, err := store.VerifyFile(t.Context(), received, nil)
	if err != nil || report.Broken != 0 || report.Last == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	whole, err := store.Open(t.Context(), "sqlite:"+received, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: w.now})
	must(t, err)
	defer func() { must(t, whole.Close()) }()
	told := false
	must(t, whole.Entries(t.Context(), ledger.Query{Kind: ledger.KindAdmin}, func(r *ledger.Record) error {
		told = told || strings.Contains(string(r.Line), `"actor":"operator","action":"store.backup","object":"store"`)
		return nil
	}))
	if !told {
		t.Error("the copy does not record who made it")
	}

	fail = fmt.Errorf("backup: %w", fs.ErrExist)
	if resp, body := ask(w.token, ""); resp.StatusCode != http.StatusConflict {
		t.Errorf("while another copy is made: %d %s", resp.StatusCode, body)
	}
	fail = fmt.Errorf("disk full at /secret/path")
	if resp, body := ask(w.token, ""); resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "secret") {
		t.Errorf("no copy can be made: %d %s", resp.StatusCode, body)
	}
}
