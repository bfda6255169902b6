package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"moneyer/bearer"
	"moneyer/internal/admin"
	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/internal/jwksuri"
	"moneyer/internal/keyring"
	"moneyer/internal/limit"
	"moneyer/internal/metrics"
	"moneyer/internal/server"
	"moneyer/internal/store"
	"moneyer/profile"
)

// estate is what outlives a reload of the configuration: the store, the master
// key, and what counts.
type estate struct {
	db       *store.DB
	master   *keyring.MasterKey
	gate     *limit.Gate
	metrics  *metrics.Metrics
	refusals *authority.Refusals
	// revocations are the same for every house.
	revocations *authority.Revocations
	log         *slog.Logger
	now         func() time.Time
	draining    atomic.Bool
}

// house is what one reading of the configuration makes of the estate.
type house struct {
	issuers []*authority.Issuer
	keys    *keyring.Keyring
	admin   *authority.Issuer
	// public and private answer on the two listeners.
	public, private http.Handler
}

// openEstate reads the master key and opens the store.
func (a *app) openEstate(ctx context.Context, cfg *config.Config, log *slog.Logger) (*estate, error) {
	master, err := readMasterKey(cfg)
	if err != nil {
		return nil, usage(err)
	}
	db, err := store.Open(ctx, storeURL(cfg), store.Options{Now: a.now})
	if err != nil {
		return nil, trouble(err)
	}
	e := &estate{db: db, master: master, gate: limit.NewGate(cfg.Limits.InFlight), log: log, now: a.now,
		refusals: authority.NewRefusals(db, recordedRate(cfg)), revocations: authority.NewRevocations(db)}
	e.metrics = metrics.New(version, e.gate.Inside, func() bool { return e.storeUp() })
	return e, nil
}

func (e *estate) storeUp() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return e.db.Ping(ctx) == nil
}

// ready tells why the process should get no requests now.
func (e *estate) ready(ctx context.Context) error {
	if e.draining.Load() {
		return fmt.Errorf("shutting down")
	}
	if err := e.db.Ping(ctx); err != nil {
		return fmt.Errorf("the store takes no writes: %w", err)
	}
	return nil
}

func readMasterKey(cfg *config.Config) (*keyring.MasterKey, error) {
	kind, where, _ := strings.Cut(cfg.MasterKey, ":")
	if kind == "env" {
		key, err := keyring.ParseMasterKey(os.Getenv(where))
		if err != nil {
			return nil, fmt.Errorf("master key in the environment variable %s: %w", where, err)
		}
		return key, nil
	}
	return keyring.ReadMasterKey(cfg.Path(where))
}

func storeURL(cfg *config.Config) string {
	kind, path, _ := strings.Cut(cfg.Store, ":")
	return kind + ":" + cfg.Path(path)
}

func recordedRate(cfg *config.Config) limit.Rate {
	rate := cfg.Limits.RefusalsRecorded
	return limit.Rate{PerSecond: rate, Burst: int(max(rate, 1))}
}

// build makes the house: every issuer with its keys, and the admin API.
func (e *estate) build(ctx context.Context, cfg *config.Config) (*house, error) {
	h := &house{admin: adminIssuer(cfg)}
	h.keys = &keyring.Keyring{Store: e.db, Master: e.master, Issuers: map[string]keyring.Settings{}, Now: e.now, Log: e.log}
	h.keys.Issuers[h.admin.Name] = settingsOf(h.admin, 30*24*time.Hour, time.Hour)
	for name, issuer := range cfg.Issuers {
		h.issuers = append(h.issuers, issuer.Authority())
		h.keys.Issuers[name] = settingsOf(issuer.Authority(), issuer.Rotate, issuer.Announce)
	}
	if err := e.load(ctx, h.keys); err != nil {
		return nil, err
	}
	l := cfg.Limits
	auth := &authority.Authority{
		Registry: e.db, Ledger: e.db, Keyring: h.keys, Pepper: e.master.Pepper(), Refusals: e.refusals, Now: e.now,
		Revocations: e.revocations,
		KeySource:   jwksuri.New(prefixes(cfg.JWKSURINetworks), nil, e.now),
		ClientRate:  limit.New[authority.ClientName](limit.Rate{PerSecond: max(l.ClientRate, 0), Burst: l.ClientBurst}, 1<<20),
	}
	front := &server.Server{
		Issuers: h.issuers, Authority: auth, Keyring: h.keys, Gate: e.gate, Timeout: l.RequestTimeout, Ready: e.ready,
		AddressRate:    limit.New[netip.Addr](limit.Rate{PerSecond: max(l.AddressRate, 0), Burst: l.AddressBurst}, 1<<16),
		TrustedProxies: prefixes(cfg.Listen.TrustedProxies),
		Refused:        server.NewRefusalLog(e.log, recordedRate(cfg)), Observe: e.metrics.Request, Now: e.now,
	}
	var err error
	if h.public, err = front.Handler(); err != nil {
		return nil, err
	}
	back := *front
	back.Issuers, back.TrustedProxies = []*authority.Issuer{h.admin}, nil
	tokens, err := back.Handler()
	if err != nil {
		return nil, err
	}
	private := http.NewServeMux()
	private.Handle("/", tokens)
	private.Handle(admin.Prefix+"/", e.adminAPI(cfg, h, auth).Handler())
	private.Handle("GET /metrics", e.metrics.Handler())
	h.private = private
	return h, nil
}

// load reads what the store has of the issuers: their signing keys, made where
// there are none, and what they revoked.
func (e *estate) load(ctx context.Context, keys *keyring.Keyring) error {
	if err := keys.Load(ctx); err != nil {
		return err
	}
	for name := range keys.Issuers {
		if err := keys.Ensure(ctx, name); err != nil {
			return err
		}
	}
	return e.revocations.Load(ctx, slices.Collect(maps.Keys(keys.Issuers)))
}

// adminIssuer mints the tokens that the admin API accepts.
func adminIssuer(cfg *config.Config) *authority.Issuer {
	p, err := profile.Builtin("oauth2")
	if err != nil {
		panic(err) // it is compiled in, and its test reads it
	}
	return &authority.Issuer{Name: config.AdminIssuer, URL: cfg.Admin.URL, Profile: p, Environment: "admin",
		ResourceAudience: cfg.Admin.URL + admin.Prefix, TokenLifetime: 5 * time.Minute, Replay: profile.Once, Alg: p.Policy.Token.Alg}
}

// settingsOf keeps a retired key published for as long as a token of it may be
// checked by a verifier that fetched the keys before.
func settingsOf(issuer *authority.Issuer, rotate, announce time.Duration) keyring.Settings {
	const clocks = 5 * time.Minute
	return keyring.Settings{Alg: jose.Alg(issuer.Alg), Typ: issuer.Profile.Policy.Token.Typ, Rotate: rotate, Announce: announce,
		Keep: issuer.TokenLifetime + server.JWKSMaxAge + clocks}
}

func (e *estate) adminAPI(cfg *config.Config, h *house, auth *authority.Authority) *admin.API {
	return &admin.API{
		Issuers: func() []*authority.Issuer { return append([]*authority.Issuer{h.admin}, h.issuers...) },
		Clients: e.db, Merchants: e.db, Ledger: e.db, Keyring: h.keys, Authority: auth,
		Verify: func(ctx context.Context) (admin.Verification, error) {
			r, err := e.db.Verify(ctx)
			return admin.Verification(r), err
		},
		Verifier: &bearer.Verifier{Issuer: h.admin.URL, Audience: []string{h.admin.ResourceAudience}, Keys: ownKeys(h.keys, h.admin.Name, e.now), Now: e.now,
			Revocations: ownRevocations{auth, h.admin}},
		Pepper: e.master.Pepper(), RefusedKeys: cfg.RefusedKeys, Log: e.log, Now: e.now,
	}
}

// ownKeys reads an issuer's keys in the process that signs with them.
func ownKeys(keys *keyring.Keyring, issuer string, now func() time.Time) bearer.KeyFunc {
	return func(ctx context.Context, kid string) (bearer.Key, error) {
		set, err := keys.JWKS(issuer, now())
		if err != nil {
			return bearer.Key{}, err
		}
		parsed, err := bearer.ParseKeys(set.Body)
		if err != nil {
			return bearer.Key{}, err
		}
		return parsed.Key(ctx, kid)
	}
}

// ownRevocations asks the authority in its own process: a revoked token, or one
// of a disabled client, is refused at once.
type ownRevocations struct {
	authority *authority.Authority
	issuer    *authority.Issuer
}

// Revoked implements bearer.RevocationSource.
func (o ownRevocations) Revoked(ctx context.Context, c *bearer.Claims) (bool, error) {
	return o.authority.Withdrawn(ctx, o.issuer, c.KeyID, c.Payload)
}

func prefixes(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil { // config has checked them
			list = append(list, p)
		}
	}
	return list
}

func newLog(w io.Writer, settings config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(settings.Level)); err != nil {
		level = slog.LevelInfo // config has checked it
	}
	options := &slog.HandlerOptions{Level: level}
	if settings.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
