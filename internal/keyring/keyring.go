package keyring

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// sealedURI is the URI of a private key that is sealed in the store.
const sealedURI = "sealed:"

// openGrace is how long after its retirement Load still opens the private key: a request that
// arrived just before the change may carry an earlier instant.
const openGrace = time.Minute

// Errors of this package.
var (
	// ErrNoSigningKey: the issuer has no key that signs at that instant.
	ErrNoSigningKey = errors.New("no signing key")
	// ErrUnopened: a private key cannot be opened by this process, for example because its file is
	// on another machine.
	ErrUnopened = errors.New("it cannot be opened")
	// ErrState: the state of the key does not allow the operation.
	ErrState = errors.New("the state of the key does not allow it")
)

// EarlyError is returned when a key would sign before all verifiers know it. They would refuse its
// tokens.
type EarlyError struct {
	Kid string
	// KnownAt is the instant from which every verifier knows the key.
	KnownAt time.Time
}

func (e *EarlyError) Error() string {
	return fmt.Sprintf("%s is too new: verifiers may use a cached key set without it, and would refuse its tokens, until %s", e.Kid, e.KnownAt.Format(time.RFC3339))
}

// Store stores the signing keys.
type Store interface {
	// SigningKeys returns the keys of an issuer as of the last successful PutSigningKeys on any
	// replica. An issuer that never had keys has an empty list and revision 0.
	SigningKeys(ctx context.Context, issuer string) (registry.SigningKeys, error)
	// PutSigningKeys replaces the keys of keys.Issuer, increments the revision and appends e to the
	// ledger, in one atomic and durable step. If keys.Revision is not the stored revision it
	// changes nothing and returns registry.ErrConflict.
	PutSigningKeys(ctx context.Context, keys registry.SigningKeys, e *ledger.Entry) error
}

// Settings say how an issuer's keys are generated and rotated.
type Settings struct {
	// Alg signs access tokens. When it changes, a key of the new algorithm is announced and takes
	// over as in a rotation.
	Alg jose.Alg
	// Typ is the typ header of the tokens, such as "at+jwt"; empty for none.
	Typ string
	// Rotate is how long a key signs before its successor takes over; 0 turns automatic rotation
	// off. Successors are generated in the store, so leave it 0 for keys that are kept elsewhere.
	Rotate time.Duration
	// Announce is how long a successor is published before it signs. It must be at least MaxAge
	// plus the time between two calls of Rotate.
	Announce time.Duration
	// MaxAge is how long a verifier may cache the JWK set. Some verifiers do not know a key that
	// was announced more recently than that.
	MaxAge time.Duration
	// Keep is how long a retired key stays published. It must be at least the lifetime of a token
	// plus MaxAge plus the clock skew between machines.
	Keep time.Duration
}

func (s *Settings) check() error {
	switch {
	case !s.Alg.Known():
		return fmt.Errorf("unknown algorithm %.32q", string(s.Alg))
	case s.Rotate < 0 || s.Announce < 0 || s.Keep < 0 || s.MaxAge < 0:
		return errors.New("rotate, announce, keep and max-age are not negative")
	case s.Rotate > 0 && (s.Announce == 0 || s.Keep == 0 || s.Announce >= s.Rotate):
		return errors.New("rotation takes an announce time shorter than itself, and a keep time")
	case s.Rotate > 0 && s.Announce < s.MaxAge:
		return errors.New("a successor is announced for at least the max-age")
	default:
		return nil
	}
}

// Keyring holds the signing keys of every issuer. Its fields are set before use and not changed
// afterwards. Signer and JWKS answer from the last successful Load or change. All methods are safe
// for concurrent use.
type Keyring struct {
	Store Store
	// Master seals the keys in the store; nil if no key is stored there.
	Master *MasterKey
	// Issuers maps the name of each issuer to its settings.
	Issuers map[string]Settings
	Now     func() time.Time
	// Past returns the time that has passed for certain, when Now may have jumped; nil means
	// Now. While it is behind, Rotate neither plans a successor nor forgets a key.
	Past func() time.Time
	// Log receives every change; nil disables logging.
	Log *slog.Logger
	// Logged holds the kids that this process logged as published, by issuer, so that the
	// keyrings of one process log each once; nil if there is no other.
	Logged *sync.Map

	setup   sync.Once
	seen    *sync.Map                        // Logged, or this keyring's own
	loading *semaphore.Weighted              // held from reading the store to swapping rings, so that a later read wins
	rings   atomic.Pointer[map[string]*ring] // by issuer; a map is never modified, only replaced
}

// Load reads and opens the keys of every issuer and compares each with its registered public key.
// Call it at startup, before anything is signed, and again on reload. On an error the keys that
// were loaded before stay. Keys that do not verify in the store are no error, unless no issuer's do,
// which is ErrOtherMaster: see Unverified.
func (k *Keyring) Load(ctx context.Context) error {
	leave, err := k.lockLoading(ctx)
	if err != nil {
		return err
	}
	defer leave()
	rings, errs := map[string]*ring{}, []error{}
	var unverified error
	verified := false
	for _, issuer := range k.issuers() {
		r, err := k.read(ctx, issuer)
		rings[issuer] = r
		if r != nil && r.unverified {
			unverified = err
			continue
		}
		verified, errs = verified || r != nil && r.revision > 0, append(errs, err)
	}
	if unverified != nil && !verified {
		errs = append(errs, fmt.Errorf("%w, or all of them were altered: %w", ErrOtherMaster, unverified))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	k.rings.Store(&rings)
	return nil
}

// Unverified returns the issuers whose signing keys in the store do not verify under the master
// key, sorted. What was read of them before goes on to sign and is published, and nothing else.
func (k *Keyring) Unverified() []string {
	var names []string
	if rings := k.rings.Load(); rings != nil {
		for issuer, r := range *rings {
			if r.unverified {
				names = append(names, issuer)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Signer returns the key that signs for the issuer at that instant. The choice depends on the
// instant alone, so all processes switch keys at the same time.
func (k *Keyring) Signer(issuer string, at time.Time) (*jose.Signer, error) {
	if r := k.ring(issuer); r != nil {
		if signer := r.signing.at(at); signer != nil {
			return signer, nil
		}
	}
	return nil, fmt.Errorf("issuer %q: %w", issuer, ErrNoSigningKey)
}

// JWKS returns the JWK set of the issuer at that instant.
func (k *Keyring) JWKS(issuer string, at time.Time) (Published, error) {
	r := k.ring(issuer)
	if r == nil {
		return Published{}, fmt.Errorf("keys of issuer %q: %w", issuer, registry.ErrNotFound)
	}
	return r.published.at(at), nil
}

// Public returns the key of the issuer's JWK set of that instant with that kid,
// or registry.ErrNotFound.
func (k *Keyring) Public(issuer, kid string, at time.Time) (*jose.PublicKey, error) {
	set, err := k.JWKS(issuer, at)
	if err != nil {
		return nil, err
	}
	public := set.keys[kid]
	if public == nil {
		return nil, fmt.Errorf("signing key %.64q of issuer %q: %w", kid, issuer, registry.ErrNotFound)
	}
	return public, nil
}

// Revoked returns the kids of the issuer's keys whose tokens are revoked at that instant, sorted.
// They follow from the keys as they were loaded last: a key and its tokens are revoked in one step.
func (k *Keyring) Revoked(issuer string, at time.Time) []string {
	r := k.ring(issuer)
	if r == nil {
		return nil
	}
	var kids []string
	for i := range r.revoked {
		if at.Before(r.revoked[i].RevokedUntil()) {
			kids = append(kids, r.revoked[i].Kid)
		}
	}
	return kids
}

// Keys returns the issuer's keys from the store, the newest first.
func (k *Keyring) Keys(ctx context.Context, issuer string) ([]KeyInfo, error) {
	if _, err := k.settings(issuer); err != nil {
		return nil, err
	}
	keys, err := k.Store.SigningKeys(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("keys of issuer %q: %w", issuer, err)
	}
	now, infos := k.now(), []KeyInfo{}
	for _, key := range slices.SortedFunc(slices.Values(keys.Keys), newestFirst) {
		infos = append(infos, infoOf(&key, now))
	}
	return infos, nil
}

// ring returns the loaded keys of the issuer, or nil.
func (k *Keyring) ring(issuer string) *ring {
	rings := k.rings.Load()
	if rings == nil {
		return nil
	}
	return (*rings)[issuer]
}

// lockLoading acquires the loading semaphore, or fails when ctx is done: a caller must not wait
// beyond its deadline while the store hangs for another one.
func (k *Keyring) lockLoading(ctx context.Context) (leave func(), err error) {
	k.setup.Do(func() { k.loading, k.seen = semaphore.NewWeighted(1), cmp.Or(k.Logged, &sync.Map{}) })
	if err := k.loading.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("the signing keys are being loaded: %w", err)
	}
	return func() { k.loading.Release(1) }, nil
}

// Refresh reloads the keys of one issuer, which another process may have changed. A key that cannot
// be opened does not sign, but the other keys and all revocations still take effect. The error is
// then ErrUnopened, and the next Rotate tries again. Keys that do not verify are a
// *registry.UnverifiedError: see Unverified.
func (k *Keyring) Refresh(ctx context.Context, issuer string) error {
	leave, err := k.lockLoading(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := k.read(ctx, issuer)
	if r == nil {
		return err
	}
	if err != nil {
		r.revision = incomplete
	}
	rings := map[string]*ring{}
	if before := k.rings.Load(); before != nil {
		rings = maps.Clone(*before)
	}
	rings[issuer] = r
	k.rings.Store(&rings)
	return err
}

// read builds the ring of one issuer from the store. If some keys cannot be opened it returns both
// a ring without them and an error. If they do not verify, the ring has what was read before.
func (k *Keyring) read(ctx context.Context, issuer string) (*ring, error) {
	settings, err := k.settings(issuer)
	if err != nil {
		return nil, err
	}
	keys, err := k.Store.SigningKeys(ctx, issuer)
	if registry.IsUnverified(err) {
		return k.ring(issuer).asUnverified(), err
	}
	if err != nil {
		return nil, fmt.Errorf("keys of issuer %q: %w", issuer, err)
	}
	var errs []error
	ready := map[string]opened{}
	for i := range keys.Keys {
		key := &keys.Keys[i]
		if ready[key.Kid], err = k.open(issuer, key, settings.Typ); err != nil {
			errs = append(errs, fmt.Errorf("issuer %q, signing key %s: %w: %w", issuer, key.Kid, ErrUnopened, err))
		}
		if ready[key.Kid].public != nil {
			k.logPublished(ctx, issuer, key)
		}
	}
	return newRing(keys, ready), errors.Join(errs...)
}

// logPublished logs a key that this process had not published before.
func (k *Keyring) logPublished(ctx context.Context, issuer string, key *registry.SigningKey) {
	if !published(key, k.now()) {
		return
	}
	if _, known := k.seen.LoadOrStore(issuer+" "+key.Kid, true); known {
		return
	}
	k.log().LogAttrs(ctx, slog.LevelInfo, "signing key published for the first time by this process", slog.String("issuer", issuer),
		slog.String("kid", key.Kid), slog.String("alg", key.Alg), slog.Time("announced", key.AnnouncedAt))
}

// open parses the registered public key and opens the private key if it is still needed. Revoked
// keys are skipped.
func (k *Keyring) open(issuer string, key *registry.SigningKey, typ string) (o opened, err error) {
	if !key.RevokedAt.IsZero() {
		return o, nil
	}
	public, err := registered(key)
	if err != nil {
		return o, err
	}
	o.public = public
	if reached(key.RetiredAt, k.now().Add(-openGrace)) {
		return o, nil
	}
	private, err := k.private(issuer, key)
	if err != nil {
		return o, err
	}
	signer, err := jose.NewSigner(private, public.Alg(), key.Kid, typ)
	if err != nil {
		return o, err
	}
	if signer.Public().Thumbprint() != key.Kid {
		return o, errors.New("the private key is not that of the registered public key")
	}
	o.signer = signer
	return o, nil
}

// private opens the private key at its URI.
func (k *Keyring) private(issuer string, key *registry.SigningKey) (crypto.Signer, error) {
	if key.URI == sealedURI {
		return k.Master.unseal(issuer, key.Kid, key.Sealed)
	}
	return Open(key.URI)
}

// registered parses the stored public key and checks that its thumbprint is the kid.
func registered(key *registry.SigningKey) (*jose.PublicKey, error) {
	public, _, err := jose.ParseJWK(key.JWK, jose.Alg(key.Alg))
	if err != nil {
		return nil, fmt.Errorf("registered JWK: %w", err)
	}
	if public.Thumbprint() != key.Kid {
		return nil, errors.New("registered JWK: it is another key than the kid says")
	}
	return public, nil
}

// settings returns the issuer's settings after checking them.
func (k *Keyring) settings(issuer string) (Settings, error) {
	settings, ok := k.Issuers[issuer]
	if !ok {
		return Settings{}, fmt.Errorf("issuer %q: %w", issuer, registry.ErrNotFound)
	}
	if err := settings.check(); err != nil {
		return Settings{}, fmt.Errorf("signing keys of issuer %q: %w", issuer, err)
	}
	return settings, nil
}

// issuers returns the names of the issuers, sorted.
func (k *Keyring) issuers() []string { return slices.Sorted(maps.Keys(k.Issuers)) }

// now returns the current time in whole seconds, the precision that is stored.
func (k *Keyring) now() time.Time { return k.Now().UTC().Truncate(time.Second) }

// jumped reports whether Now is ahead of the time that has passed for certain.
func (k *Keyring) jumped() bool {
	return k.Past != nil && k.Now().Sub(k.Past()) > clockSkew
}

// log returns Log, or a logger that discards everything.
func (k *Keyring) log() *slog.Logger { return cmp.Or(k.Log, slog.New(slog.DiscardHandler)) }
