// Package storetest is the suite that every store passes: what authority's ports
// and administration rely on, each promise a [Part], with [Mutants] that each
// break one and must be caught by it.
//
// It sees a store only through its methods, and alters rows by statements that every
// engine has. What only one dialect has, such as
// files, locks and crashes, is tested beside that dialect.
package storetest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// Store is all that the suite asks of a store.
type Store interface {
	authority.Registry
	authority.Ledger
	Clients
	Accounts
	SigningKeys
	Revocations
	History
	Altered
}

// Clients administers clients.
type Clients interface {
	// Client and ClientByDigest are what FindClient and FindClientByDigest of
	// authority.Registry find.
	Client(ctx context.Context, issuer, id string) (*registry.Client, error)
	ClientByDigest(ctx context.Context, issuer string, key registry.Digest) (*registry.Client, error)
	Clients(ctx context.Context, issuer, after string, limit int) ([]*registry.Client, error)
	PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error
	PutClients(ctx context.Context, clients []*registry.Client, e *ledger.Entry) error
	RemoveClient(ctx context.Context, issuer, id string, e *ledger.Entry) error
	KeyElsewhere(ctx context.Context, thumbprint, environment string) error
	LastUsed(ctx context.Context, issuer, client string) (map[string]time.Time, error)
}

// Accounts administers accounts and their items.
type Accounts interface {
	Accounts(ctx context.Context, issuer, after string, limit int) ([]registry.Account, error)
	PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error
	RemoveAccount(ctx context.Context, issuer, id string, e *ledger.Entry) error
	AccountItems(ctx context.Context, issuer, account, after string, limit int) ([]registry.Item, error)
	PutItems(ctx context.Context, items []registry.Item, e *ledger.Entry) error
	RemoveItem(ctx context.Context, issuer, id string, e *ledger.Entry) error
}

// SigningKeys administers signing keys.
type SigningKeys interface {
	SigningKeys(ctx context.Context, issuer string) (registry.SigningKeys, error)
	PutSigningKeys(ctx context.Context, keys registry.SigningKeys, e *ledger.Entry) error
}

// Revocations administers revocations.
type Revocations interface {
	Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error)
	Revocation(ctx context.Context, issuer, id string) (*revocation.Revocation, error)
	PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error
}

// History reads the ledger and deletes old data.
type History interface {
	Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error
	Verify(ctx context.Context, key ed25519.PublicKey, noted ...ledger.Head) (ledger.VerifyReport, error)
	Checkpoint(ctx context.Context, sign ledger.Signer) ([]ledger.Head, error)
	Prune(ctx context.Context, before time.Time, retention time.Duration, sign ledger.Signer) (int64, error)
	Forget(ctx context.Context, now time.Time) (int64, error)
}

// Part tests one promise on a new, empty store.
type Part struct {
	Name string
	Test func(t testing.TB, s Store)
}

// Parts are all that the suite tests.
func Parts() []Part {
	return []Part{
		{"use once", useOnce},
		{"used stays used", consumedStaysConsumed},
		{"several values", severalValues},
		{"several values in a race", severalRace},
		{"acknowledged is recorded", acknowledgedIsRecorded},
		{"gone callers record nothing", goneCallers},
		{"entries by query", entriesByQuery},
		{"prune", prune},
		{"checkpoint", checkpoint},
		{"forget", forget},
		{"client revisions", clientRevisions},
		{"client revisions in a race", clientRace},
		{"keys are registered once", keysOnce},
		{"certificates are registered once", certificatesOnce},
		{"certificates are revoked anywhere", certificatesRevoked},
		{"API keys are registered once", apiKeysOnce},
		{"identities are registered once", identitiesOnce},
		{"a jwks_uri is of one environment", jwksURIOnce},
		{"clients in bulk", clientsInBulk},
		{"client pages", clientPages},
		{"removed clients", removedClients},
		{"client coherence", clientCoherence},
		{"API key coherence", func(t testing.TB, s Store) { digestCoherence(t, s, holdAPIKey) }},
		{"identity coherence", func(t testing.TB, s Store) { digestCoherence(t, s, holdIdentity) }},
		{"account coherence", accountCoherence},
		{"item coherence", itemCoherence},
		{"accounts", accounts},
		{"items", items},
		{"signing keys", signingKeys},
		{"revocations", revocations},
		{"altered clients", alteredClients},
		{"altered accounts and items", alteredAccounts},
		{"altered signing keys", alteredSigningKeys},
		{"altered revocations", alteredRevocations},
		{"last use", lastUse},
		{"changes are recorded", changesAreRecorded},
	}
}

// Run runs every part on a store of its own. open makes an empty store and has
// it closed by t.Cleanup.
func Run(t *testing.T, open func(testing.TB) Store) {
	for _, part := range Parts() {
		t.Run(part.Name, func(t *testing.T) {
			t.Parallel()
			part.Test(t, open(t))
		})
	}
}

const issuer = "d1"

// start is when the suite's time begins. No part depends on the time of day.
func start() time.Time { return time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC) }

// token is the n-th ledger entry of a part, n seconds after its start.
func token(n int) *ledger.Entry {
	return &ledger.Entry{
		Kind: ledger.KindToken, Time: start().Add(time.Duration(n) * time.Second),
		Issuer: issuer, Client: fmt.Sprintf("client-%d", n%3), JTI: fmt.Sprintf("jti-%d", n),
	}
}

// change is the entry of an administrative change.
func change(action string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: start(), Issuer: issuer, Actor: "suite", Action: action}
}

// use is the value of the n-th assertion, to be consumed.
func use(n int, sealed string) ledger.Consumed {
	return ledger.Consumed{
		Value: sha256.Sum256(fmt.Append(nil, "assertion ", n)), Until: start().Add(5 * time.Minute), Sealed: []byte(sealed),
	}
}

// key is a new public key.
func key(t testing.TB, kid, environment string) registry.Key {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	must(t, err)
	key, err := jose.NewPublicKey(public, jose.EdDSA)
	must(t, err)
	return registry.Key{Kid: kid, Environment: environment, Public: key, Created: start()}
}

// apiKey is the API key whose digest is made from name.
func apiKey(name string) registry.Secret {
	return registry.Secret{ID: name, Kind: registry.APIKey, Digest: sha256.Sum256([]byte(name)), Created: start()}
}

// certificate is one that is registered itself, and identity one by its digest; both are made
// from name.
func certificate(name, environment string) registry.Certificate {
	digest, key := sha256.Sum256([]byte(name)), sha256.Sum256([]byte("key of "+name))
	return registry.Certificate{ID: name, Match: registry.MatchCertificate, Value: base64.RawURLEncoding.EncodeToString(digest[:]),
		Key: base64.RawURLEncoding.EncodeToString(key[:]), Environment: environment, Created: start()}
}

func identity(name string) registry.Identity {
	return registry.Identity{ID: name, Trusted: "sso", Claims: map[string]string{"azp": name}, Digest: sha256.Sum256([]byte("identity " + name)), Created: start()}
}

// hold gives a client what it is found by, made from name, and returns its digest.
type hold func(c *registry.Client, name string) registry.Digest

func holdAPIKey(c *registry.Client, name string) registry.Digest {
	c.Secrets = append(c.Secrets, apiKey(name))
	return apiKey(name).Digest
}

func holdIdentity(c *registry.Client, name string) registry.Digest {
	c.Identities = append(c.Identities, identity(name))
	return identity(name).Digest
}

// putClient creates a client that has nothing but a name.
func putClient(t testing.TB, s Store, id string) {
	t.Helper()
	must(t, s.PutClient(t.Context(), &registry.Client{Issuer: issuer, ID: id, Name: "0"}, change("client.put")))
}

// putAccount creates an account of a client.
func putAccount(t testing.TB, s Store, id string) {
	t.Helper()
	must(t, s.PutAccounts(t.Context(), []registry.Account{{Issuer: issuer, ID: id, Client: "bank"}}, change("account.put")))
}

// records reads all that q selects.
func records(t testing.TB, s Store, q ledger.Query) (records []*ledger.Record, entries []*ledger.Entry) {
	t.Helper()
	must(t, s.Entries(t.Context(), q, func(r *ledger.Record) error {
		e, err := r.Entry()
		records, entries = append(records, r), append(entries, e)
		return err
	}))
	return records, entries
}

// verified fails unless the ledger is whole.
func verified(t testing.TB, s Store) ledger.VerifyReport {
	t.Helper()
	report, err := s.Verify(t.Context(), nil)
	must(t, err)
	if report.Broken != 0 {
		t.Errorf("ledger entry %s: %s", ledger.ShowSeq(report.Broken), report.How)
	}
	return report
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// concurrently runs fn in n goroutines that start at the same time.
func concurrently(n int, fn func(i int)) {
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			fn(i)
		})
	}
	close(begin)
	wg.Wait()
}

// inBackground runs fn repeatedly in a few goroutines until stop is called.
func inBackground(fn func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					fn()
					runtime.Gosched()
				}
			}
		})
	}
	return sync.OnceFunc(func() {
		close(done)
		wg.Wait()
	})
}
