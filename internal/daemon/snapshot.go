package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"moneyer/bearer"
	"moneyer/internal/admin"
	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/internal/config"
	"moneyer/internal/jose"
	"moneyer/internal/jwksuri"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/internal/store"
	"moneyer/internal/tlsfiles"
)

// Snapshot is what one reading of the configuration makes: the issuers with their
// keys, and what answers for them. It does not change; a reload swaps in another.
type Snapshot struct {
	// Issuers are those that the configuration names.
	Issuers []*registry.Issuer
	// Public answers on the public listener.
	Public http.Handler

	keys  *keyring.Keyring
	admin *registry.Issuer
	// authority gives tokens for all of them.
	authority *authority.Authority
	// clientKeys keeps what clients publish at their own jwks_uri, fetched within networks.
	clientKeys *jwksuri.Source
	networks   []string
	// private answers on the listener of the administrators.
	private http.Handler
}

// files are what the configuration names in files, other than secrets.
type files struct{ public, private *tlsfiles.Loaded }

// loadFiles reads them, and makes sure that no two issuers want one path.
func loadFiles(cfg *config.Config) (f files, err error) {
	if f.public, err = tlsFilesOf(cfg, cfg.Listen).Load(); err != nil {
		return f, fmt.Errorf("listen: %w", err)
	}
	if f.private, err = tlsFilesOf(cfg, cfg.AdminListener()).Load(); err != nil {
		return f, fmt.Errorf("admin: %w", err)
	}
	_, err = (&server.Server{Issuers: cfg.Served()}).Handler()
	return f, err
}

// build makes a snapshot: every issuer with its keys, and the admin API. was is
// the snapshot before, or nil.
func (s *state) build(ctx context.Context, cfg *config.Config, was *Snapshot) (*Snapshot, error) {
	snap := &Snapshot{admin: adminIssuer(cfg), Issuers: cfg.Served(), networks: cfg.JWKSURINetworks}
	snap.keys = &keyring.Keyring{Store: s.db, Master: s.master, Issuers: map[string]keyring.Settings{}, Now: s.now, Log: s.log}
	snap.keys.Issuers[snap.admin.Name] = settingsOf(snap.admin, 30*24*time.Hour, time.Hour)
	for name, issuer := range cfg.Issuers {
		snap.keys.Issuers[name] = settingsOf(issuer.Authority(), issuer.Rotate, issuer.Announce)
	}
	if was != nil && slices.Equal(was.networks, snap.networks) {
		snap.clientKeys = was.clientKeys // whose keys serve on while a client's own server is down
	} else {
		snap.clientKeys = jwksuri.New(prefixes(snap.networks), nil, s.now)
	}
	if err := s.buildHandlers(cfg, snap); err != nil {
		return nil, &ConfigError{err}
	}
	switch err := s.load(ctx, snap.keys); {
	case errors.Is(err, keyring.ErrOtherMaster):
		return nil, &ConfigError{fmt.Errorf("master_key %q is another than the one under which the keys in %q were sealed", cfg.MasterKey, cfg.Store)}
	case err != nil:
		return nil, err
	}
	return snap, nil
}

// load reads what the store has of the issuers: their signing keys, made where
// there are none, and what they revoked.
func (s *state) load(ctx context.Context, keys *keyring.Keyring) error {
	if err := keys.Load(ctx); err != nil {
		return err
	}
	if err := keys.Rotate(ctx); err != nil {
		return err
	}
	return s.revocations.Load(ctx, slices.Collect(maps.Keys(keys.Issuers)))
}

// buildHandlers makes what answers on the two listeners.
func (s *state) buildHandlers(cfg *config.Config, snap *Snapshot) (err error) {
	limits := cfg.Limits.Overload()
	auth := &authority.Authority{
		Registry: s.db, Ledger: s.db, Keyring: snap.keys, Pepper: s.master.Pepper(), Refusals: s.refusals, Now: s.now,
		KeySource: snap.clientKeys, BlockedKeys: cfg.RefusedKeys, Revocations: s.revocations,
		ClientRate: overload.NewLimiter[authority.ClientName](limits.ClientRate, limits.Clients),
		Penalty:    overload.NewPenalty[authority.ClientAt](limits.Penalties),
	}
	if store.IsPostgres(cfg.Store) { // there are replicas
		auth.Stale, auth.Staleness = s.db.LastKnown(), s.db.Heard
	}
	snap.authority = auth
	front := &server.Server{
		Issuers: snap.Issuers, Authority: auth, Keyring: snap.keys, Admission: overload.NewAdmission(limits), Ready: s.ready,
		Refused: server.NewRefusalLog(s.log, limits.Refusals), Observe: s.metrics.Request, Now: s.now,
	}
	front.Admission.AtWork, front.Admission.QueueDelay = s.atWork, s.delay
	front.Admission.TrustedProxies = prefixes(cfg.Listen.TrustedProxies)
	if snap.Public, err = front.Handler(); err != nil {
		return err
	}
	back := *front // shares no bound with the callers: who administers gets in when they crowd
	back.Issuers, back.Admission = []*registry.Issuer{snap.admin}, overload.NewAdmission(limits)
	tokens, err := back.Handler()
	if err != nil {
		return err
	}
	private := http.NewServeMux()
	private.Handle("/", tokens)
	private.Handle(pathOf(snap.admin.URL)+adminapi.Prefix+"/", s.adminAPI(cfg, snap, auth).Handler())
	private.Handle("GET /metrics", s.metrics.Handler())
	snap.private = private
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
		ResourceAudience: cfg.Admin.URL + adminapi.Prefix, TokenLifetime: 5 * time.Minute, Replay: platform.ReplayOnce, Alg: p.Policy.Token.Alg}
}

// settingsOf keeps a retired key published for as long as a token of it may be
// checked by a verifier that fetched the keys before.
func settingsOf(issuer *registry.Issuer, rotate, announce time.Duration) keyring.Settings {
	const clocks = 5 * time.Minute
	return keyring.Settings{Alg: jose.Alg(issuer.Alg), Typ: issuer.Profile.Policy.Token.Typ, Rotate: rotate, Announce: announce,
		MaxAge: keyring.JWKSMaxAge, Keep: issuer.TokenLifetime + keyring.JWKSMaxAge + clocks}
}

func (s *state) adminAPI(cfg *config.Config, snap *Snapshot, auth *authority.Authority) *admin.API {
	return &admin.API{
		Base:    pathOf(snap.admin.URL),
		Issuers: func() []*registry.Issuer { return append([]*registry.Issuer{snap.admin}, snap.Issuers...) },
		Clients: s.db, Accounts: s.db, Ledger: s.db, Revocations: s.db, Keyring: snap.keys, Authority: auth,
		Verify: func(ctx context.Context) (ledger.VerifyReport, error) {
			return s.db.Verify(ctx, s.master.CheckpointKey())
		},
		CheckpointKey: s.master.CheckpointKey(),
		Backup:        s.copyStore,
		Verifier:      snap.Verifier(snap.admin),
		Pepper:        s.master.Pepper(), BlockedKeys: cfg.RefusedKeys, Log: s.log, Now: s.now,
	}
}

// Verifier judges the access tokens of an issuer in the process that signs them: by
// the keys of the moment, and refusing at once what is revoked.
func (s *Snapshot) Verifier(issuer *registry.Issuer) *bearer.Verifier {
	v := &bearer.Verifier{Issuer: issuer.URL, Keys: s.verificationKeys(issuer.Name), Now: s.keys.Now,
		Typ: []string{issuer.Profile.Policy.Token.Typ}, AnyAudience: issuer.ResourceAudience == "",
		Revocations: ownRevocations{s.authority, issuer}}
	if issuer.ResourceAudience != "" {
		v.Audience = []string{issuer.ResourceAudience}
	}
	return v
}

// verificationKeys reads an issuer's public keys.
func (s *Snapshot) verificationKeys(issuer string) bearer.KeyFunc {
	return func(ctx context.Context, kid string) (bearer.Key, error) {
		set, err := s.keys.JWKS(issuer, s.keys.Now())
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
