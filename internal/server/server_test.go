package server_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/bearer"
	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/server"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// noon is where every clock of these tests begins.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock stands still until it is moved.
type clock struct{ since atomic.Int64 }

func (c *clock) Now() time.Time           { return noon.Add(time.Duration(c.since.Load())) }
func (c *clock) Advance(by time.Duration) { c.since.Add(int64(by)) }

// faults is the store with two switches. What is down answers with an error.
type faults struct {
	*store.DB
	registryDown, ledgerDown atomic.Bool
}

var errDown = errors.New("switched off by the test")

func (f *faults) FindClient(ctx context.Context, issuer, id string) (*registry.Client, bool, error) {
	if f.registryDown.Load() {
		return nil, true, errDown
	}
	return f.DB.FindClient(ctx, issuer, id)
}

func (f *faults) FindClientByDigest(ctx context.Context, issuer string, d registry.Digest) (*registry.Client, bool, error) {
	if f.registryDown.Load() {
		return nil, true, errDown
	}
	return f.DB.FindClientByDigest(ctx, issuer, d)
}

func (f *faults) Account(ctx context.Context, issuer, id string) (*registry.Account, error) {
	if f.registryDown.Load() {
		return nil, errDown
	}
	return f.DB.Account(ctx, issuer, id)
}

func (f *faults) PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error {
	if f.ledgerDown.Load() {
		return errDown
	}
	return f.DB.PutRevocation(ctx, r, e)
}

func (f *faults) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if f.ledgerDown.Load() {
		return errDown
	}
	return f.DB.Append(ctx, e, consumed...)
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Reset()
}

// testServer is the real thing: SQLite, keyring, authority and server, over TLS, with
// a clock that stands still.
type testServer struct {
	clock
	setup     *setup
	pepper    registry.Pepper
	store     *faults
	keyring   *keyring.Keyring
	admission *overload.Admission
	authority *authority.Authority
	// refusals wait here for the ledger until they are flushed.
	refusals *authority.Refusals
	log      buffer
	// written is the budget of refusals in the log; zero means plenty.
	written overload.Rate
	handler http.Handler
	client  *http.Client
	notice  atomic.Pointer[error] // what /readyz complains of
	// verifiers judge tokens by the keys that the server publishes.
	verifiers map[string]*bearer.Verifier
}

const maxInFlight = 4

// open builds what the setup says.
func (s *setup) open(t testing.TB) *testServer {
	t.Helper()
	h := &testServer{setup: s, verifiers: map[string]*bearer.Verifier{}}
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "moneyer.db"), store.Options{Create: true, RowKey: rowauthtest.Key(), Now: h.Now})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	h.store = &faults{DB: db}
	master, err := keyring.NewMasterKey()
	must(t, err)
	s.register(t, db, master.Pepper())
	h.openKeys(t, master)
	h.pepper = master.Pepper()
	h.serve(t)
	return h
}

func (h *testServer) openKeys(t testing.TB, master *keyring.MasterKey) {
	t.Helper()
	h.keyring = &keyring.Keyring{Store: h.store, Master: master, Issuers: map[string]keyring.Settings{}, Now: h.Now, Log: slog.New(slog.NewJSONHandler(&h.log, nil))}
	for _, issuer := range h.setup.issuers {
		if !issuer.keyless {
			h.keyring.Issuers[issuer.Name] = keyring.Settings{Alg: jose.Alg(issuer.Alg), Typ: issuer.Profile.Policy.Token.Typ, Announce: time.Hour, Keep: time.Hour}
		}
	}
	must(t, h.keyring.Load(t.Context()))
	for name := range h.keyring.Issuers {
		must(t, h.keyring.Ensure(t.Context(), name))
	}
}

// serve starts the server. Called once more, it starts another on the same store.
func (h *testServer) serve(t testing.TB) {
	t.Helper()
	log := slog.New(slog.NewJSONHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	plenty := overload.Rate{PerSecond: 1e6, Burst: 1e6}
	written := h.written
	if written.PerSecond == 0 {
		written = plenty
	}
	h.refusals = authority.NewRefusals(h.store, plenty)
	h.authority = &authority.Authority{
		Registry: h.store, Ledger: h.store, Keyring: h.keyring, Pepper: h.pepper,
		ClientRate: overload.NewLimiter[authority.ClientName](h.setup.clientRate, 1000),
		Refusals:   h.refusals, Revocations: authority.NewRevocations(h.store), Now: h.Now,
	}
	limits := overload.Default()
	limits.AddressRate, limits.Readers, limits.AtWork, limits.RequestTime = h.setup.addressRate, 1000, maxInFlight, time.Minute
	h.admission = overload.NewAdmission(limits)
	h.admission.TrustedProxies = h.setup.proxies
	s := &server.Server{
		Authority: h.authority, Keyring: h.keyring, Admission: h.admission, Ready: h.ready, Refused: server.NewRefusalLog(log, written),
		Observe: func(string, string, oauth.Code, time.Duration) {}, Now: h.Now,
		Certificates: h.setup.certificates,
	}
	for _, issuer := range h.setup.issuers {
		s.Issuers = append(s.Issuers, &issuer.Issuer)
		must(t, h.authority.Revocations.Load(t.Context(), []string{issuer.Name}))
	}
	var err error
	h.handler, err = s.Handler()
	must(t, err)
	front := httptest.NewUnstartedServer(h.handler)
	if h.setup.certificates != nil {
		front.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	}
	front.StartTLS()
	t.Cleanup(front.Close)
	h.client = front.Client() // leads every host below example.com to the server
	for _, issuer := range h.setup.issuers {
		v := &bearer.Verifier{Issuer: issuer.URL, Audience: []string{issuer.ResourceAudience}, Typ: []string{issuer.Profile.Policy.Token.Typ},
			RequiredClaims: []string{"iat", "jti"}, Now: h.Now,
			Keys: &bearer.RemoteKeys{Issuer: issuer.URL, HTTPClient: h.client, Now: h.Now}}
		if issuer.Profile.Policy.Token.Claim("aud").From == platform.SourceClient {
			v.Audience, v.AnyAudience = nil, true
		}
		h.verifiers[issuer.URL] = v
	}
}

func (h *testServer) ready(context.Context) error {
	if err := h.notice.Load(); err != nil {
		return *err
	}
	return nil
}

// entries reads the ledger.
func (h *testServer) entries(t testing.TB) []*ledger.Record {
	t.Helper()
	var all []*ledger.Record
	must(t, h.store.Entries(context.Background(), ledger.Query{}, func(r *ledger.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

// keyPool makes each key once in the life of the test binary: RSA takes long.
var keyPool = struct {
	sync.Mutex
	keys map[string]crypto.Signer
}{keys: map[string]crypto.Signer{}}

func keyOf(t testing.TB, name, alg string) crypto.Signer {
	t.Helper()
	keyPool.Lock()
	defer keyPool.Unlock()
	id := alg + " " + name
	if keyPool.keys[id] == nil {
		key, err := assertion.GenerateKey(alg)
		must(t, err)
		keyPool.keys[id] = key
	}
	return keyPool.keys[id]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
