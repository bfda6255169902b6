package keyring

import (
	"crypto"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// forgetAfter is how long a removed key stays listed. A revoked key stays listed without its
// private key for ever, so that it can never be announced again.
const forgetAfter = 30 * 24 * time.Hour

// propagationDelay is the longest time until an announced key is published by every process: stored instants
// are whole seconds, and other processes reload a moment later.
const propagationDelay = 5 * time.Second

// draft holds one issuer's keys while a change is being decided. Refer to keys by kid: a pointer
// into keys is valid only until the next add.
type draft struct {
	issuer   string
	settings Settings
	master   *MasterKey
	now      time.Time
	jumped   bool // now may be wrong
	keys     []registry.SigningKey
}

// rotate takes the next step that is due, if there is one.
func (d *draft) rotate() (step, error) {
	signing := d.signing()
	if signing == nil {
		kid, err := d.activateNext()
		return step{actionActivate, kid}, err
	}
	if d.jumped {
		return step{}, nil
	}
	if at := d.successionTime(signing); !at.IsZero() {
		return d.scheduleSuccessor(at)
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

// successionTime returns the instant at which a successor of the signing key, not announced yet, should
// start to sign; it is never before the successor has been announced for long enough. It returns
// zero if no successor is due yet, or if one is scheduled already.
func (d *draft) successionTime(signing *registry.SigningKey) time.Time {
	earliest := d.now.Add(d.settings.Announce)
	if d.settings.MaxAge > 0 {
		earliest = d.now.Add(max(d.settings.Announce, d.settings.MaxAge+propagationDelay))
	}
	if signing.Alg == string(d.settings.Alg) &&
		(d.settings.Rotate == 0 || signing.ActiveAt.Add(d.settings.Rotate).After(earliest)) {
		return time.Time{}
	}
	for i := range d.keys {
		if d.announcedUnderAlg(&d.keys[i]) && !d.keys[i].ActiveAt.IsZero() {
			return time.Time{}
		}
	}
	return earliest
}

// scheduleSuccessor schedules a successor of the signing key: a key that an operator announced without an
// activation time, or a new one.
func (d *draft) scheduleSuccessor(at time.Time) (step, error) {
	if key := d.newest(d.announcedUnderAlg); key != nil {
		d.schedule(key.Kid, at)
		return step{actionSchedule, key.Kid}, nil
	}
	kid, err := d.add("")
	if err != nil {
		return step{}, err
	}
	d.schedule(kid, at)
	return step{actionAnnounce, kid}, nil
}

// activateNext activates the newest announced key at once, or a new key if there is none.
func (d *draft) activateNext() (string, error) {
	announced := func(key *registry.SigningKey) bool { return stateOf(key, d.now) == Announced }
	if key := d.newest(announced); key != nil {
		d.schedule(key.Kid, d.now)
		return key.Kid, nil
	}
	kid, err := d.add("")
	if err != nil {
		return "", err
	}
	d.schedule(kid, d.now)
	return kid, nil
}

// maxPublished is the size limit of a JWK set: verifiers such as package bearer refuse a larger
// set as a whole.
const maxPublished = 100

// add announces the key at uri, or a generated one, and returns its kid.
func (d *draft) add(uri string) (kid string, err error) {
	n := 0
	for i := range d.keys {
		if published(&d.keys[i], d.now) {
			n++
		}
	}
	if n >= maxPublished {
		return "", fmt.Errorf("%w: %d keys are published, the most that verifiers accept; wait until one is removed", ErrState, n)
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

// private opens the key at uri, or generates one. It refuses to generate a key next to keys that
// were sealed under another master key: no other process could open it.
func (d *draft) private(uri string) (crypto.Signer, error) {
	if uri != "" {
		return Open(uri)
	}
	for i := range d.keys {
		key := &d.keys[i]
		if state := stateOf(key, d.now); key.URI != sealedURI || state != Announced && state != Signing {
			continue
		}
		if err := d.master.checkSealed(key.Sealed); err != nil {
			return nil, fmt.Errorf("signing key %s: %w", key.Kid, err)
		}
	}
	return jose.GenerateKey(d.settings.Alg)
}

// schedule schedules the key to sign from an instant on, in place of the current one.
func (d *draft) schedule(kid string, at time.Time) {
	if signing := d.signing(); signing != nil && !at.After(d.now) {
		d.retire(signing, d.now)
	}
	d.find(kid).ActiveAt = at
	d.alignRetirements()
}

// alignRetirements sets the retirement of each key to the activation of the next one. Past instants are not
// changed.
func (d *draft) alignRetirements() {
	var active []*registry.SigningKey
	for i := range d.keys {
		key := &d.keys[i]
		if state := stateOf(key, d.now); state == Signing || state == Announced && !key.ActiveAt.IsZero() {
			active = append(active, key)
		}
	}
	slices.SortStableFunc(active, func(a, b *registry.SigningKey) int { return a.ActiveAt.Compare(b.ActiveAt) })
	for i, key := range active {
		key.RetiredAt, key.RemovedAt = time.Time{}, time.Time{}
		if i+1 < len(active) {
			d.retire(key, active[i+1].ActiveAt)
		}
	}
}

// retire schedules the retirement and the removal of a key.
func (d *draft) retire(key *registry.SigningKey, at time.Time) {
	key.RetiredAt, key.RemovedAt = at, at.Add(d.settings.Keep)
}

// requireState checks that the key exists and is in one of states.
func (d *draft) requireState(kid string, states ...State) error {
	key := d.find(kid)
	if key == nil {
		return fmt.Errorf("signing key %.64q: %w", kid, registry.ErrNotFound)
	}
	if state := stateOf(key, d.now); !slices.Contains(states, state) {
		return fmt.Errorf("%w: %s is %s", ErrState, kid, state)
	}
	return nil
}

// requireKnown checks that every verifier will know the key at that instant. It does not apply while
// no key signs, since there is nothing to interrupt.
func (d *draft) requireKnown(kid string, at time.Time) error {
	known := d.find(kid).AnnouncedAt.Add(d.settings.MaxAge)
	if d.settings.MaxAge > 0 {
		known = known.Add(propagationDelay)
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

// newest returns the most recently announced key that fits, or nil.
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

// announcedUnderAlg reports whether the key is announced and has the configured algorithm.
func (d *draft) announcedUnderAlg(key *registry.SigningKey) bool {
	return stateOf(key, d.now) == Announced && key.Alg == string(d.settings.Alg)
}

// signing returns the key that signs now, or nil.
func (d *draft) signing() *registry.SigningKey { return signingKey(d.keys, d.now) }
