package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/bearer"
	"moneyer/internal/admin"
	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/internal/jwksuri"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/metrics"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/internal/store"
)

// estate is what outlives a reload of the configuration: the store, the master
// key, and what counts.
type estate struct {
	db       *store.DB
	copyPath string // where a copy of the store is made for a backup; "" is a new folder for each
	copying  sync.Mutex
	master   *keyring.MasterKey
	atWork   *overload.ConcurrencyLimit
	delay    *overload.QueueDelay // of requests that nobody has read yet
	metrics  *metrics.Metrics
	refusals *authority.Refusals
	// revocations are the same for every house.
	revocations *authority.Revocations
	log         *slog.Logger
	complaints  complaints
	now         func() time.Time
	draining    atomic.Bool
	// current is the house that the doors lead into; nil until there is one.
	current atomic.Pointer[house]
}

// house is what one reading of the configuration makes of the estate.
type house struct {
	issuers []*registry.Issuer
	keys    *keyring.Keyring
	admin   *registry.Issuer
	// authority gives tokens for all of them.
	authority *authority.Authority
	// clientKeys keeps what clients publish at their own jwks_uri, fetched within networks.
	clientKeys *jwksuri.Source
	networks   []string
	// public and private answer on the two listeners.
	public, private http.Handler
}

// papers are what the configuration names in files, other than secrets.
type papers struct{ public, private *tlsState }

// readPapers reads them, and makes sure that no two issuers want one path.
func readPapers(cfg *config.Config) (p papers, err error) {
	if p.public, err = tlsFilesOf(cfg, cfg.Listen).read(); err != nil {
		return p, fmt.Errorf("listen: %w", err)
	}
	if p.private, err = tlsFilesOf(cfg, cfg.AdminListener()).read(); err != nil {
		return p, fmt.Errorf("admin: %w", err)
	}
	_, err = (&server.Server{Issuers: issuersOf(cfg)}).Handler()
	return p, err
}

// openEstate reads the master key and opens the store.
func (a *app) openEstate(ctx context.Context, cfg *config.Config, log *slog.Logger) (*estate, error) {
	master, err := readMasterKey(cfg)
	if err != nil {
		return nil, usage(err)
	}
	limits := cfg.Limits.Overload()
	delay, err := overload.NewQueueDelay(limits.QueueDelay, a.now)
	if err != nil {
		return nil, trouble(err)
	}
	e := &estate{delay: delay, copyPath: copyPath(cfg), master: master,
		atWork: overload.NewConcurrencyLimit(limits.AtWork), log: log, complaints: complaints{log: log, open: map[string]bool{}}, now: a.now}
	e.db, err = store.Open(ctx, storeURL(cfg), store.Options{Now: a.now, Changed: e.changedElsewhere})
	if err != nil {
		return nil, trouble(errors.Join(err, delay.Close()))
	}
	e.refusals, e.revocations = authority.NewRefusals(e.db, limits.Refusals), authority.NewRevocations(e.db)
	e.metrics = metrics.New(version, e.atWork.InUse, func() bool { return e.storeUp() }, e.silence)
	if err := os.Remove(e.copyPath); e.copyPath != "" && err != nil && !errors.Is(err, fs.ErrNotExist) { // a process that was killed may have left it
		return nil, trouble(errors.Join(err, e.close()))
	}
	return e, nil
}

// tellOfStore tells the log what of a database cannot be relied on: it serves all the
// same, and nobody looks as long as nothing is lost.
func (e *estate) tellOfStore(ctx context.Context, url string) {
	if !store.IsPostgres(url) {
		return
	}
	findings, err := store.Check(ctx, url, e.now)
	e.complaints.tell("check the store", err)
	for _, f := range findings {
		if f.Level != store.Good && f.What != "replicas" { // of which this may be the first
			e.log.Warn("the store is not as it should be", "what", f.What, "found", f.Found, "advice", f.Advice)
		}
	}
}

// close gives back what the estate holds.
func (e *estate) close() error { return errors.Join(e.db.Close(), e.delay.Close()) }

func (e *estate) storeUp() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return e.db.Ping(ctx) == nil
}

// ready tells why the process should get no requests now. Anybody may ask, so
// what ails the store goes to the log.
func (e *estate) ready(ctx context.Context) error {
	if e.draining.Load() {
		return errors.New("shutting down")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := e.db.Ping(ctx)
	e.complaints.tell("write to the store", err)
	if err != nil {
		return errors.New("the store takes no writes")
	}
	return nil
}

func readMasterKey(cfg *config.Config) (*keyring.MasterKey, error) {
	kind, where, _ := strings.Cut(cfg.MasterKey, ":")
	if kind != "env" {
		return keyring.ReadMasterKey(cfg.Path(where))
	}
	text, set := os.LookupEnv(where)
	if !set {
		return nil, fmt.Errorf("master key: the environment variable %s is not set", where)
	}
	key, err := keyring.ParseMasterKey(text)
	if err != nil {
		return nil, fmt.Errorf("master key in the environment variable %s: %w", where, err)
	}
	return key, nil
}

// storeURL is where the store is, from wherever it is asked.
func storeURL(cfg *config.Config) string {
	if path, file := storePath(cfg); file {
		return "sqlite:" + path
	}
	return cfg.Store
}

// storePath is the path of a store in a file.
func storePath(cfg *config.Config) (path string, file bool) {
	path, file = strings.CutPrefix(cfg.Store, "sqlite:")
	return cfg.Path(path), file
}

// copyPath is where a copy of the store is made for a backup: beside its file, or
// nowhere in particular.
func copyPath(cfg *config.Config) string {
	if path, file := storePath(cfg); file {
		return path + ".copy"
	}
	return ""
}

// build makes the house: every issuer with its keys, and the admin API. was is
// the house before, or nil.
func (e *estate) build(ctx context.Context, cfg *config.Config, was *house) (*house, error) {
	h := &house{admin: adminIssuer(cfg), issuers: issuersOf(cfg), networks: cfg.JWKSURINetworks}
	h.keys = &keyring.Keyring{Store: e.db, Master: e.master, Issuers: map[string]keyring.Settings{}, Now: e.now, Log: e.log}
	h.keys.Issuers[h.admin.Name] = settingsOf(h.admin, 30*24*time.Hour, time.Hour)
	for name, issuer := range cfg.Issuers {
		h.keys.Issuers[name] = settingsOf(issuer.Authority(), issuer.Rotate, issuer.Announce)
	}
	if was != nil && slices.Equal(was.networks, h.networks) {
		h.clientKeys = was.clientKeys // whose keys serve on while a client's own server is down
	} else {
		h.clientKeys = jwksuri.New(prefixes(h.networks), nil, e.now)
	}
	if err := e.furnish(cfg, h); err != nil {
		return nil, usage(err)
	}
	switch err := e.load(ctx, h.keys); {
	case errors.Is(err, keyring.ErrOtherMaster):
		return nil, usage(fmt.Errorf("master_key %q is another than the one under which the keys in %q were sealed", cfg.MasterKey, cfg.Store))
	case err != nil:
		return nil, trouble(err)
	}
	return h, nil
}

// load reads what the store has of the issuers: their signing keys, made where
// there are none, and what they revoked.
func (e *estate) load(ctx context.Context, keys *keyring.Keyring) error {
	if err := keys.Load(ctx); err != nil {
		return err
	}
	if err := keys.Rotate(ctx); err != nil {
		return err
	}
	return e.revocations.Load(ctx, slices.Collect(maps.Keys(keys.Issuers)))
}

// issuersOf lists the configured issuers by name.
func issuersOf(cfg *config.Config) []*registry.Issuer {
	var issuers []*registry.Issuer
	for _, name := range slices.Sorted(maps.Keys(cfg.Issuers)) {
		issuers = append(issuers, cfg.Issuers[name].Authority())
	}
	return issuers
}

// furnish makes what answers on the two listeners.
func (e *estate) furnish(cfg *config.Config, h *house) (err error) {
	limits := cfg.Limits.Overload()
	auth := &authority.Authority{
		Registry: e.db, Ledger: e.db, Keyring: h.keys, Pepper: e.master.Pepper(), Refusals: e.refusals, Now: e.now,
		KeySource: h.clientKeys, BlockedKeys: cfg.RefusedKeys, Revocations: e.revocations,
		ClientRate: overload.NewLimiter[authority.ClientName](limits.ClientRate, limits.Clients),
		Penalty:    overload.NewPenalty[authority.ClientAt](limits.Penalties),
	}
	if store.IsPostgres(cfg.Store) { // there are replicas
		auth.Stale, auth.Staleness = e.db.LastKnown(), e.db.Heard
	}
	h.authority = auth
	front := &server.Server{
		Issuers: h.issuers, Authority: auth, Keyring: h.keys, Admission: overload.NewAdmission(limits), Ready: e.ready,
		Refused: server.NewRefusalLog(e.log, limits.Refusals), Observe: e.metrics.Request, Now: e.now,
	}
	front.Admission.AtWork, front.Admission.QueueDelay = e.atWork, e.delay
	front.Admission.TrustedProxies = prefixes(cfg.Listen.TrustedProxies)
	if h.public, err = front.Handler(); err != nil {
		return err
	}
	back := *front // shares no bound with the callers: who administers gets in when they crowd
	back.Issuers, back.Admission = []*registry.Issuer{h.admin}, overload.NewAdmission(limits)
	tokens, err := back.Handler()
	if err != nil {
		return err
	}
	private := http.NewServeMux()
	private.Handle("/", tokens)
	private.Handle(pathOf(h.admin.URL)+admin.Prefix+"/", e.adminAPI(cfg, h, auth).Handler())
	private.Handle("GET /metrics", e.metrics.Handler())
	h.private = private
	return nil
}

// pathOf is the path of a URL that config has checked.
func pathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Path
}

// adminIssuer mints the tokens that the admin API accepts.
func adminIssuer(cfg *config.Config) *registry.Issuer {
	p, err := platform.Builtin("oauth2")
	if err != nil {
		panic(err) // it is compiled in, and its test reads it
	}
	return &registry.Issuer{Name: config.AdminIssuer, URL: cfg.Admin.URL, Profile: p, Environment: "admin",
		ResourceAudience: cfg.Admin.URL + admin.Prefix, TokenLifetime: 5 * time.Minute, Replay: platform.ReplayOnce, Alg: p.Policy.Token.Alg}
}

// settingsOf keeps a retired key published for as long as a token of it may be
// checked by a verifier that fetched the keys before.
func settingsOf(issuer *registry.Issuer, rotate, announce time.Duration) keyring.Settings {
	const clocks = 5 * time.Minute
	return keyring.Settings{Alg: jose.Alg(issuer.Alg), Typ: issuer.Profile.Policy.Token.Typ, Rotate: rotate, Announce: announce,
		MaxAge: server.JWKSMaxAge, Keep: issuer.TokenLifetime + server.JWKSMaxAge + clocks}
}

func (e *estate) adminAPI(cfg *config.Config, h *house, auth *authority.Authority) *admin.API {
	return &admin.API{
		Base:    pathOf(h.admin.URL),
		Issuers: func() []*registry.Issuer { return append([]*registry.Issuer{h.admin}, h.issuers...) },
		Clients: e.db, Merchants: e.db, Ledger: e.db, Revocations: e.db, Keyring: h.keys, Authority: auth,
		Verify: func(ctx context.Context) (ledger.VerifyReport, error) {
			return e.db.Verify(ctx, e.master.CheckpointKey())
		},
		CheckpointKey: e.master.CheckpointKey(),
		Backup:        e.copyStore,
		Verifier: &bearer.Verifier{Issuer: h.admin.URL, Audience: []string{h.admin.ResourceAudience}, Keys: ownKeys(h.keys, h.admin.Name, e.now), Now: e.now,
			Revocations: ownRevocations{auth, h.admin}},
		Pepper: e.master.Pepper(), BlockedKeys: cfg.RefusedKeys, Log: e.log, Now: e.now,
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
	issuer    *registry.Issuer
}

// Revoked implements bearer.RevocationSource.
func (o ownRevocations) Revoked(ctx context.Context, c *bearer.Claims) (bool, error) {
	return o.authority.Revoked(ctx, o.issuer, c.KeyID, c.Payload)
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

// complaints tells the log of a trouble when it begins and when it is over, and
// not each time that it is met in between.
type complaints struct {
	log  *slog.Logger
	mu   sync.Mutex
	open map[string]bool // by what does not work
}

func (c *complaints) tell(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	failed := err != nil
	c.mu.Lock()
	told := c.open[what] == failed
	c.open[what] = failed
	c.mu.Unlock()
	switch {
	case told:
	case failed:
		cause, _, _ := strings.Cut(err.Error(), "\n") // many at once fail of one cause
		c.log.Error("this does not work for now", "what", what, "cause", cause)
	default:
		c.log.Info("this works again", "what", what)
	}
}
