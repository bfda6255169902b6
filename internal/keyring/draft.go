package keyring

import (
	"crypto"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// forgetAfter is how long a removed key stays listed. A revoked one is listed for
// ever, without its private half, so that it can never be announced again.
const forgetAfter = 30 * 24 * time.Hour

// spread is how long it takes at most until an announced key is published
// everywhere: what is written down are whole seconds, and other processes hear of it
// a moment later.
const spread = 5 * time.Second

// draft is one issuer's keys while a change to them is decided. Keys are named by
// kid: a pointer into keys is good until the next add.
type draft struct {
	issuer   string
	settings Settings
	master   *MasterKey
	now      time.Time
	keys     []registry.SigningKey
}

// rotate takes the next step that is due by schedule, if one is.
func (d *draft) rotate() (step, error) {
	signing := d.signing()
	if signing == nil {
		kid, err := d.takeOver()
		return step{actionActivate, kid}, err
	}
	if at := d.succession(signing); !at.IsZero() {
		return d.succeed(at)
	}
	for i := range d.keys {
		if key := &d.keys[i]; key.RevokedAt.IsZero() && reached(key.RemovedAt, d.now.Add(-forgetAfter)) {
			kid := key.Kid
			d.keys = slices.Delete(d.keys, i, i+1)
			return step{actionForget, kid}, nil
		}
	}
	return step{}, nil
}

// succession tells when a successor of the signing key, yet to be announced,
// should sign: never before it was announced for long enough. It is zero when
// that is too far ahead, or a successor was decided on before.
func (d *draft) succession(signing *registry.SigningKey) time.Time {
	earliest := d.now.Add(d.settings.Announce)
	if d.settings.MaxAge > 0 {
		earliest = d.now.Add(max(d.settings.Announce, d.settings.MaxAge+spread))
	}
	if signing.Alg == string(d.settings.Alg) &&
		(d.settings.Rotate == 0 || signing.ActiveAt.Add(d.settings.Rotate).After(earliest)) {
		return time.Time{}
	}
	for i := range d.keys {
		if d.waiting(&d.keys[i]) && !d.keys[i].ActiveAt.IsZero() {
			return time.Time{}
		}
	}
	return earliest
}

// succeed gives the signing key a successor: one that an operator announced and
// did not decide on, or a new one.
func (d *draft) succeed(at time.Time) (step, error) {
	if key := d.newest(d.waiting); key != nil {
		d.follow(key.Kid, at)
		return step{actionSchedule, key.Kid}, nil
	}
	kid, err := d.add("")
	if err != nil {
		return step{}, err
	}
	d.follow(kid, at)
	return step{actionAnnounce, kid}, nil
}

// takeOver lets the newest announced key sign at once, or a new one.
func (d *draft) takeOver() (string, error) {
	announced := func(key *registry.SigningKey) bool { return stateOf(key, d.now) == Announced }
	if key := d.newest(announced); key != nil {
		d.follow(key.Kid, d.now)
		return key.Kid, nil
	}
	kid, err := d.add("")
	if err != nil {
		return "", err
	}
	d.follow(kid, d.now)
	return kid, nil
}

// mostPublished is how many keys a JWK set holds: verifiers refuse a longer one as a
// whole, those of package bearer do.
const mostPublished = 100

// add announces the key at uri, or a new one, and returns its kid.
func (d *draft) add(uri string) (kid string, err error) {
	n := 0
	for i := range d.keys {
		if published(&d.keys[i], d.now) {
			n++
		}
	}
	if n >= mostPublished {
		return "", fmt.Errorf("%w: %d keys are published, and verifiers take no longer set; wait until one leaves it", ErrState, n)
	}
	private, err := d.private(uri)
	if err != nil {
		return "", err
	}
	public, err := jose.NewPublicKey(private.Public(), d.settings.Alg)
	if err != nil {
		return "", err
	}
	kid = public.Thumbprint()
	if key := d.find(kid); key != nil {
		return "", fmt.Errorf("%w: %s is %s already", ErrState, kid, stateOf(key, d.now))
	}
	key := registry.SigningKey{
		Issuer: d.issuer, Kid: kid, Alg: string(d.settings.Alg), URI: uri,
		JWK: public.AppendJWK(nil, kid), AnnouncedAt: d.now,
	}
	if uri == "" {
		key.URI = sealedURI
		if key.Sealed, err = d.master.seal(d.issuer, kid, private); err != nil {
			return "", err
		}
	}
	d.keys = append(d.keys, key)
	return kid, nil
}

// private opens the key at uri, or makes one. None is made beside keys that were
// sealed under another master key, where every other process would stumble on it.
func (d *draft) private(uri string) (crypto.Signer, error) {
	if uri != "" {
		return Open(uri)
	}
	for i := range d.keys {
		key := &d.keys[i]
		if state := stateOf(key, d.now); key.URI != sealedURI || state != Announced && state != Signing {
			continue
		}
		if err := d.master.sealed(key.Sealed); err != nil {
			return nil, fmt.Errorf("signing key %s: %w", key.Kid, err)
		}
	}
	return jose.GenerateKey(d.settings.Alg)
}

// follow lets a key sign from an instant on, in place of whichever would.
func (d *draft) follow(kid string, at time.Time) {
	if signing := d.signing(); signing != nil && !at.After(d.now) {
		d.retire(signing, d.now)
	}
	d.find(kid).ActiveAt = at
	d.settle()
}

// settle lets each key retire when the next one takes over. What is past stays as
// it is; what lies ahead follows from the instants at which keys become active.
func (d *draft) settle() {
	var turns []*registry.SigningKey
	for i := range d.keys {
		key := &d.keys[i]
		if state := stateOf(key, d.now); state == Signing || state == Announced && !key.ActiveAt.IsZero() {
			turns = append(turns, key)
		}
	}
	slices.SortStableFunc(turns, func(a, b *registry.SigningKey) int { return a.ActiveAt.Compare(b.ActiveAt) })
	for i, key := range turns {
		key.RetiredAt, key.RemovedAt = time.Time{}, time.Time{}
		if i+1 < len(turns) {
			d.retire(key, turns[i+1].ActiveAt)
		}
	}
}

// retire ends a key's time at an instant.
func (d *draft) retire(key *registry.SigningKey, at time.Time) {
	key.RetiredAt, key.RemovedAt = at, at.Add(d.settings.Keep)
}

// want makes sure that there is such a key, in one of states.
func (d *draft) want(kid string, states ...State) error {
	key := d.find(kid)
	if key == nil {
		return fmt.Errorf("signing key %.64q: %w", kid, registry.ErrNotFound)
	}
	if state := stateOf(key, d.now); !slices.Contains(states, state) {
		return fmt.Errorf("%w: %s is %s", ErrState, kid, state)
	}
	return nil
}

// wantKnown makes sure that every verifier knows the key when it is to sign.
// Where no key signs there is nothing to lose.
func (d *draft) wantKnown(kid string, at time.Time) error {
	known := d.find(kid).AnnouncedAt.Add(d.settings.MaxAge)
	if d.settings.MaxAge > 0 {
		known = known.Add(spread)
	}
	if d.signing() != nil && at.Before(known) {
		return &EarlyError{Kid: kid, KnownAt: known}
	}
	return nil
}

// find returns the key with that kid, or nil.
func (d *draft) find(kid string) *registry.SigningKey {
	i := slices.IndexFunc(d.keys, func(key registry.SigningKey) bool { return key.Kid == kid })
	if i < 0 {
		return nil
	}
	return &d.keys[i]
}

// newest returns the key announced last of those that fit, or nil.
func (d *draft) newest(fits func(*registry.SigningKey) bool) *registry.SigningKey {
	var newest *registry.SigningKey
	for i := range d.keys {
		key := &d.keys[i]
		if fits(key) && (newest == nil || newestFirst(*key, *newest) < 0) {
			newest = key
		}
	}
	return newest
}

// waiting tells whether the key is announced and of the algorithm that is wanted.
func (d *draft) waiting(key *registry.SigningKey) bool {
	return stateOf(key, d.now) == Announced && key.Alg == string(d.settings.Alg)
}

// signing returns the key that signs now, or nil.
func (d *draft) signing() *registry.SigningKey { return signingKey(d.keys, d.now) }
