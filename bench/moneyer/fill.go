package moneyer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/assertion"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/store"
)

// The names of the files in a server's folder.
const (
	configFile = "moneyer.toml"
	masterFile = "master.key"
	storeFile  = "moneyer.db"
	filledFile = "filled" // exists if the store is complete
)

// appenders fill the ledger concurrently, so that one commit takes many entries.
const appenders = 4096

// fill creates the master key and the store with all clients and entries, unless they exist.
func (o *Options) fill(ctx context.Context, folder, configuration string) error {
	if _, err := os.Stat(filepath.Join(folder, filledFile)); err == nil {
		return nil
	}
	cfg, err := config.Parse(filepath.Join(folder, configFile), []byte(configuration))
	if err != nil {
		return err
	}
	master, err := keyring.NewMasterKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, masterFile), []byte(master.Text()), 0o600); err != nil {
		return err
	}
	if o.store == "" {
		err = o.fillFile(ctx, folder, master, cfg.Issuers)
	} else {
		err = o.fillStore(ctx, master, cfg.Issuers)
	}
	if err != nil {
		return fmt.Errorf("fill the store: %w", err)
	}
	return os.WriteFile(filepath.Join(folder, filledFile), nil, 0o600)
}

// fillFile fills a file in memory, if possible, where commits are cheap, then moves it to the disk.
func (o *Options) fillFile(ctx context.Context, folder string, master *keyring.MasterKey, issuers map[string]config.Issuer) error {
	workshop, err := os.MkdirTemp(memoryFolder(), "moneyer-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(workshop) }()
	file := *o
	file.store = "sqlite:" + filepath.Join(workshop, storeFile)
	if err := file.fillStore(ctx, master, issuers); err != nil {
		return err
	}
	for _, name := range []string{storeFile, storeFile + ".head"} {
		if err := move(filepath.Join(workshop, name), filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	return nil
}

// fillStore creates the store at Options.store and fills it.
func (o *Options) fillStore(ctx context.Context, master *keyring.MasterKey, issuers map[string]config.Issuer) error {
	db, err := store.Open(ctx, o.store, store.Options{Create: true, Now: time.Now, RowKey: master.RowKey(), CacheEntries: 1})
	if err != nil {
		return err
	}
	// A server that finds no note of the head accepts no assertions for an hour.
	if _, err := db.Guard(ctx, store.Guard{Key: master.HeadKey(), Horizon: time.Hour}); err != nil {
		return errors.Join(err, db.Close())
	}
	f := &filling{Options: o, db: db, pepper: master.Pepper(), issuers: issuers, now: time.Now().UTC()}
	return errors.Join(f.all(ctx), db.Close())
}

// filling is a store that is being filled.
type filling struct {
	*Options
	db      *store.DB
	pepper  registry.Pepper
	issuers map[string]config.Issuer
	now     time.Time
}

func (f *filling) all(ctx context.Context) error {
	if f.Clients == 1 {
		if err := f.one(ctx); err != nil {
			return err
		}
	} else if err := f.many(ctx); err != nil {
		return err
	}
	return f.entries(ctx)
}

// one registers one client with every issuer.
func (f *filling) one(ctx context.Context) error {
	for issuer, scope := range map[string]string{d1: d1Scope, banking: bankingScope, plain: plainScope, bolt: boltScope, etp: etpScope, reusing: plainScope} {
		if err := f.register(ctx, issuer, scope, 0); err != nil {
			return err
		}
	}
	account := registry.Account{Issuer: etp, ID: merchantID, Client: id(0), Attributes: map[string]registry.Attribute{"trId": {Text: "40010012345"}}}
	if err := f.db.PutAccounts(ctx, []registry.Account{account}, f.entry(etp, "account.add")); err != nil {
		return err
	}
	item := registry.Item{Issuer: etp, ID: cardToken, Account: merchantID, Kind: "visa"}
	return f.db.PutItems(ctx, []registry.Item{item}, f.entry(etp, "item.add"))
}

// many registers many clients with the issuer for plain OAuth 2.0.
func (f *filling) many(ctx context.Context) error {
	const bulk = store.MaxBulk
	return f.each(ctx, (f.Clients+bulk-1)/bulk, 8, "thousands of clients", func(i int) error {
		clients := make([]*registry.Client, 0, bulk)
		for n := i * bulk; n < min((i+1)*bulk, f.Clients); n++ {
			c, err := f.client(plain, plainScope, n)
			if err != nil {
				return err
			}
			clients = append(clients, c)
		}
		return f.db.PutClients(ctx, clients, f.entry(plain, "client.add"))
	})
}

// register registers client n with its key and secret.
func (f *filling) register(ctx context.Context, issuer, scope string, n int) error {
	c, err := f.client(issuer, scope, n)
	if err != nil {
		return err
	}
	return f.db.PutClient(ctx, c, f.entry(issuer, "client.add"))
}

// client returns client n with its key and secret.
func (f *filling) client(issuer, scope string, n int) (*registry.Client, error) {
	of := f.issuers[issuer].RegistryIssuer()
	c := &registry.Client{Issuer: issuer, ID: id(n), Scope: strings.Fields(scope), Created: f.now, Attributes: attributes(issuer)}
	if of.Profile.Policy.Assertion.Algs != nil {
		private, err := key(n)
		if err != nil {
			return nil, err
		}
		public, err := jose.NewPublicKey(private.Public(), jose.ES256)
		if err != nil {
			return nil, err
		}
		if err := c.AddKey(of, nil, registry.Key{Kid: kid, Public: public, Created: f.now}); err != nil {
			return nil, err
		}
	}
	kind := registry.ClientSecret
	if issuer == etp {
		kind = registry.APIKey
	}
	if err := f.addCertificate(c, of); err != nil {
		return nil, err
	}
	c.Secrets = []registry.Secret{{ID: "bench", Kind: kind, Digest: f.pepper.Digest(secret(issuer, n)), Created: f.now}}
	return c, nil
}

func attributes(issuer string) map[string]registry.Attribute {
	if issuer != bolt {
		return nil
	}
	return map[string]registry.Attribute{"accountId": {Text: "acc-77"}, "username": {Text: "api-shop-1"},
		"roles": {List: []string{"MERCHANT", "REFUNDER"}, IsList: true}}
}

func (f *filling) entry(issuer, action string) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: f.now, Issuer: issuer, Actor: "bench", Action: action}
}

// entries appends entries of tokens that were issued in a period that ends Age ago.
func (f *filling) entries(ctx context.Context) error {
	const perSecond = 1000
	signing, credential := assertion.NewID()+assertion.NewID(), kid
	end := f.now.Add(-f.Age)
	return f.each(ctx, f.Entries, appenders, "ledger entries", func(n int) error {
		at := end.Add(-time.Duration(f.Entries-n) * time.Second / perSecond)
		return f.db.Append(ctx, &ledger.Entry{Kind: ledger.KindToken, Time: at, Issuer: plain, Client: id(0), Correlation: assertion.NewID(),
			JTI: assertion.NewID(), Credential: credential, SigningKid: signing, Subject: id(0), Scope: plainScope, Expires: at.Add(10 * time.Minute)})
	})
}

// each calls do for the numbers below count, with at most that many calls at once, and logs the
// progress.
func (f *filling) each(ctx context.Context, count, atOnce int, what string, do func(n int) error) error {
	if count == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var running sync.WaitGroup
	begin, tenth := time.Now(), max(count/10, cacheFrom)
	one := func(n int) {
		if err := do(n); err != nil {
			cancel(err)
		}
		if n > 0 && n%tenth == 0 {
			left := time.Since(begin) * time.Duration(count-n) / time.Duration(n)
			fmt.Fprintf(f.Log, "  %s: %d of %d, %v to go\n", what, n, count, left.Round(time.Second))
		}
	}
	for range min(atOnce, count) {
		running.Go(func() {
			for n := int(next.Add(1) - 1); n < count && ctx.Err() == nil; n = int(next.Add(1) - 1) {
				one(n)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
