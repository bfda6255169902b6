package authority

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"moneyer/internal/evidence"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/oauth"
)

// RevocationStore keeps revocations until they are over.
type RevocationStore interface {
	// Revocations lists an issuer's, all that were acknowledged and are not over. Together
	// with a *registry.UnverifiedError, for those that do not verify, it returns the others
	// and what can be read of those.
	Revocations(ctx context.Context, issuer string) ([]revocation.Revocation, error)
	// Revocation reads one of them, or ErrNotFound. Together with a
	// *registry.UnverifiedError it returns what can be read.
	Revocation(ctx context.Context, issuer, id string) (*revocation.Revocation, error)
	// PutRevocation stores one and appends e to the ledger in one atomic, durable step.
	PutRevocation(ctx context.Context, r *revocation.Revocation, e *ledger.Entry) error
	// ClocksAhead returns by how much the clock of another process that mints is ahead of
	// this one's, at most; 0 if none is.
	ClocksAhead() time.Duration
	// Entries visits the ledger entries that q selects, in order, until visit
	// returns an error.
	Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error
}

// MaxRevokedAtOnce bounds how many tokens one revocation lists one by one.
const MaxRevokedAtOnce = 50_000

// maxTokenLifetime is how long any token lives, whatever issuer and profile say.
const maxTokenLifetime = 24 * time.Hour

// Revocations holds the tokens that each issuer revoked, as the store has them. Its
// memory is bounded: a revocation is forgotten once its tokens have ended.
type Revocations struct {
	store RevocationStore
	// changing is held from reading or writing the store until the sets in memory are
	// changed, so that an older reading never replaces a newer one.
	changing *semaphore.Weighted
	byIssuer sync.Map // issuer's name -> *revocation.Set
	// unverified has, by the issuer's name, the *registry.UnverifiedError of the last Load,
	// or of Learn since then.
	unverified sync.Map
	// given bounds what one client gives back.
	given *overload.Limiter[ClientName]
}

// NewRevocations makes an empty one; Load fills it.
func NewRevocations(store RevocationStore) *Revocations {
	return &Revocations{store: store, changing: semaphore.NewWeighted(1), given: overload.NewLimiter[ClientName](givenBack, 1<<16)}
}

// givenBack is how many tokens one client may give back, and maxGivenBack how
// many of an issuer's places all clients together may take: no client, and not
// all of them together, takes the room that an administrator needs.
var givenBack = overload.Rate{PerSecond: 5, Burst: 200}

const maxGivenBack = revocation.MaxTokens / 2

// mayGiveBack refuses what is over a client's bound or that of all.
func (r *Revocations) mayGiveBack(issuer, client string, now time.Time) error {
	wait, ok := r.given.Take(ClientName{issuer, client}, now)
	if ok && r.of(issuer).Tokens() >= maxGivenBack {
		wait, ok = time.Minute, false
	}
	if ok {
		return nil
	}
	return oauth.Errorf(oauth.RateLimited, "too many tokens given back").After(wait).
		Because(&evidence.Refusal{Rule: "tokens given back", Expected: "at most the rate for one client, and half of the places", Found: "more", Client: client, Proven: true})
}

// verifierLeeway is how long after its end a token may still pass a verifier, for
// clocks that differ, so that its revocation must still be known.
const verifierLeeway = 5 * time.Minute

// acquire waits until nobody else changes the sets, and no longer than ctx: a store
// that hangs for one caller must not hold up others beyond their time.
func (r *Revocations) acquire(ctx context.Context) error {
	if err := r.changing.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("other revocations are being stored or loaded: %w", err)
	}
	return nil
}

// Load reads what the issuers revoked. It is called before the first question, and
// again where other processes may have changed it. Where a revocation in the store does
// not verify, what is known already stays: the altered one may have named other tokens.
// Unverified says so.
func (r *Revocations) Load(ctx context.Context, issuers []string) error {
	if err := r.acquire(ctx); err != nil {
		return err
	}
	defer r.changing.Release(1)
	for _, issuer := range issuers {
		list, err := r.store.Revocations(ctx, issuer)
		unverified := r.note(issuer, err)
		if err != nil && !unverified {
			return fmt.Errorf("revocations of issuer %s: %w", issuer, err)
		}
		f := &revocation.Set{}
		if unverified {
			f = r.of(issuer)
		}
		for i := range list {
			f.Add(&list[i])
		}
		f.Succeed(r.of(issuer))
		r.byIssuer.Store(issuer, f)
	}
	return nil
}

// note remembers whether a revocation of the issuer did not verify.
func (r *Revocations) note(issuer string, err error) (unverified bool) {
	var u *registry.UnverifiedError
	switch {
	case errors.As(err, &u):
		r.unverified.Store(issuer, u)
		return true
	case err == nil:
		r.unverified.Delete(issuer)
	}
	return false
}

// Unverified returns a *registry.UnverifiedError while a revocation in the store does not
// verify, so that revoked tokens may pass.
func (r *Revocations) Unverified() (err error) {
	r.unverified.Range(func(_, u any) bool {
		err, _ = u.(error)
		return err == nil
	})
	return err
}

// Learn reads single revocations that another process has stored.
func (r *Revocations) Learn(ctx context.Context, issuer string, ids []string) error {
	if err := r.acquire(ctx); err != nil {
		return err
	}
	defer r.changing.Release(1)
	f := r.of(issuer)
	for _, id := range ids {
		v, err := r.store.Revocation(ctx, issuer, id)
		if errors.Is(err, registry.ErrNotFound) {
			continue // it is over
		}
		if unverified := (*registry.UnverifiedError)(nil); errors.As(err, &unverified) {
			r.unverified.Store(issuer, unverified)
			err = nil
		}
		if err != nil {
			return err
		}
		f.Add(v)
	}
	r.byIssuer.Store(issuer, f)
	return nil
}

// of finds an issuer's set; never nil.
func (r *Revocations) of(issuer string) *revocation.Set {
	current, _ := r.byIssuer.Load(issuer)
	if f, ok := current.(*revocation.Set); ok {
		return f
	}
	return &revocation.Set{}
}

// Sweep removes revocations that are over, unless the sets are being changed.
func (r *Revocations) Sweep(now time.Time) {
	if !r.changing.TryAcquire(1) {
		return
	}
	defer r.changing.Release(1)
	r.byIssuer.Range(func(_, value any) bool {
		if set, ok := value.(*revocation.Set); ok {
			set.Sweep(now)
		}
		return true
	})
}

// Version of what an issuer revoked: it goes up with every change.
func (r *Revocations) Version(issuer string) int64 { return r.of(issuer).Version() }

// AppendList appends the claims of the list that an issuer publishes, with the kids of
// its revoked signing keys.
func (r *Revocations) AppendList(dst []byte, issuer *registry.Issuer, complete time.Time, revokedKeys ...string) []byte {
	return r.of(issuer.Name).AppendList(dst, issuer.URL, complete, revokedKeys...)
}

// matches reports whether an issuer revoked a token. A payload that cannot be read
// counts as revoked.
func (r *Revocations) matches(issuer string, t *ActiveToken) bool {
	revoked, err := r.of(issuer).Matches(revocation.Token{ID: t.Claims.ID, KeyID: t.Kid, IssuedAt: t.Claims.IssuedAt, Payload: t.Payload})
	return revoked || err != nil
}

// Add revokes: when it returns nil the revocation is durable, recorded by e, and
// every later question in this process knows it.
func (r *Revocations) Add(ctx context.Context, v *revocation.Revocation, e *ledger.Entry) error {
	if err := r.acquire(ctx); err != nil {
		return err
	}
	defer r.changing.Release(1)
	f := r.of(v.Issuer)
	if err := f.Room(v); err != nil {
		return registry.Invalidf("%s", err)
	}
	if err := r.store.PutRevocation(ctx, v, e); err != nil {
		return err
	}
	f.Add(v)
	r.byIssuer.Store(v.Issuer, f)
	return nil
}

// Target says what to revoke: exactly one of JTI, Client, SigningKid and All.
type Target struct {
	JTI string
	// Client means all its tokens; with Credential (a kid or a secret's ID) those
	// that this credential bought, with Subject those that are about that subject.
	Client, Credential, Subject string
	SigningKid                  string
	// All means every token.
	All bool
	// At bounds Client and All to tokens that were issued before it, rounded up to
	// a whole second; zero means until now. A process whose clock is ahead of this one's
	// has dated tokens later, so they are revoked up to that much later.
	At time.Time
}

// Plan works out which tokens a target means at now. It changes nothing. What
// cannot be named is an *OnboardingError that says why.
func (r *Revocations) Plan(ctx context.Context, issuer *registry.Issuer, t Target, now time.Time) (*revocation.Revocation, error) {
	ahead := r.store.ClocksAhead()
	v := &revocation.Revocation{Issuer: issuer.Name, ID: newJTI(), Created: now.UTC(), Until: now.Add(ahead + maxTokenLifetime).UTC(), Before: nextSecond(now.Add(ahead))}
	if !t.At.IsZero() {
		if t.At.After(now) {
			return nil, registry.Invalidf("tokens of the future cannot be revoked: give an instant that has passed")
		}
		if v.Before = wholeSecond(t.At.Add(ahead)); v.Before.Unix() <= 0 {
			return nil, registry.Invalidf("no token was issued before 1970: give a later instant")
		}
	}
	ofClient := ledger.Query{Client: t.Client}
	if !t.At.IsZero() {
		ofClient.Until = v.Before
	}
	claim := claimFrom(issuer.Profile, platform.SourceClient)
	switch {
	case t.JTI != "":
		v.Reason = "token " + t.JTI
		return r.planTokens(ctx, v, ledger.Query{JTI: t.JTI}, t, now)
	case t.Client != "" && (t.Credential != "" || t.Subject != "" || claim == ""):
		v.Reason = "client " + t.Client
		if t.Credential != "" {
			v.Reason += ", credential " + t.Credential
		}
		if t.Subject != "" {
			v.Reason += ", subject " + t.Subject
		}
		v.Reason += until(t.At)
		return r.planTokens(ctx, v, ofClient, t, now)
	case t.Client != "":
		v.Reason, v.Claim, v.Value = "client "+t.Client+until(t.At), claim, t.Client
	case t.SigningKid != "":
		v.Reason, v.SigningKid, v.Before = "signing key "+t.SigningKid, t.SigningKid, time.Time{}
	case t.All:
		v.Reason, v.All = "everything issued before "+evidence.Stamp(v.Before), true
	default:
		return nil, registry.Invalidf("say what to revoke: a token's jti, a client, a client's key or secret, a signing key, or everything before an instant")
	}
	return v, nil
}

// nextSecond is the first whole second after now: iat has no finer grain, and
// what was issued within this second must be named too.
func nextSecond(now time.Time) time.Time { return now.UTC().Truncate(time.Second).Add(time.Second) }

// wholeSecond rounds an instant up: of what was issued within its second iat does
// not tell what came before it. Zero stays zero.
func wholeSecond(at time.Time) time.Time {
	return at.UTC().Add(time.Second - 1).Truncate(time.Second)
}

// until says which of a client's tokens are meant.
func until(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return ", issued before " + evidence.Stamp(wholeSecond(at))
}

var errTooMany = errors.New("too many tokens")

// planTokens names tokens one by one, from the ledger: of those that q selects, the ones
// of the target's credential and subject.
func (r *Revocations) planTokens(ctx context.Context, v *revocation.Revocation, q ledger.Query, of Target, now time.Time) (*revocation.Revocation, error) {
	q.Kind, q.Issuer, q.Since = ledger.KindToken, v.Issuer, now.Add(-maxTokenLifetime)
	v.Before, v.Until = time.Time{}, time.Time{}
	named := map[string]bool{} // one that was handed out again has an entry each time
	err := r.store.Entries(ctx, q, func(record *ledger.Record) error {
		e, err := record.Entry()
		if err != nil || !now.Before(e.Expires) || of.Credential != "" && !isRecorded(of.Credential, e.Credential) || of.Subject != "" && of.Subject != e.Subject {
			return err
		}
		if named[e.JTI] {
			return nil
		}
		if len(v.JTIs) == MaxRevokedAtOnce {
			return errTooMany
		}
		named[e.JTI] = true
		v.JTIs = append(v.JTIs, e.JTI)
		if until := e.Expires.Add(verifierLeeway).UTC(); until.After(v.Until) {
			v.Until = until
		}
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		return nil, registry.Invalidf("more than %d tokens to revoke one by one: revoke the client, the signing key, or everything before an instant", MaxRevokedAtOnce)
	case err != nil:
		return nil, err
	case len(v.JTIs) == 0:
		return nil, fmt.Errorf("a live token (%s): %w", v.Reason, registry.ErrNotFound)
	}
	return v, nil
}
