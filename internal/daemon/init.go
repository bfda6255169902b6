package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store"
	"moneyer/oauth"
)

// ConfigFile is the name of the configuration file that Init creates.
const ConfigFile = "moneyer.toml"

// StarterConfig is an example configuration for a first start.
const StarterConfig = `# The configuration of a Moneyer server. Every setting: docs/configuration.md.
store = "sqlite:moneyer.db"
master_key = "file:master.key" # keep a copy apart from the backups of the store

[listen]
address = "127.0.0.1:8080" # any other address than loopback needs TLS:
# tls_cert = "server.crt"
# tls_key = "server.key"

[admin]
address = "127.0.0.1:8081"

[issuers.example]
url = "http://127.0.0.1:8080/example" # as callers reach it
profile = "oauth2"                    # 'moneyer profile list' shows the others
resource_audience = "https://api.example.com"
`

// Init creates in dir what is missing for a first start: the configuration file with the given
// text, the master key, the store, and the file of the first administrator. It returns the paths of
// the created files.
func Init(ctx context.Context, dir, configuration string, now func() time.Time) (made []string, err error) {
	i := &initial{dir: dir, now: now, made: []string{}}
	if err := i.makeConfig(configuration); err != nil {
		return nil, err
	}
	if err := i.makeMasterKey(ctx); err != nil {
		return nil, err
	}
	if err := i.makeStore(ctx); err != nil {
		return nil, err
	}
	if err := i.makeAdmin(ctx); err != nil {
		return nil, err
	}
	return i.made, nil
}

// initial holds the state of Init.
type initial struct {
	dir  string
	now  func() time.Time
	cfg  *config.Config
	made []string // paths
}

// makeConfig creates the folder and, if there is none, the configuration file. It does not write a
// configuration that Load would refuse.
func (i *initial) makeConfig(content string) error {
	file := filepath.Join(i.dir, ConfigFile)
	there, err := exists(file)
	if err != nil {
		return err
	}
	if there {
		if i.cfg, err = config.Load(file); err != nil {
			return &ConfigError{err}
		}
		return nil
	}
	if i.cfg, err = config.Parse(file, []byte(content)); err != nil {
		return &ConfigError{err}
	}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return err
	}
	return i.makePrivate(file, []byte(content))
}

// makeMasterKey creates a master key if there is none. It refuses if the store already has keys,
// which only the lost master key can open.
func (i *initial) makeMasterKey(ctx context.Context) error {
	file, ok := strings.CutPrefix(i.cfg.MasterKey, "file:")
	if !ok {
		return nil
	}
	path := i.cfg.Path(file)
	if there, err := exists(path); there || err != nil {
		return err
	}
	key, err := keyring.NewMasterKey()
	if err != nil {
		return err
	}
	if orphan, err := i.hasKeys(ctx, key); err != nil {
		return err
	} else if orphan {
		return &ConfigError{fmt.Errorf("%s is missing, and the store %s was created with it: restore the copy of the master key",
			path, strings.TrimPrefix(i.cfg.StoreURL(), "sqlite:"))}
	}
	return i.makePrivate(path, []byte(key.Text()+"\n"))
}

// hasKeys reports whether the store may hold keys that are sealed under another master key than
// this one, which is new.
func (i *initial) hasKeys(ctx context.Context, master *keyring.MasterKey) (bool, error) {
	if path, file := i.cfg.StoreFile(); file {
		return exists(path)
	}
	db, err := store.Open(ctx, i.cfg.StoreURL(), store.Options{Now: i.now, RowKey: master.RowKey()})
	if errors.Is(err, store.ErrNoStore) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = db.SigningKeys(ctx, config.AdminIssuer)
	if registry.IsUnverified(err) {
		return true, db.Close()
	}
	return false, errors.Join(err, db.Close())
}

// makeStore creates the store if there is none. It refuses if the admin file exists: its key
// is registered in a store, which is lost, or on a disk that is not mounted.
func (i *initial) makeStore(ctx context.Context) error {
	lacking, err := i.lacksStore(ctx)
	if err != nil || !lacking {
		return err
	}
	admin := filepath.Join(i.dir, adminclient.DefaultFile)
	if there, err := exists(admin); err != nil {
		return err
	} else if there {
		return &ConfigError{fmt.Errorf("the store %s is missing, and %s was made for it: mount its disk or restore a backup;"+
			" for a new store, first remove that file", strings.TrimPrefix(i.cfg.StoreURL(), "sqlite:"), admin)}
	}
	master, err := ReadMasterKey(i.cfg)
	if err != nil {
		return &ConfigError{err}
	}
	db, err := store.Open(ctx, i.cfg.StoreURL(), store.Options{Create: true, Now: i.now, RowKey: master.RowKey()})
	if err != nil {
		return err
	}
	_, err = db.Guard(ctx, guardOf(i.cfg, master)) // it notes the head, so that a server knows the store
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if path, file := i.cfg.StoreFile(); file {
		i.made = append(i.made, path)
	}
	return nil
}

// lacksStore reports whether there is no store.
func (i *initial) lacksStore(ctx context.Context) (bool, error) {
	if path, file := i.cfg.StoreFile(); file {
		info, err := os.Stat(path)
		return errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0, nil // Open reports other errors
	}
	status, err := store.ReadStatus(ctx, i.cfg.StoreURL())
	return err == nil && status.Version == 0, err
}

// makeAdmin creates a key for the first administrator and writes the file that holds it, if there
// is none.
func (i *initial) makeAdmin(ctx context.Context) error {
	path := filepath.Join(i.dir, adminclient.DefaultFile)
	if there, err := exists(path); there || err != nil {
		return err
	}
	master, err := ReadMasterKey(i.cfg)
	if err != nil {
		return &ConfigError{err}
	}
	db, err := store.Open(ctx, i.cfg.StoreURL(), store.Options{Now: i.now, RowKey: master.RowKey()})
	if err != nil {
		return err
	}
	err = i.addAdminKey(ctx, db, adminIssuer(i.cfg), path)
	if err == nil {
		_, err = db.Checkpoint(ctx, master.SignCheckpoint)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	i.made = append(i.made, path)
	return nil
}

// addAdminKey writes the admin file and registers its key for the client "admin" of the admin
// issuer. If the registration fails it removes the file.
func (i *initial) addAdminKey(ctx context.Context, db *store.DB, issuer *registry.Issuer, path string) error {
	client, err := i.adminClient(ctx, db, issuer)
	if err != nil {
		return err
	}
	file := adminclient.File{URL: issuer.URL, Issuer: issuer.URL, ClientID: client.ID}
	public, err := file.NewKey()
	if err != nil {
		return err
	}
	if err := client.AddKey(issuer, nil, registry.Key{Kid: file.Kid, Public: public, Created: i.now().UTC()}); err != nil {
		return err
	}
	if err := file.Write(path); err != nil {
		return err
	}
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: i.now().UTC(), Issuer: issuer.Name, Client: client.ID,
		Actor: "moneyer init", Action: "key.add", Object: "clients/" + client.ID + "/keys/" + file.Kid}
	if err := db.PutClient(ctx, client, entry); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// adminClient returns the first administrator's client, existing or new. The caller has access to
// the store, so the client is enabled and authorized in any case.
func (i *initial) adminClient(ctx context.Context, db *store.DB, issuer *registry.Issuer) (*registry.Client, error) {
	client := registry.Client{Issuer: issuer.Name, ID: "admin", Name: "First administrator", Created: i.now().UTC()}
	known, err := db.Client(ctx, issuer.Name, client.ID)
	switch {
	case err == nil:
		client = *known
	case !errors.Is(err, registry.ErrNotFound):
		return nil, err
	}
	client.Disabled = false
	client.Scope = oauth.Scope{adminapi.ScopeRead, adminapi.ScopeWrite}
	client.Grants = []oauth.GrantType{oauth.JWTBearer}
	return &client, nil
}

// makePrivate creates a file that only its owner may read, and syncs it. On an error no file is
// left. The file must not exist.
func (i *initial) makePrivate(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	i.made = append(i.made, path)
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
