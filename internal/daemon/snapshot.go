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
	"moneyer/internal/trustedkeys"
	"moneyer/oauth"
	"moneyer/profile"
)

// Snapshot is the result of one reading of the configuration: the issuers with their keys, and the
// HTTP handlers. It is immutable; a reload replaces it.
type Snapshot struct {
	// Issuers are the issuers of the configuration.
	Issuers []*registry.Issuer
	// Public is the handler of the public listener.
	Public http.Handler

	keys  *keyring.Keyring
	admin *registry.Issuer
	// authority issues the tokens of all issuers.
	authority *authority.Authority
	// clientKeys caches the keys at the clients' jwks_uri; networks are the private networks that
	// it may fetch from.
	clientKeys *jwksuri.Source
	networks   []string
	roots      roots
	// trustedKeys has the keys of trusted issuers.
	trustedKeys *trustedkeys.Source
	// private is the handler of the admin listener.
	private http.Handler
}

// files are the loaded TLS files of the two listeners.
type files struct{ public, private *tlsfiles.Loaded }

// loadFiles loads the TLS files, checks those of other authorities and of trusted issuers, and that
// no two issuers have the same path.
func loadFiles(cfg *config.Config) (f files, err error) {
	if f.public, err = tlsFilesOf(cfg, cfg.Listen).Load(); err != nil {
		return f, fmt.Errorf("listen: %w", err)
	}
	if f.private, err = tlsFilesOf(cfg, cfg.AdminListener()).Load(); err != nil {
		return f, fmt.Errorf("admin: %w", err)
	}
	if _, err = loadRoots(cfg); err != nil {
		return f, err
	}
	if err := trustedkeys.Check(cfg.Served()); err != nil {
		return f, err
	}
	_, err = (&server.Server{Issuers: cfg.Served()}).Handler()
	return f, err
}

// build makes a snapshot: every issuer with its keys, and the admin API. was is the current
// snapshot, or nil.
func (s *state) build(ctx context.Context, cfg *config.Config, was *Snapshot) (*Snapshot, error) {
	snap := &Snapshot{admin: adminIssuer(cfg), Issuers: cfg.Served(), networks: cfg.JWKSURINetworks}
	snap.keys = &keyring.Keyring{Store: s.db, Master: s.master, Issuers: keySettings(cfg), Now: s.now, Past: s.confirmed, Log: s.log, Logged: &s.publishedKids}
	if was != nil && slices.Equal(was.networks, snap.networks) {
		snap.clientKeys = was.clientKeys // the cache is kept, in case a client's own server is unavailable
	} else {
		snap.clientKeys = jwksuri.New(prefixes(snap.networks), nil, s.db, s.now, s.log)
	}
	var kept *trustedkeys.Source
	if was != nil {
		kept = was.trustedKeys
	}
	snap.trustedKeys = trustedkeys.New(snap.Issuers, kept, s.now)
	if err := s.buildHandlers(cfg, snap); err != nil {
		return nil, &ConfigError{err}
	}
	if err := s.load(ctx, snap.keys); err != nil {
		return nil, keysError(cfg, err)
	}
	if unverified := snap.keys.Unverified(); was != nil && len(unverified) > 0 { // was may have what was read before
		return nil, &registry.UnverifiedError{Kind: "signing keys", Issuer: unverified[0]}
	}
	return snap, nil
}

// keySettings returns the key settings of all issuers of a configuration.
func keySettings(cfg *config.Config) map[string]keyring.Settings {
	admin := adminIssuer(cfg)
	settings := map[string]keyring.Settings{admin.Name: settingsOf(admin, 30*24*time.Hour, time.Hour)}
	for name, issuer := range cfg.Issuers {
		settings[name] = settingsOf(issuer.RegistryIssuer(), issuer.Rotate, issuer.Announce)
	}
	return settings
}

// keysError explains the error of loading signing keys.
func keysError(cfg *config.Config, err error) error {
	if errors.Is(err, keyring.ErrOtherMaster) {
		return &ConfigError{fmt.Errorf("master_key %q is not the key under which the keys in %q were sealed", cfg.MasterKey, cfg.Store)}
	}
	return err
}

// load loads the signing keys of the issuers, generates missing ones, and loads the revocations.
func (s *state) load(ctx context.Context, keys *keyring.Keyring) error {
	if err := keys.Load(ctx); err != nil {
		return err
	}
	if err := keys.Rotate(ctx); err != nil {
		return err
	}
	return s.revocations.Load(ctx, slices.Collect(maps.Keys(keys.Issuers)))
}

// buildHandlers builds the handlers of the two listeners.
func (s *state) buildHandlers(cfg *config.Config, snap *Snapshot) (err error) {
	limits := cfg.Limits.Overload()
	if snap.roots, err = loadRoots(cfg); err != nil {
		return err
	}
	for _, issuer := range snap.Issuers {
		if authorities := snap.roots[issuerRoots(issuer.Name)]; authorities != nil {
			issuer.CertificateRoots = authorities.Pool
		}
	}
	auth := &authority.Authority{
		Registry: s.db, Ledger: s.db, Keyring: snap.keys, Pepper: s.master.Pepper(), Refusals: s.refusals, Now: s.now,
		KeySource: snap.clientKeys, TrustedKeys: snap.trustedKeys, BlockedKeys: cfg.RefusedKeys, Revocations: s.revocations,
		ClientRate: overload.NewLimiter[authority.ClientName](limits.ClientRate, limits.Clients),
		Penalty:    overload.NewPenalty[authority.ClientAt](limits.Penalties),
		Replayed:   overload.NewPenalty[[32]byte](limits.Replays),

		EndpointAudience: s.endpointAudience,
	}
	if store.IsPostgres(cfg.Store) { // there may be other replicas
		auth.Stale, auth.Staleness = s.db.Stale(), s.db.KnownUntil
	}
	snap.authority = auth
	front := &server.Server{
		Issuers: snap.Issuers, Authority: auth, Keyring: snap.keys, Admission: overload.NewAdmission(limits), Ready: s.ready,
		Refused: server.NewRefusalLog(s.lines, limits.Refusals), Observe: s.metrics.Request, Now: s.now,
		Certificates: snap.roots.certificates(cfg.Listen),
	}
	front.Admission.AtWork, front.Admission.QueueDelay = s.atWork, s.delay
	front.Admission.TrustedProxies = prefixes(cfg.Listen.TrustedProxies)
	if snap.Public, err = front.Handler(); err != nil {
		return err
	}
	back := *front // separate limits, so that administrators are served under load
	limits.SetAtWork(limits.AdminAtWork)
	back.Issuers, back.Admission, back.Certificates = []*registry.Issuer{snap.admin}, overload.NewAdmission(limits), nil
	tokens, err := back.Handler()
	if err != nil {
		return err
	}
	private := http.NewServeMux()
	private.Handle("/", tokens)
	api := s.adminAPI(cfg, snap, auth)
	api.Admission = back.Admission
	private.Handle(pathOf(snap.admin.URL)+adminapi.Prefix+"/", api.Handler())
	private.Handle("GET /metrics", s.metrics.Handler())
	snap.private = private
	return nil
}

// endpointAudience counts and logs that a client still sends a deprecated aud.
func (s *state) endpointAudience(ctx context.Context, use authority.EndpointAudience) {
	s.metrics.EndpointAudience(use.Issuer)
	s.log.WarnContext(ctx, "the aud of a client assertion is the token endpoint: the client should send the issuer identifier",
		"issuer", use.Issuer, "client", use.Client, "correlation", use.Correlation, "found", use.Found, "expected", use.Expected)
}

// pathOf returns the path of a URL that config has validated.
func pathOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Path
}

// adminIssuer returns the issuer of the tokens for the admin API.
func adminIssuer(cfg *config.Config) *registry.Issuer {
	found, err := profile.Builtin("oauth2")
	if err != nil {
		panic(err) // it is embedded, and a test loads it
	}
	p := *found.Definition()
	p.Policy = p.Policy.Without(oauth.AuthTLS, oauth.AuthSelfSignedTLS)
	return &registry.Issuer{Name: config.AdminIssuer, URL: cfg.Admin.URL, Profile: &p, Environment: "admin",
		ResourceAudience: cfg.Admin.URL + adminapi.Prefix, TokenLifetime: 5 * time.Minute, Replay: platform.ReplayOnce, Alg: p.Policy.Token.Alg}
}

// settingsOf returns the key settings of an issuer. A retired key stays published as long as one of
// its tokens may be verified with a key set fetched before.
func settingsOf(issuer *registry.Issuer, rotate, announce time.Duration) keyring.Settings {
	const clockSkew = 5 * time.Minute
	return keyring.Settings{Alg: jose.Alg(issuer.Alg), Typ: issuer.Profile.Policy.Token.Typ, Rotate: rotate, Announce: announce,
		MaxAge: keyring.JWKSMaxAge, Keep: issuer.TokenLifetime + keyring.JWKSMaxAge + clockSkew}
}

func (s *state) adminAPI(cfg *config.Config, snap *Snapshot, auth *authority.Authority) *admin.API {
	return &admin.API{
		Base:    pathOf(snap.admin.URL),
		Issuers: func() []*registry.Issuer { return append([]*registry.Issuer{snap.admin}, snap.Issuers...) },
		Clients: s.db, Accounts: s.db, Ledger: s.db, Revocations: s.db, Keyring: snap.keys, Authority: auth,
		Verify: func(ctx context.Context, noted []ledger.Head) (ledger.VerifyReport, error) {
			return s.db.Verify(ctx, s.master.CheckpointKey(), noted...)
		},
		CheckpointKey:   s.master.CheckpointKey(),
		Backup:          s.copyStore,
		Verifier:        snap.Verifier(snap.admin),
		ExtendDeadlines: s.extendDeadlines,
		Pepper:          s.master.Pepper(), BlockedKeys: cfg.RefusedKeys, Log: s.log, Now: s.now,
	}
}

// Verifier returns a verifier of an issuer's access tokens for use in the issuing process: it uses
// the current keys and refuses revoked tokens at once.
func (s *Snapshot) Verifier(issuer *registry.Issuer) *bearer.Verifier {
	v := &bearer.Verifier{Issuer: issuer.URL, Keys: s.verificationKeys(issuer.Name), Now: s.keys.Now,
		Typ: []string{issuer.Profile.Policy.Token.Typ}, AnyAudience: issuer.ResourceAudience == "",
		Revocations: ownRevocations{s.authority, issuer}}
	if issuer.ResourceAudience != "" {
		v.Audience = []string{issuer.ResourceAudience}
	}
	return v
}

// verificationKeys returns a bearer.KeyFunc for an issuer's public keys.
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

// ownRevocations is a bearer.RevocationSource that asks the authority in this process: a revoked
// token, or one of a disabled client, is refused at once.
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
		if p, err := netip.ParsePrefix(text); err == nil { // config has validated them
			list = append(list, p)
		}
	}
	return list
}
