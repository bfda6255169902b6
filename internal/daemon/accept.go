package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
)

// guardOf returns how the store of a configuration is guarded. Assertions of every issuer
// count, those of administrators too.
func guardOf(cfg *config.Config, master *keyring.MasterKey) store.Guard {
	horizon := adminIssuer(cfg).Horizon()
	for _, issuer := range cfg.Issuers {
		horizon = max(horizon, issuer.RegistryIssuer().Horizon())
	}
	return store.Guard{Key: master.HeadKey(), Horizon: horizon}
}

// guardStore compares the store with its note and the clock, and logs what is wrong.
func (s *Server) guardStore(ctx context.Context) error {
	g := guardOf(s.cfg, s.master)
	g.Noted = func(err error) { s.problems.report("note the head of the ledger", err) }
	g.Refused = func(err error) { s.problems.report("refuse assertions of a database that went back", err) }
	doubts, err := s.db.Guard(ctx, g)
	for _, f := range doubts {
		s.log.Error("the store is not trusted", "what", f.What, "found", f.Found, "advice", f.Advice)
	}
	return err
}

// Accept returns what is wrong with the store of a configuration and, if confirmed and there is
// anything, accepts the store as it is, which the ledger records. No server may have the store
// open.
func Accept(ctx context.Context, cfg *config.Config, confirmed bool, now func() time.Time) (doubts []store.Finding, err error) {
	master, err := ReadMasterKey(cfg)
	if err != nil {
		return nil, &ConfigError{err}
	}
	db, err := store.Open(ctx, cfg.StoreURL(), store.Options{Now: now, RowKey: master.RowKey()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys := &keyring.Keyring{Store: db, Master: master, Issuers: keySettings(cfg), Now: now, Past: now, Log: slog.New(slog.DiscardHandler)}
	if err := keys.Load(ctx); err != nil {
		return nil, keysError(cfg, err)
	}
	g := guardOf(cfg, master)
	doubts, err = db.Doubts(ctx, g)
	if err != nil || !confirmed || len(doubts) == 0 {
		return doubts, err
	}
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: now().UTC(), Actor: "moneyer store accept", Action: "store.accept", Object: "store"}
	for _, f := range doubts {
		entry.Found += f.What + ": " + f.Found + "; "
	}
	if err := db.Accept(ctx, g, entry); err != nil {
		return doubts, err
	}
	_, err = db.Checkpoint(ctx, master.SignCheckpoint)
	return doubts, err
}
