package daemon

import (
	"bytes"
	"database/sql"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/store"
)

// twoIssuers is a folder for a first start with the issuers plain and other, whose server
// has run once, and stopped. Each issuer has the clients bank and shop.
type twoIssuers struct {
	t          *testing.T
	file, path string            // the configuration and the store
	secrets    map[string]string // by client
}

func newTwoIssuers(t *testing.T) *twoIssuers {
	t.Helper()
	f := &twoIssuers{t: t, file: newFolder(t), secrets: map[string]string{}}
	f.path = filepath.Join(filepath.Dir(f.file), "moneyer.db")
	text, err := os.ReadFile(f.file)
	f.must(err)
	f.must(os.WriteFile(f.file, append(text, `[issuers.other]
url = "http://127.0.0.1:2/other"
profile = "oauth2"
resource_audience = "https://api.example"
`...), 0o600))
	s := newTestServer(t, f.file, io.Discard)
	for _, issuer := range s.snapshot.Issuers {
		for _, id := range []string{"bank", "shop"} {
			c := &registry.Client{Issuer: issuer.Name, ID: id, Created: time.Now().UTC()}
			_, text, err := c.NewSecret(issuer, s.Pepper(), registry.ClientSecret, time.Time{}, time.Now())
			f.must(err)
			f.secrets[issuer.Name+"/"+id] = text
			f.must(s.Store().PutClient(t.Context(), c, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Issuer: issuer.Name, Action: "client.add", Object: "clients/" + id}))
		}
	}
	f.stop(s)
	return f
}

func (f *twoIssuers) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *twoIssuers) stop(s *Server) {
	f.t.Helper()
	http.DefaultClient.CloseIdleConnections()
	f.must(s.Shutdown(f.t.Context()))
}

// alter changes one row of a store's file, as somebody does who may write it and has no
// master key.
func (f *twoIssuers) alter(path, statement string, args ...any) {
	f.t.Helper()
	n, err := f.exec(path, statement, args...).RowsAffected()
	if err != nil || n != 1 {
		f.t.Fatalf("%d rows altered, %v", n, err)
	}
}

func (f *twoIssuers) exec(path, statement string, args ...any) sql.Result {
	f.t.Helper()
	db, err := sql.Open("sqlite", path)
	f.must(err)
	result, err := db.ExecContext(f.t.Context(), statement, args...)
	f.must(err)
	f.must(db.Close())
	return result
}

// answer returns the status and the body of an answer.
func (f *twoIssuers) answer(resp *http.Response, err error) (int, string) {
	f.t.Helper()
	f.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	f.must(err)
	return resp.StatusCode, string(body)
}

func (f *twoIssuers) get(s *Server, path string) (int, string) {
	f.t.Helper()
	return f.answer(http.Get("http://" + s.Addr() + path))
}

// token asks for a token and returns the status and the body of the answer.
func (f *twoIssuers) token(s *Server, issuer, client string) (int, string) {
	f.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {f.secrets[issuer+"/"+client]}}
	return f.answer(http.PostForm("http://"+s.Addr()+"/"+issuer+"/oauth2/token", form))
}

const strangersKeys = `[{"issuer":"plain","kid":"stranger","alg":"ES256","uri":"file:/nowhere","jwk":{"kty":"EC","crv":"P-256",
	"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
	"announced_at":"2020-01-01T00:00:00Z","active_at":"2020-01-01T00:00:00Z","retired_at":"2020-01-02T00:00:00Z","removed_at":"2099-01-01T00:00:00Z"}]`

// TestForgedSigningKey: keys that do not verify are neither published nor sign, the other
// issuers go on, and /readyz names the issuer until the row is repaired. A copy of the store
// that was altered is treated the same.
func TestForgedSigningKey(t *testing.T) {
	for _, copied := range []bool{false, true} {
		f := newTwoIssuers(t)
		genuine := f.column(f.path, `SELECT document FROM signing_keys WHERE issuer = 'plain'`)
		if copied {
			f.viaBackup()
		}
		f.alter(f.path, `UPDATE signing_keys SET document = $1 WHERE issuer = 'plain'`, []byte(strangersKeys))
		var log bytes.Buffer
		s := newTestServer(t, f.file, &log)
		if status, body := f.get(s, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "issuer plain") {
			t.Errorf("/readyz: %d %s", status, body)
		}
		if status, body := f.get(s, "/plain/.well-known/jwks.json"); status != http.StatusOK || strings.Contains(body, "kid") {
			t.Errorf("keys that do not verify are published: %d %s", status, body)
		}
		if status, body := f.get(s, "/other/.well-known/jwks.json"); status != http.StatusOK || !strings.Contains(body, "kid") {
			t.Errorf("the keys of the other issuer: %d %s", status, body)
		}
		if status, body := f.token(s, "plain", "bank"); status < 500 {
			t.Errorf("a token of the issuer: %d %s", status, body)
		}
		if status, body := f.token(s, "other", "bank"); status != http.StatusOK {
			t.Errorf("a token of the other issuer: %d %s", status, body)
		}
		f.alter(f.path, `UPDATE signing_keys SET document = $1 WHERE issuer = 'plain'`, genuine) // beside the running server
		s.everyMinute(t.Context())
		if status, body := f.get(s, "/readyz"); status != http.StatusOK {
			t.Errorf("/readyz after a repair: %d %s", status, body)
		}
		if status, body := f.token(s, "plain", "bank"); status != http.StatusOK {
			t.Errorf("a token after a repair: %d %s", status, body)
		}
		f.stop(s)
		for _, want := range []string{"verify the signing keys of plain", "does not verify under the master key", "this works again",
			"signing key published for the first time by this process"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log.String())
			}
		}
		if strings.Contains(log.String(), "stranger") {
			t.Errorf("the stranger's key is in the log as published:\n%s", log.String())
		}
	}
}

// TestSwappedClient: a client that does not verify gets a 503, whose reason is in the log,
// and nobody else does.
func TestSwappedClient(t *testing.T) {
	f := newTwoIssuers(t)
	f.alter(f.path, `UPDATE client SET document = (SELECT document FROM client WHERE issuer = 'plain' AND id = 'bank') WHERE issuer = 'plain' AND id = 'shop'`)
	f.alter(f.path, `INSERT INTO client SELECT issuer, 'copy', revision, document, mac FROM client WHERE issuer = 'plain' AND id = 'bank'`)
	f.secrets["plain/copy"] = f.secrets["plain/bank"]
	var log bytes.Buffer
	s := newTestServer(t, f.file, &log)
	for _, id := range []string{"shop", "copy"} {
		if status, body := f.token(s, "plain", id); status != http.StatusServiceUnavailable || !strings.Contains(body, "temporarily_unavailable") {
			t.Errorf("a client that does not verify: %d %s", status, body)
		}
	}
	for _, who := range [][2]string{{"plain", "bank"}, {"other", "shop"}} {
		if status, body := f.token(s, who[0], who[1]); status != http.StatusOK {
			t.Errorf("%s: %d %s", who, status, body)
		}
	}
	f.stop(s)
	if !strings.Contains(log.String(), `client \"shop\" of issuer \"plain\" in the store does not verify`) {
		t.Errorf("the log does not say why:\n%s", log.String())
	}
}

// TestAlteredRevocation: the server starts, matches what can be read, and is not ready.
func TestAlteredRevocation(t *testing.T) {
	f := newTwoIssuers(t)
	s := newTestServer(t, f.file, io.Discard)
	r := &revocation.Revocation{Issuer: "plain", ID: "r", JTIs: []string{"a"}, Until: time.Now().Add(time.Hour).UTC(), Created: time.Now().UTC()}
	f.must(s.Store().PutRevocation(t.Context(), r, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Issuer: "plain", Action: "revoke", Object: "tokens/a"}))
	f.stop(s)
	f.alter(f.path, `UPDATE revocation SET document = CAST(replace(CAST(document AS TEXT), '"a"', '"b"') AS BLOB)`)
	s = newTestServer(t, f.file, io.Discard)
	defer f.stop(s)
	if status, body := f.get(s, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "revocations") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if err := s.revocations.Unverified(); err == nil {
		t.Error("the revocation verifies")
	}
}

// TestRegistrySetBack: a client that was disabled is enabled again by its earlier row, which
// verifies, and a revocation is deleted. The server is not ready until the store is as it was,
// and says so in the log. A copy that was altered is treated the same.
func TestRegistrySetBack(t *testing.T) {
	for _, copied := range []bool{false, true} {
		f := newTwoIssuers(t)
		row := func() []any {
			var row []any
			for _, column := range []string{"revision", "document", "mac"} {
				row = append(row, f.column(f.path, `SELECT `+column+` FROM client WHERE issuer = 'plain' AND id = 'bank'`))
			}
			return row
		}
		enabled := row()
		s := newTestServer(t, f.file, io.Discard)
		c, err := s.Store().Client(t.Context(), "plain", "bank")
		f.must(err)
		disabled := *c
		disabled.Disabled = true
		f.must(s.Store().PutClient(t.Context(), &disabled, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Issuer: "plain", Action: "client.disable", Object: "clients/bank"}))
		f.stop(s)
		if copied {
			f.viaBackup()
		}
		const put = `UPDATE client SET revision = CAST($1 AS INTEGER), document = $2, mac = $3 WHERE issuer = 'plain' AND id = 'bank'`
		was := row()
		f.alter(f.path, put, enabled...)
		var log bytes.Buffer
		s = newTestServer(t, f.file, &log)
		if status, body := f.get(s, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "not as the ledger records it") {
			t.Errorf("/readyz: %d %s", status, body)
		}
		f.alter(f.path, put, was...)
		if !s.auditRegistry(t.Context()) {
			t.Error("the registry is as it was, and differs")
		}
		if status, body := f.get(s, "/readyz"); status != http.StatusOK {
			t.Errorf("/readyz: %d %s", status, body)
		}
		f.stop(s)
		if !strings.Contains(log.String(), "a row of the registry was deleted, set back") || !strings.Contains(log.String(), "this works again") {
			t.Errorf("the log:\n%s", log.String())
		}
	}
}

// TestTriggerInARunningStore: a trigger that appears while the server runs makes it not ready with
// the next checkpoint, and not with the next comparison of all rows.
func TestTriggerInARunningStore(t *testing.T) {
	f := newTwoIssuers(t)
	s := newTestServer(t, f.file, io.Discard)
	f.exec(f.path, `CREATE TRIGGER undo AFTER UPDATE ON client BEGIN SELECT 1; END`)
	s.checkpoint(t.Context())
	for status := 0; status != http.StatusServiceUnavailable; {
		status, _ = f.get(s, "/readyz")
	}
	f.stop(s)
}

// TestOtherMasterKey: no signing keys verify, so the master key is another one.
func TestOtherMasterKey(t *testing.T) {
	f := newTwoIssuers(t)
	other, err := keyring.NewMasterKey()
	f.must(err)
	f.must(os.WriteFile(filepath.Join(filepath.Dir(f.file), "master.key"), []byte(other.Text()), 0o600))
	_, err = Start(t.Context(), Options{Load: func() (*config.Config, error) { return config.Load(f.file) }, Log: io.Discard, Version: "test", Now: time.Now})
	if err == nil || !strings.Contains(err.Error(), "master_key") {
		t.Errorf("started under another master key: %v", err)
	}
}

// column reads one value of a store's file.
func (f *twoIssuers) column(path, query string) (value []byte) {
	f.t.Helper()
	db, err := sql.Open("sqlite", path)
	f.must(err)
	f.must(db.QueryRowContext(f.t.Context(), query).Scan(&value))
	f.must(db.Close())
	return value
}

// viaBackup puts a copy of the store in its place.
func (f *twoIssuers) viaBackup() {
	f.t.Helper()
	copied := filepath.Join(f.t.TempDir(), "copy.db")
	_, err := store.Copy(f.t.Context(), "sqlite:"+f.path, "sqlite:"+copied, nil)
	f.must(err)
	f.must(os.Rename(copied, f.path))
}
