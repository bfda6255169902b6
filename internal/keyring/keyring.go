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

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// sealedURI names the private keys that live in the store.
const sealedURI = "sealed:"

// afterglow is how long a retired key is still opened by Load: a request that
// came in just before may carry an earlier instant.
const afterglow = time.Minute

// What the keyring refuses.
var (
	// ErrNoSigningKey: no key of the issuer signs at that instant.
	ErrNoSigningKey = errors.New("no signing key")
	// ErrUnopened: a private key cannot be opened here, such as one in a file that is
	// not on this machine.
	ErrUnopened = errors.New("it does not open")
	// ErrState: the key is not in a state in which that can be done to it.
	ErrState = errors.New("the state of the key does not allow it")
)

// EarlyError says that at that instant verifiers may not know the key yet, and
// would refuse what it signs.
type EarlyError struct {
	Kid string
	// KnownAt is from when on every verifier knows it.
	KnownAt time.Time
}

// Error tells the instant.
func (e *EarlyError) Error() string {
	return fmt.Sprintf("verifiers may keep the key set of before %s was announced, and refuse its tokens, until %s", e.Kid, e.KnownAt.Format(time.RFC3339))
}

// Store keeps the signing keys.
type Store interface {
	// SigningKeys returns the keys of an issuer as of the last Put that succeeded,
	// on any replica. An issuer that never had any has none, under revision 0.
	SigningKeys(ctx context.Context, issuer string) (registry.SigningKeys, error)
	// PutSigningKeys replaces the keys of keys.Issuer and appends e to the ledger
	// in one atomic, durable step, and raises the revision by one. When
	// keys.Revision is not the one stored it does nothing but return
	// registry.ErrConflict.
	PutSigningKeys(ctx context.Context, keys registry.SigningKeys, e *ledger.Entry) error
}

// Settings say how an issuer's keys are made and when they change.
type Settings struct {
	// Alg signs access tokens. When it is changed a key of the new algorithm is
	// announced, and takes over as in a rotation.
	Alg jose.Alg
	// Typ is the typ of the tokens' headers, such as "at+jwt"; empty for none.
	Typ string
	// Rotate is how long a key signs before a successor takes over; 0 means until
	// somebody says so. A successor is made in the store, so leave it 0 for keys
	// that live elsewhere.
	Rotate time.Duration
	// Announce is how long a successor is published before it signs: at least
	// MaxAge and the time between two calls of Rotate.
	Announce time.Duration
	// MaxAge is how long a verifier may keep the JWK set. A key that was announced
	// later than that ago is one that some do not know.
	MaxAge time.Duration
	// Keep is how long a retired key stays published: at least the lifetime of a
	// token, MaxAge, and some leeway for clocks.
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

// Keyring has the signing keys of every issuer. Its fields are set before use and
// not changed after. Signer and JWKS answer from the last successful Load or
// change; all methods may be called concurrently.
type Keyring struct {
	Store Store
	// Master seals the keys in the store; nil will do where there are none.
	Master *MasterKey
	// Issuers by name.
	Issuers map[string]Settings
	Now     func() time.Time
	// Log is told of every change; nil for no log.
	Log *slog.Logger

	setup   sync.Once
	loading chan struct{}                    // holds one from reading the store to swapping rings, so that the later reading wins
	rings   atomic.Pointer[map[string]*ring] // by issuer; never changed, only swapped
}

// Load reads and opens the keys of every issuer and compares each with the public
// key that is registered. It is called at the start, before anything is signed,
// and again on a signal. On an error what was loaded before stays.
func (k *Keyring) Load(ctx context.Context) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	rings, errs := map[string]*ring{}, []error{}
	for _, issuer := range k.issuers() {
		r, err := k.read(ctx, issuer)
		rings[issuer], errs = r, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	k.rings.Store(&rings)
	return nil
}

// Signer returns the key that signs for the issuer at that instant. It depends on
// the instant alone, so all processes change keys at once.
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

// Keys lists the issuer's keys, the newest first, from the store.
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

// ring returns what was loaded for the issuer, or nil.
func (k *Keyring) ring(issuer string) *ring {
	rings := k.rings.Load()
	if rings == nil {
		return nil
	}
	return (*rings)[issuer]
}

// enter waits until nobody else loads, and no longer than ctx: a store that hangs
// for one must not hold up others beyond their time.
func (k *Keyring) enter(ctx context.Context) (leave func(), err error) {
	k.setup.Do(func() { k.loading = make(chan struct{}, 1) })
	select {
	case k.loading <- struct{}{}:
		return func() { <-k.loading }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the signing keys are being loaded: %w", ctx.Err())
	}
}

// Refresh loads the keys of one issuer, which another process may have changed, and
// leaves the others as they are. A key that does not open does not sign, but never
// keeps a revocation from being learned: the rest is taken over, and the next Rotate
// tries again; the error is ErrUnopened then.
func (k *Keyring) Refresh(ctx context.Context, issuer string) error {
	leave, err := k.enter(ctx)
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

// read makes the ring of one issuer from the store. With keys that do not open it
// returns both a ring without them and an error.
func (k *Keyring) read(ctx context.Context, issuer string) (*ring, error) {
	settings, err := k.settings(issuer)
	if err != nil {
		return nil, err
	}
	keys, err := k.Store.SigningKeys(ctx, issuer)
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
	}
	return newRing(keys, ready), errors.Join(errs...)
}

// open reads the registered public key and opens the private one, if it is still
// needed. Revoked keys are not touched.
func (k *Keyring) open(issuer string, key *registry.SigningKey, typ string) (o opened, err error) {
	if !key.RevokedAt.IsZero() {
		return o, nil
	}
	public, err := registered(key)
	if err != nil {
		return o, err
	}
	o.public = public
	if reached(key.RetiredAt, k.now().Add(-afterglow)) {
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

// private opens the private key where it lives.
func (k *Keyring) private(issuer string, key *registry.SigningKey) (crypto.Signer, error) {
	if key.URI == sealedURI {
		return k.Master.unseal(issuer, key.Kid, key.Sealed)
	}
	return Open(key.URI)
}

// registered returns the public key that the store has, whose kid is its
// thumbprint.
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

// settings returns the issuer's settings if they make sense.
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

// issuers returns their names in order.
func (k *Keyring) issuers() []string { return slices.Sorted(maps.Keys(k.Issuers)) }

// now is the present instant in whole seconds, as decisions write it down.
func (k *Keyring) now() time.Time { return k.Now().UTC().Truncate(time.Second) }

// log returns a logger in any case.
func (k *Keyring) log() *slog.Logger { return cmp.Or(k.Log, slog.New(slog.DiscardHandler)) }
