package admin

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"os"
	"time"

	"moneyer/bearer"
	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// API is the admin API. Its fields are set before Handler is called.
type API struct {
	// Base is the path of the listener's URL, if it has one: Prefix follows it.
	Base string
	// Issuers lists the current issuers. It is called on every request, so that the
	// configuration can be reloaded.
	Issuers func() []*registry.Issuer

	Clients  Clients
	Accounts Accounts
	Ledger   Ledger
	// Revocations lists the revocations; Authority's make and apply them.
	Revocations Revocations
	// Verify verifies the whole ledger, in which these heads noted elsewhere must be. A
	// broken ledger is reported as a finding, not as an error.
	Verify func(ctx context.Context, noted []ledger.Head) (ledger.VerifyReport, error)
	// CheckpointKey checks the signatures of the ledger's checkpoints.
	CheckpointKey ed25519.PublicKey
	// Backup opens a consistent copy of the whole store, which is deleted when it is
	// closed. While another copy is being made it returns fs.ErrExist.
	Backup  func(context.Context) (*os.File, error)
	Keyring *keyring.Keyring
	// Authority explains assertions and revokes tokens.
	Authority *authority.Authority

	// Verifier verifies the access tokens of callers. If its Refuse is nil, Handler
	// sets one that writes errors in the form of the API.
	Verifier *bearer.Verifier
	// Admission bounds the requests at once, and what callers without a valid token can
	// cause.
	Admission *overload.Admission
	// ExtendDeadlines, if not nil, is called for each request with a valid token: it may take
	// longer than others, because imports and backups are streamed.
	ExtendDeadlines func(http.ResponseWriter)
	// Pepper keys the digests of new secrets.
	Pepper registry.Pepper
	// BlockedKeys are thumbprints of keys that may not be registered, in addition to
	// those that registry blocks.
	BlockedKeys []string
	Log         *slog.Logger
	Now         func() time.Time
}

// Clients stores the clients. Returned clients are shared and must not be changed. A
// change is stored with its ledger entry in one atomic step, and later reads see it.
type Clients interface {
	// Client returns a client, or registry.ErrNotFound.
	Client(ctx context.Context, issuer, id string) (*registry.Client, error)
	// Clients lists up to limit clients in the order of their IDs, from the first
	// after the one given.
	Clients(ctx context.Context, issuer, after string, limit int) ([]*registry.Client, error)
	// PutClient stores a client whose stored revision is c.Revision (0 for none), else
	// it returns registry.ErrConflict. A key or certificate of another client is a
	// *registry.KeyTakenError.
	PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error
	// RemoveClient removes one, unless it still owns accounts (registry.ErrConflict).
	RemoveClient(ctx context.Context, issuer, id string, e *ledger.Entry) error
	// LastUsed returns when each credential of a client was last used, by kid or ID.
	LastUsed(ctx context.Context, issuer, client string) (map[string]time.Time, error)
}

// Accounts stores accounts and their items, under the same guarantees as
// Clients. A Put takes up to 1,000 rows, creates or replaces them, and stores all
// of them or none.
type Accounts interface {
	Account(ctx context.Context, issuer, id string) (*registry.Account, error)
	Accounts(ctx context.Context, issuer, after string, limit int) ([]registry.Account, error)
	// PutAccounts returns registry.ErrNotFound for a client that does not exist.
	PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error
	// RemoveAccount removes one, unless it still has items (registry.ErrConflict).
	RemoveAccount(ctx context.Context, issuer, id string, e *ledger.Entry) error

	// Items returns the items of ids that exist.
	Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error)
	AccountItems(ctx context.Context, issuer, account, after string, limit int) ([]registry.Item, error)
	// PutItems returns registry.ErrNotFound for an account that does not
	// exist, registry.ErrConflict for an item that belongs to another account.
	PutItems(ctx context.Context, items []registry.Item, e *ledger.Entry) error
	RemoveItem(ctx context.Context, issuer, id string, e *ledger.Entry) error
}

// Ledger reads the ledger; the stores append the entries of changes.
type Ledger interface {
	// Entries visits the entries that q selects, chain after chain and each in the
	// order of its Seq, without holding them in memory, and stops at the first error
	// of visit.
	Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error
	// Heads returns the ends of all chains, in their order.
	Heads(ctx context.Context) ([]ledger.Head, error)
}

// Revocations lists the revocations of issuers.
type Revocations interface {
	// Revocations lists an issuer's revocations that have not expired, in the order
	// of their expiry.
	Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error)
}

// Handler serves the API.
func (a *API) Handler() http.Handler {
	if a.Verifier.Refuse == nil {
		a.Verifier.Refuse = a.refuse
	}
	mux := http.NewServeMux()
	for path, resource := range a.resources() {
		mux.Handle(a.Base+adminapi.Prefix+path, resource)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, oauth.Errorf(oauth.NotFound, "there is nothing at this path"))
	})
	return mux
}

// resources maps each path to its operations.
func (a *API) resources() map[string]http.Handler {
	const (
		issuer  = "/issuers/{issuer}"
		client  = issuer + "/clients/{client}"
		account = issuer + "/accounts/{account}"
	)
	all := map[string]http.Handler{
		"/issuers":          a.resource(methods{"GET": read(a.listIssuers)}),
		issuer + "/explain": a.resource(methods{"POST": read(a.explain)}),
		issuer + "/clients": a.resource(methods{"GET": read(a.listClients), "POST": write(a.addClient)}),
		client:              a.resource(methods{"GET": read(a.showClient), "PATCH": write(a.setClient), "DELETE": write(a.removeClient)}),

		issuer + "/accounts":        a.resource(methods{"GET": read(a.listAccounts)}),
		issuer + "/accounts:import": a.resource(methods{"POST": write(a.importAccounts)}),
		account:                     a.resource(methods{"GET": read(a.showAccount), "PUT": write(a.putAccount), "DELETE": write(a.removeAccount)}),
		account + "/items":          a.resource(methods{"GET": read(a.listItems)}),
		issuer + "/items:import":    a.resource(methods{"POST": write(a.importItems)}),
		issuer + "/items/{item}":    a.resource(methods{"GET": read(a.showItem), "PUT": write(a.putItem), "DELETE": write(a.removeItem)}),

		issuer + "/signing-keys":       a.resource(methods{"GET": read(a.listSigningKeys), "POST": write(a.announceSigningKey)}),
		issuer + "/signing-keys/{key}": a.resource(methods{"POST": write(a.changeSigningKey)}), // {kid}:activate and so on

		issuer + "/revocations": a.resource(methods{"GET": read(a.listRevocations), "POST": write(a.revoke)}),

		"/ledger":                a.resource(methods{"GET": read(a.readLedger)}),
		"/ledger/verify":         a.resource(methods{"GET": read(a.verifyLedger), "POST": read(a.verifyHeads)}),
		"/ledger/checkpoint-key": a.resource(methods{"GET": read(a.showCheckpointKey)}),
		"/backup":                a.resource(methods{"GET": write(a.backup)}), // the copy holds more than admin:read may see
	}
	for _, credentials := range []map[string]methods{keys.resources(a, a.addKey), secrets.resources(a, a.addSecret), certificates.resources(a, a.addCertificate), identities.resources(a, a.addIdentity)} {
		for path, m := range credentials {
			all[client+path] = a.resource(m)
		}
	}
	return all
}
