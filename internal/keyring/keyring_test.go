package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

var _ authority.Keyring = (*keyring.Keyring)(nil)

// start is the initial time of the test clocks.
var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

const issuer = "d1"

// memory is a Store.
type memory struct {
	mu      sync.Mutex
	keys    map[string]registry.SigningKeys
	entries []ledger.Entry
	// puts is called before each Put, without the lock, and reads after each read.
	puts, reads func()
	// reads and writes fail with these errors.
	readErr, writeErr error
}

func (m *memory) SigningKeys(_ context.Context, issuer string) (registry.SigningKeys, error) {
	if m.reads != nil {
		defer m.reads()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := m.keys[issuer]
	return registry.SigningKeys{Issuer: issuer, Revision: keys.Revision, Keys: stored(keys.Keys)}, m.readErr
}

func (m *memory) PutSigningKeys(_ context.Context, keys registry.SigningKeys, e *ledger.Entry) error {
	if m.puts != nil {
		m.puts()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.writeErr != nil:
		return m.writeErr
	case m.keys[keys.Issuer].Revision != keys.Revision:
		return registry.ErrConflict
	}
	if m.keys == nil {
		m.keys = map[string]registry.SigningKeys{}
	}
	m.keys[keys.Issuer] = registry.SigningKeys{Issuer: keys.Issuer, Revision: keys.Revision + 1, Keys: stored(keys.Keys)}
	m.entries = append(m.entries, *e)
	return nil
}

// stored returns a copy of keys as a store returns them.
func stored(keys []registry.SigningKey) (copied []registry.SigningKey) {
	text, err := json.Marshal(keys)
	if err == nil {
		err = json.Unmarshal(text, &copied)
	}
	if err != nil {
		panic(err)
	}
	return copied
}

// edit changes the stored keys without the keyring.
func (m *memory) edit(issuer string, change func(keys []registry.SigningKey) []registry.SigningKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := m.keys[issuer]
	keys.Issuer, keys.Keys = issuer, change(keys.Keys)
	keys.Revision++
	m.keys[issuer] = keys
}

// actions returns the recorded actions in order.
func (m *memory) actions() string {
	var actions []string
	for _, e := range m.entries {
		actions = append(actions, strings.TrimPrefix(e.Action, "signing-key."))
	}
	return strings.Join(actions, " ")
}

// clock is a Now that stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a keyring with its store, clock and log.
type fixture struct {
	*keyring.Keyring
	t     testing.TB
	store *memory
	clock *clock
	log   *bytes.Buffer
}

// settings are the issuer's settings unless a test changes them.
func settings() keyring.Settings {
	return keyring.Settings{
		Alg: jose.ES256, Typ: "at+jwt",
		Rotate: 24 * time.Hour, Announce: 2 * time.Hour, Keep: 3 * time.Hour,
	}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	w := &fixture{t: t, store: &memory{}, clock: &clock{now: start}, log: &bytes.Buffer{}}
	w.Keyring = w.process()
	return w
}

// newSigningFixture returns a fixture whose issuer has a signing key.
func newSigningFixture(t testing.TB) *fixture {
	t.Helper()
	w := newFixture(t)
	w.must(w.Ensure(t.Context(), issuer))
	return w
}

// process returns another keyring with the same store, clock and master key.
func (w *fixture) process() *keyring.Keyring {
	master := newMaster(w.t)
	if w.Keyring != nil {
		master = w.Master
	}
	return &keyring.Keyring{
		Store: w.store, Master: master, Now: w.clock.Now, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Issuers: map[string]keyring.Settings{issuer: settings()},
	}
}

func (w *fixture) set(change func(*keyring.Settings)) {
	s := w.Issuers[issuer]
	change(&s)
	w.Issuers[issuer] = s
}

func (w *fixture) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *fixture) announce(from keyring.NewKey) string {
	w.t.Helper()
	info, err := w.Announce(w.t.Context(), issuer, "alice", from)
	w.must(err)
	return info.Kid
}

// signing returns the kid that signs now.
func (w *fixture) signing() string {
	w.t.Helper()
	signer, err := w.Signer(issuer, w.clock.Now())
	w.must(err)
	return signer.Kid()
}

// jwks returns the kids that are published now.
func (w *fixture) jwks() []string {
	w.t.Helper()
	published, err := w.JWKS(issuer, w.clock.Now())
	w.must(err)
	return kids(w.t, published)
}

func kids(t testing.TB, published keyring.Published) (kids []string) {
	t.Helper()
	set, err := jose.ParseKeySet(published.Body, jose.KeySetRules{})
	keys := set.Keys
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		kids = append(kids, key.Kid)
	}
	return kids
}

// states returns the states of the keys, the oldest first. Keys announced in the same second have
// no order.
func (w *fixture) states() string {
	w.t.Helper()
	infos, err := w.Keys(w.t.Context(), issuer)
	w.must(err)
	slices.SortStableFunc(infos, func(a, b keyring.KeyInfo) int { return a.AnnouncedAt.Compare(b.AnnouncedAt) })
	var states []string
	for _, info := range infos {
		states = append(states, string(info.State))
	}
	return strings.Join(states, " ")
}

func (w *fixture) key(kid string) keyring.KeyInfo {
	w.t.Helper()
	infos, err := w.Keys(w.t.Context(), issuer)
	w.must(err)
	i := slices.IndexFunc(infos, func(info keyring.KeyInfo) bool { return info.Kid == kid })
	if i < 0 {
		w.t.Fatalf("no key %s", kid)
	}
	return infos[i]
}

func newMaster(t testing.TB) *keyring.MasterKey {
	t.Helper()
	m, err := keyring.NewMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// keyFile writes a new private key and returns its path and text.
func keyFile(t testing.TB, alg jose.Alg) (path, text string) {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := jose.MarshalPrivatePEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, string(pem), 0o600), string(pem)
}

func writeFile(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want one that is: %v", err, want)
	}
}

func wantText(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one that says: %s", err, want)
	}
}

func TestSigner(t *testing.T) {
	w := newSigningFixture(t)
	signer, err := w.Signer(issuer, w.clock.Now())
	w.must(err)
	token, err := signer.Sign(nil, []byte(`{}`))
	w.must(err)
	j, err := jose.Parse(string(token))
	w.must(err)
	if j.Header.Kid != w.jwks()[0] || j.Header.Typ != "at+jwt" || j.Header.Alg != "ES256" {
		t.Errorf("header %+v", j.Header)
	}

	_, err = w.Signer(issuer, start.Add(-time.Second))
	wantIs(t, err, keyring.ErrNoSigningKey)
	_, err = w.Signer("other", start)
	wantIs(t, err, keyring.ErrNoSigningKey)
	_, err = w.process().Signer(issuer, start) // nothing loaded
	wantIs(t, err, keyring.ErrNoSigningKey)
	_, err = w.JWKS("other", start)
	wantIs(t, err, registry.ErrNotFound)
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	w := newSigningFixture(t)
	w.announce(keyring.NewKey{})
	allocs := testing.AllocsPerRun(100, func() {
		_, err1 := w.Signer(issuer, start)
		_, err2 := w.JWKS(issuer, start)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkSigner(b *testing.B) {
	w := newSigningFixture(b)
	w.announce(keyring.NewKey{ActiveAt: start.Add(time.Hour)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Signer(issuer, start); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		is    error
		says  string
		alter func(w *fixture, key *registry.SigningKey)
	}{
		"wrong master key": {is: keyring.ErrOtherMaster, alter: func(w *fixture, _ *registry.SigningKey) { w.Master = newMaster(t) }},
		"no master key":    {says: "needs a master key", alter: func(w *fixture, _ *registry.SigningKey) { w.Master = nil }},
		"altered ciphertext": {is: keyring.ErrAltered, alter: func(_ *fixture, key *registry.SigningKey) {
			key.Sealed[len(key.Sealed)-20] ^= 1
		}},
		"altered nonce":  {is: keyring.ErrAltered, alter: func(_ *fixture, key *registry.SigningKey) { key.Sealed[5] ^= 1 }},
		"cut short":      {is: keyring.ErrAltered, alter: func(_ *fixture, key *registry.SigningKey) { key.Sealed = key.Sealed[:4] }},
		"cut to header":  {is: keyring.ErrAltered, alter: func(_ *fixture, key *registry.SigningKey) { key.Sealed = key.Sealed[:5] }},
		"later version":  {says: "version 2", alter: func(_ *fixture, key *registry.SigningKey) { key.Sealed[0] = 2 }},
		"unknown scheme": {says: `scheme "pkcs11"`, alter: func(_ *fixture, key *registry.SigningKey) { key.URI = "pkcs11:pin-value=1234" }},
		"missing file":   {is: os.ErrNotExist, alter: func(_ *fixture, key *registry.SigningKey) { key.URI = "file:/nonexistent" }},
		"another private key": {says: "not that of the registered", alter: func(_ *fixture, key *registry.SigningKey) {
			path, _ := keyFile(t, jose.ES256)
			key.URI = "file:" + path
		}},
		"private key of another type": {is: jose.ErrWrongKeyType, alter: func(_ *fixture, key *registry.SigningKey) {
			path, _ := keyFile(t, jose.EdDSA)
			key.URI = "file:" + path
		}},
		"another kid": {says: "another key than the kid", alter: func(_ *fixture, key *registry.SigningKey) { key.Kid = "k" }},
		"private JWK": {is: jose.ErrPrivateKey, alter: func(_ *fixture, key *registry.SigningKey) {
			key.JWK = bytes.Replace(key.JWK, []byte("{"), []byte(`{"d":"AAAA",`), 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSigningFixture(t)
			kid := w.signing()
			w.store.edit(issuer, func(keys []registry.SigningKey) []registry.SigningKey {
				test.alter(w, &keys[0])
				return keys
			})
			err := w.Load(t.Context())
			if test.is != nil {
				wantIs(t, err, test.is)
			}
			wantText(t, err, test.says)
			wantText(t, err, `issuer "d1"`)
			wantIs(t, err, keyring.ErrUnopened)
			if strings.Contains(err.Error(), "1234") {
				t.Errorf("the error shows the PIN: %v", err)
			}
			if w.signing() != kid {
				t.Error("a Load that was refused changed what was loaded")
			}
		})
	}
}

func TestSealedKeyDoesNotMove(t *testing.T) {
	w := newSigningFixture(t)
	const other = "d2" // of the same length
	w.Issuers[other] = settings()
	w.must(w.Ensure(t.Context(), other))
	w.store.edit(other, func([]registry.SigningKey) []registry.SigningKey {
		return w.store.keys[issuer].Keys
	})
	wantIs(t, w.Load(t.Context()), keyring.ErrAltered)

	// Nor to another kid of the same issuer.
	w = newSigningFixture(t)
	w.announce(keyring.NewKey{})
	w.store.edit(issuer, func(keys []registry.SigningKey) []registry.SigningKey {
		keys[0].Sealed, keys[1].Sealed = keys[1].Sealed, keys[0].Sealed
		return keys
	})
	wantIs(t, w.Load(t.Context()), keyring.ErrAltered)
}

func TestSettingsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*keyring.Settings){
		"unknown algorithm":      func(s *keyring.Settings) { s.Alg = "HS256" },
		"negative keep":          func(s *keyring.Settings) { s.Keep = -1 },
		"no announce":            func(s *keyring.Settings) { s.Announce = 0 },
		"no keep":                func(s *keyring.Settings) { s.Keep = 0 },
		"announce below max-age": func(s *keyring.Settings) { s.MaxAge = s.Announce + 1 },
		"negative max-age":       func(s *keyring.Settings) { s.MaxAge = -1 },
		"announce beyond cycle":  func(s *keyring.Settings) { s.Announce = s.Rotate },
	} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t)
			w.set(change)
			if w.Load(t.Context()) == nil || w.Rotate(t.Context()) == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestStoreFailure(t *testing.T) {
	w := newSigningFixture(t)
	kid, broken := w.signing(), errors.New("disk failure")

	w.store.writeErr = broken
	_, err := w.Announce(t.Context(), issuer, "alice", keyring.NewKey{})
	wantIs(t, err, broken)

	w.store.readErr = broken
	wantIs(t, w.Load(t.Context()), broken)
	wantIs(t, w.Rotate(t.Context()), broken)
	_, err = w.Keys(t.Context(), issuer)
	wantIs(t, err, broken)
	if w.signing() != kid {
		t.Error("the key was lost when the store failed")
	}

	w.store.readErr, w.store.writeErr = nil, nil
	w.store.puts = func() { w.store.readErr = broken } // between the Put and the load
	_, err = w.Announce(t.Context(), issuer, "alice", keyring.NewKey{})
	wantIs(t, err, broken)
	wantText(t, err, "is recorded")
}

func TestUnknownIssuer(t *testing.T) {
	w := newFixture(t)
	_, err := w.Announce(t.Context(), "other", "alice", keyring.NewKey{})
	wantIs(t, err, registry.ErrNotFound)
	wantIs(t, w.Ensure(t.Context(), "other"), registry.ErrNotFound)
	_, err = w.Keys(t.Context(), "other")
	wantIs(t, err, registry.ErrNotFound)
}

// TestPrivateKeyNotShown looks for the private key, in each encoding, in everything that a keyring
// returns, prints and logs.
func TestPrivateKeyNotShown(t *testing.T) {
	w := newSigningFixture(t)
	path, pem := keyFile(t, jose.ES256)
	kid := w.announce(keyring.NewKey{URI: "file:" + path})
	said := []string{}
	say := func(v any, err error) {
		w.must(err)
		text, err := json.Marshal(v)
		w.must(err)
		said = append(said, string(text))
	}
	published, err := w.JWKS(issuer, w.clock.Now())
	w.must(err)
	said = append(said, string(published.Body))
	say(w.Keys(t.Context(), issuer))

	w.must(os.WriteFile(path, []byte(pem[:len(pem)/2]), 0o600)) // a damaged file
	said = append(said, w.Load(t.Context()).Error())
	w.must(os.WriteFile(path, []byte(`{"kty":"EC","d":"`+pem[40:80]+`"}`), 0o600))
	said = append(said, w.Load(t.Context()).Error())
	w.must(os.WriteFile(path, []byte(pem), 0o644))
	w.must(os.Chmod(path, 0o644))
	said = append(said, w.Load(t.Context()).Error())
	w.must(os.Chmod(path, 0o600))
	w.must(w.Activate(t.Context(), issuer, "alice", kid))
	w.must(w.Revoke(t.Context(), issuer, "alice", kid))
	say(w.store.entries, nil)
	said = append(said, w.log.String())

	secrets := []string{w.Master.Text(), "PRIVATE KEY"}
	for line := range strings.Lines(pem) {
		line = strings.TrimSpace(line)
		secrets = append(secrets, line, line[:min(20, len(line))])
	}
	for _, key := range w.store.keys[issuer].Keys {
		text, err := json.Marshal(key.Sealed)
		w.must(err)
		if len(key.Sealed) > 0 {
			secrets = append(secrets, strings.Trim(string(text), `"`))
		}
	}
	if len(secrets) < 6 {
		t.Fatalf("only %d secrets to look for", len(secrets))
	}
	for _, text := range said {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in: %s", secret, text)
			}
		}
	}
	if !strings.Contains(w.log.String(), kid) {
		t.Error("the log does not name the key")
	}
}
