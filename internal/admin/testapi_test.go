package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/internal/admin"
	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store"
	"moneyer/profile"
)

// start is when every test begins.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const both = adminapi.ScopeRead + " " + adminapi.ScopeWrite

// testAPI is the admin API on loopback with a real store and keyring.
type testAPI struct {
	t       testing.TB
	url     string // of the API, with its prefix
	api     *admin.API
	file    string // of the store
	db      *store.DB
	keys    *keyring.Keyring
	issuers []*registry.Issuer
	log     *logBuffer
	moved   atomic.Int64
	token   string // with both scopes, of client "operator"
}

func (w *testAPI) now() time.Time { return start.Add(time.Duration(w.moved.Load())) }

// wait lets time pass.
func (w *testAPI) wait(d time.Duration) { w.moved.Add(int64(d)) }

// newTestAPI starts one. change may replace parts before it starts.
func newTestAPI(t testing.TB, change ...func(*testAPI)) *testAPI {
	t.Helper()
	w := &testAPI{t: t, log: &logBuffer{}}
	for name, profileName := range map[string]string{"admin": "oauth2", "plain": "oauth2", "d1": "thales-d1", "bolt": "boltpay", "etp": "thales-etp"} {
		w.issuers = append(w.issuers, newIssuer(t, name, profileName))
	}
	slices.SortFunc(w.issuers, func(a, b *registry.Issuer) int { return strings.Compare(a.Name, b.Name) })
	w.file = filepath.Join(t.TempDir(), "test.db")
	db, err := store.Open(t.Context(), "sqlite:"+w.file, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: w.now})
	must(t, err)
	t.Cleanup(func() { must(t, w.db.Close()) })
	w.db = db
	master, err := keyring.NewMasterKey()
	must(t, err)
	w.keys = &keyring.Keyring{Store: db, Master: master, Issuers: map[string]keyring.Settings{}, Now: w.now}
	for _, issuer := range w.issuers {
		w.keys.Issuers[issuer.Name] = keyring.Settings{Alg: jose.ES256, Typ: issuer.Profile.Policy.Token.Typ, Keep: time.Hour}
	}
	must(t, w.keys.Load(t.Context()))
	must(t, w.keys.Rotate(t.Context()))
	w.api = &admin.API{
		Issuers: func() []*registry.Issuer { return w.issuers },
		Clients: db, Accounts: db, Ledger: db, Revocations: db, Keyring: w.keys,
		Verify: func(ctx context.Context, noted []ledger.Head) (ledger.VerifyReport, error) {
			return db.Verify(ctx, master.CheckpointKey(), noted...)
		},
		CheckpointKey: master.CheckpointKey(),
		Authority: &authority.Authority{Registry: db, Ledger: db, Keyring: w.keys, Pepper: master.Pepper(), Now: w.now,
			ClientRate: overload.NewLimiter[authority.ClientName](overload.Rate{}, 1), Refusals: authority.NewRefusals(db, overload.Rate{}),
			Revocations: authority.NewRevocations(db)},
		Verifier: &bearer.Verifier{Issuer: "https://admin.example", Audience: []string{"https://admin.example/api"}, Now: w.now,
			Keys: bearer.KeyFunc(w.verificationKey)},
		Admission: overload.NewAdmission(overload.Default()),
		Pepper:    master.Pepper(), Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: w.now,
	}
	for _, c := range change {
		c(w)
	}
	server := httptest.NewServer(w.api.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL + adminapi.Prefix
	w.token = w.mint("operator", both, time.Hour)
	return w
}

func newIssuer(t testing.TB, name, profileName string) *registry.Issuer {
	t.Helper()
	found, err := profile.Builtin(profileName)
	p := found.Definition()
	must(t, err)
	return &registry.Issuer{Name: name, URL: "https://" + name + ".example", Profile: p, Environment: "test",
		ResourceAudience: "https://api.example", TokenLifetime: 10 * time.Minute, Replay: platform.ReplayOnce, Alg: "ES256"}
}

func (w *testAPI) verificationKey(ctx context.Context, kid string) (bearer.Key, error) {
	set, err := w.keys.JWKS("admin", w.now())
	if err != nil {
		return bearer.Key{}, err
	}
	keys, err := bearer.ParseKeys(set.Body)
	if err != nil {
		return bearer.Key{}, err
	}
	return keys.Key(ctx, kid)
}

// mint makes an access token for the admin API.
func (w *testAPI) mint(client, scope string, life time.Duration) string {
	w.t.Helper()
	signer, err := w.keys.Signer("admin", w.now())
	must(w.t, err)
	claims := fmt.Sprintf(`{"iss":"https://admin.example","sub":%q,"client_id":%[1]q,"aud":"https://admin.example/api","scope":%q,"iat":%d,"exp":%d,"jti":"x"}`,
		client, scope, w.now().Unix(), w.now().Add(life).Unix())
	token, err := signer.Sign(nil, []byte(claims))
	must(w.t, err)
	return string(token)
}

// send sends a request with the operator's token.
func (w *testAPI) send(method, path, mediaType string, body io.Reader) *http.Response {
	w.t.Helper()
	return w.sendAs(w.token, method, path, mediaType, body)
}

func (w *testAPI) sendAs(token, method, path, mediaType string, body io.Reader) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	must(w.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	w.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// request makes a request of the operator with JSON.
func (w *testAPI) request(method, path, body string) *http.Request {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// do sends JSON, checks the status, and returns the response.
func (w *testAPI) do(method, path, body string, status int) string {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	resp := w.send(method, path, "application/json", in)
	data, err := io.ReadAll(resp.Body)
	must(w.t, err)
	if resp.StatusCode != status {
		w.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, resp.StatusCode, status, data)
	}
	return string(data)
}

// get reads an answer into a T.
func get[T any](w *testAPI, path string) (v T) {
	w.t.Helper()
	decode(w.t, w.do("GET", path, "", 200), &v)
	return v
}

// refused checks for a status and a description that contains all of texts.
func (w *testAPI) refused(method, path, body string, status int, texts ...string) {
	w.t.Helper()
	var f adminapi.Failure
	decode(w.t, w.do(method, path, body, status), &f)
	for _, text := range texts {
		if !strings.Contains(f.Description, text) {
			w.t.Errorf("%s %s %s: the description is %q, want %q in it", method, path, body, f.Description, text)
		}
	}
	if f.Code == "" {
		w.t.Errorf("%s %s: no error code", method, path)
	}
}

// entries reads the admin entries of the operator.
func (w *testAPI) entries() (found []ledger.Entry) {
	w.t.Helper()
	for line := range strings.Lines(w.do("GET", "/ledger?kind=admin", "", 200)) {
		r, err := ledger.ParseRecord([]byte(strings.TrimSuffix(line, "\n")))
		must(w.t, err)
		e, err := r.Entry()
		must(w.t, err)
		if e.Actor == "operator" {
			found = append(found, *e)
		}
	}
	return found
}

// publicPEM makes a key pair and returns the public half.
func publicPEM(t testing.TB, alg jose.Alg) string {
	t.Helper()
	_, pem := keyPair(t, alg)
	return pem
}

func keyPair(t testing.TB, alg jose.Alg) (*jose.Signer, string) {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	must(t, err)
	signer, err := jose.NewSigner(key, alg, "k1", "")
	must(t, err)
	return signer, string(signer.Public().PEM())
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

func decode(t testing.TB, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("the answer %q: %v", text, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logBuffer is a log that many may write.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
