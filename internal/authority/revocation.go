package authority

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/overload"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
	"moneyer/profile"
)

// Revocation withdraws access tokens of one issuer before their end. Exactly one
// of JTIs, Claim, SigningKid and All says which.
type Revocation struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// JTIs names tokens one by one.
	JTIs []string `json:"jtis,omitempty"`
	// Claim and Value name every token whose claim has, or holds, that value.
	Claim string `json:"claim,omitempty"`
	Value string `json:"value,omitempty"`
	// SigningKid names every token that the key signed.
	SigningKid string `json:"signing_kid,omitempty"`
	// All names every token.
	All bool `json:"all,omitempty"`
	// Before bounds Claim and All: a token whose iat is not before it is not named.
	Before time.Time `json:"before,omitzero"`
	// Until is when the last token that it names has ended, and it can be forgotten.
	Until time.Time `json:"until"`
	// What an administrator asked for, in words.
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
}

// RevocationStore keeps revocations until they are over.
type RevocationStore interface {
	// Revocations lists an issuer's, all that were acknowledged and are not over.
	Revocations(ctx context.Context, issuer string) ([]Revocation, error)
	// Revocation reads one of them, or ErrNotFound.
	Revocation(ctx context.Context, issuer, id string) (*Revocation, error)
	// PutRevocation stores one and appends e to the ledger in one atomic, durable step.
	PutRevocation(ctx context.Context, r *Revocation, e *Entry) error
	// Entries visits the ledger entries that q selects, in order, until visit
	// returns an error.
	Entries(ctx context.Context, q Query, visit func(*Record) error) error
}

// MaxRevokedAtOnce bounds how many tokens one revocation names one by one.
const MaxRevokedAtOnce = 50_000

// maxTokenLifetime is how long any token lives, whatever issuer and profile say.
const maxTokenLifetime = 24 * time.Hour

// MaxRevoked bounds how many tokens of one issuer can be revoked one by one at
// the same time: what they cost in memory, and in every poll of the list.
const MaxRevoked = 100_000

// MaxGroups bounds the clients and signing keys of one issuer whose tokens can be
// revoked at the same time, so that the list stays short enough to be signed.
const MaxGroups = 1_000

// Revocations knows which tokens were withdrawn. Its memory is bounded by what is
// in force: what names only tokens that have ended is let go.
type Revocations struct {
	store RevocationStore
	// changing holds one from reading or writing the store to putting in force: what
	// was read before another was added does not come over it.
	changing chan struct{}
	byIssuer sync.Map // issuer's name -> *inForce
	// given bounds what one client gives back.
	given *overload.Limiter[ClientName]
}

// NewRevocations makes an empty one; Load fills it.
func NewRevocations(store RevocationStore) *Revocations {
	return &Revocations{store: store, changing: make(chan struct{}, 1), given: overload.NewLimiter[ClientName](givenBack, 1<<16)}
}

// givenBack is how many tokens one client may give back, and maxGivenBack how
// many of an issuer's places all clients together may take: no client, and not
// all of them, use up what an administrator needs.
var givenBack = overload.Rate{PerSecond: 5, Burst: 200}

const maxGivenBack = MaxRevoked / 2

// mayGiveBack refuses what is over a client's bound or that of all.
func (r *Revocations) mayGiveBack(issuer, client string, now time.Time) error {
	wait, ok := r.given.Take(ClientName{issuer, client}, now)
	if ok && r.of(issuer).named.Load() >= maxGivenBack {
		wait, ok = time.Minute, false
	}
	if ok {
		return nil
	}
	return oauth.Errorf(oauth.RateLimited, "too many tokens given back").After(wait).
		Because(&Refusal{Rule: "tokens given back", Expected: "at most the rate for one client, and half of the places", Found: "more"})
}

// verifierLeeway is how long after its end a token may still pass somewhere, for
// clocks that differ, and its revocation must be known.
const verifierLeeway = 5 * time.Minute

// inForce is what an issuer withdrew. Questions take no lock.
type inForce struct {
	jtis   sync.Map // string -> time.Time, when the token ends
	groups sync.Map // group -> extent
	// named counts jtis, grouped counts groups.
	named, grouped atomic.Int64
	// version goes up with every change.
	version atomic.Int64
}

// group is tokens that are named together: those of a signing key, those whose
// claim has, or holds, a value, or all.
type group struct {
	kid, claim, value string
	all               bool
}

// extent is how far the revocation of a group goes.
type extent struct {
	before time.Time // names what was issued before it; zero names the whole group
	until  time.Time // when the last token that it names has ended
}

// group that a revocation names; zero when it names tokens one by one.
func (v *Revocation) group() group {
	return group{kid: v.SigningKid, claim: v.Claim, value: v.Value, all: v.All}
}

// enter waits until nobody else changes what is in force, and no longer than ctx: a
// store that hangs for one must not hold up others beyond their time.
func (r *Revocations) enter(ctx context.Context) (leave func(), err error) {
	select {
	case r.changing <- struct{}{}:
		return func() { <-r.changing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("other revocations are being stored or loaded: %w", ctx.Err())
	}
}

// Load reads what the issuers withdrew. It is called before the first question,
// and again where other processes may have changed it. What this process added
// meanwhile stays.
func (r *Revocations) Load(ctx context.Context, issuers []string) error {
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for _, issuer := range issuers {
		list, err := r.store.Revocations(ctx, issuer)
		if err != nil {
			return fmt.Errorf("revocations of issuer %s: %w", issuer, err)
		}
		f := &inForce{}
		for i := range list {
			f.add(&list[i])
		}
		f.version.Store(r.of(issuer).version.Load() + 1)
		r.byIssuer.Store(issuer, f)
	}
	return nil
}

// Learn puts in force what another process has stored. It is to Load what a line is to
// a book: where one of many is new, the others are not read again.
func (r *Revocations) Learn(ctx context.Context, issuer string, ids []string) error {
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	f := r.of(issuer)
	for _, id := range ids {
		v, err := r.store.Revocation(ctx, issuer, id)
		if errors.Is(err, ErrNotFound) {
			continue // it is over
		}
		if err != nil {
			return err
		}
		f.add(v)
	}
	r.byIssuer.Store(issuer, f)
	return nil
}

// add puts one in force. Caller holds changing.
func (f *inForce) add(v *Revocation) {
	for _, jti := range v.JTIs {
		if _, known := f.jtis.Swap(jti, v.Until); !known {
			f.named.Add(1)
		}
	}
	if g := v.group(); g != (group{}) {
		e := extent{v.Before, v.Until}
		if known, ok := f.extentOf(g); ok {
			e = known.with(e)
		} else {
			f.grouped.Add(1)
		}
		f.groups.Store(g, e)
	}
	f.version.Add(1)
}

// with is an extent that goes as far as both do. Both name either a whole group or
// what was issued before an instant, as the group's kind wants it.
func (e extent) with(other extent) extent {
	if other.before.After(e.before) {
		e.before = other.before
	}
	if other.until.After(e.until) {
		e.until = other.until
	}
	return e
}

func (f *inForce) extentOf(g group) (extent, bool) {
	value, _ := f.groups.Load(g)
	e, ok := value.(extent)
	return e, ok
}

// unknown counts the tokens that are not revoked one by one already.
func (f *inForce) unknown(jtis []string) (n int64) {
	for _, jti := range jtis {
		if _, known := f.jtis.Load(jti); !known {
			n++
		}
	}
	return n
}

// of finds what is in force for an issuer; never nil.
func (r *Revocations) of(issuer string) *inForce {
	current, _ := r.byIssuer.Load(issuer)
	if f, ok := current.(*inForce); ok {
		return f
	}
	return &inForce{}
}

// Sweep lets go of what is over; while somebody changes what is in force, not now.
func (r *Revocations) Sweep(now time.Time) {
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	default:
		return
	}
	r.byIssuer.Range(func(_, value any) bool {
		if f, ok := value.(*inForce); ok {
			f.sweep(now)
		}
		return true
	})
}

func (f *inForce) sweep(now time.Time) {
	f.jtis.Range(func(jti, until any) bool {
		if end, ok := until.(time.Time); ok && !now.Before(end) {
			f.jtis.Delete(jti)
			f.named.Add(-1)
			f.version.Add(1)
		}
		return true
	})
	f.groups.Range(func(g, value any) bool {
		if e, ok := value.(extent); ok && !now.Before(e.until) {
			f.groups.Delete(g)
			f.grouped.Add(-1)
			f.version.Add(1)
		}
		return true
	})
}

// Version of what an issuer withdrew: it goes up with every change.
func (r *Revocations) Version(issuer string) int64 { return r.of(issuer).version.Load() }

// Add puts a revocation in force: when it returns nil it is durable, recorded by
// e, and every later question in this process knows it.
func (r *Revocations) Add(ctx context.Context, v *Revocation, e *Entry) error {
	leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	f := r.of(v.Issuer)
	if err := f.room(v); err != nil {
		return err
	}
	if err := r.store.PutRevocation(ctx, v, e); err != nil {
		return err
	}
	f.add(v)
	r.byIssuer.Store(v.Issuer, f)
	return nil
}

// room refuses what would make the list too long.
func (f *inForce) room(v *Revocation) error {
	_, known := f.extentOf(v.group())
	switch {
	case f.named.Load()+f.unknown(v.JTIs) > MaxRevoked:
		return reject("more than %d tokens of issuer %s are revoked one by one: revoke a client, a signing key, or everything before an instant", MaxRevoked, v.Issuer)
	case len(v.JTIs) == 0 && !v.All && !known && f.grouped.Load() >= MaxGroups:
		return reject("the tokens of %d clients and signing keys of issuer %s are revoked: revoke everything before an instant", MaxGroups, v.Issuer)
	}
	return nil
}

// names tells whether an issuer withdrew a token.
func (r *Revocations) names(issuer string, t *ActiveToken) (named bool) {
	f := r.of(issuer)
	if _, revoked := f.jtis.Load(t.Claims.ID); revoked {
		return true
	}
	if f.grouped.Load() == 0 {
		return false
	}
	if f.reaches(group{all: true}, t) || f.reaches(group{kid: t.Kid}, t) {
		return true
	}
	_ = strictjson.Object(t.Payload, strictjson.Limits{}, func(claim string, v strictjson.Value) error {
		for _, text := range texts(v) {
			named = named || f.reaches(group{claim: claim, value: text}, t)
		}
		return nil
	})
	return named
}

// reaches tells whether a group is revoked as far as to a token of it.
func (f *inForce) reaches(g group, t *ActiveToken) bool {
	e, ok := f.extentOf(g)
	return ok && (e.before.IsZero() || t.Claims.IssuedAt < e.before.Unix())
}

// texts are what a claim says: a string, or a list of strings.
func texts(v strictjson.Value) []string {
	if text, err := v.Text(); err == nil {
		return []string{text}
	}
	list, _ := v.Texts() // of what is no list of strings nothing
	return list
}

// Target says what to revoke: exactly one of the first four, or Credential with
// its Client, or All.
type Target struct {
	JTI string
	// Client means all its tokens; with Credential (a kid or a secret's ID) those
	// that this credential bought.
	Client, Credential string
	SigningKid         string
	// All means every token.
	All bool
	// At bounds Client and All to tokens that were issued before it, rounded up to
	// a whole second; zero means until now.
	At time.Time
}

// Plan works out which tokens a target means at now. It changes nothing. What
// cannot be named is an *OnboardingError that says why.
func (r *Revocations) Plan(ctx context.Context, issuer *Issuer, t Target, now time.Time) (*Revocation, error) {
	v := &Revocation{Issuer: issuer.Name, ID: newJTI(), Created: now.UTC(), Until: now.Add(maxTokenLifetime).UTC(), Before: nextSecond(now)}
	if !t.At.IsZero() {
		if t.At.After(now) {
			return nil, reject("tokens of the future cannot be revoked: give an instant that has passed")
		}
		v.Before = wholeSecond(t.At)
	}
	ofClient := Query{Client: t.Client, Until: wholeSecond(t.At)}
	claim := claimFrom(issuer.Profile, profile.SourceClient)
	switch {
	case t.JTI != "":
		v.Reason = "token " + t.JTI
		return r.planTokens(ctx, v, Query{JTI: t.JTI}, "", now)
	case t.Client != "" && t.Credential != "":
		v.Reason = "client " + t.Client + ", credential " + t.Credential + until(t.At)
		return r.planTokens(ctx, v, ofClient, t.Credential, now)
	case t.Client != "" && claim == "":
		v.Reason = "client " + t.Client + until(t.At)
		return r.planTokens(ctx, v, ofClient, "", now)
	case t.Client != "":
		v.Reason, v.Claim, v.Value = "client "+t.Client+until(t.At), claim, t.Client
	case t.SigningKid != "":
		v.Reason, v.SigningKid, v.Before = "signing key "+t.SigningKid, t.SigningKid, time.Time{}
	case t.All:
		v.Reason, v.All = "everything issued before "+stamp(v.Before), true
	default:
		return nil, reject("say what to revoke: a token's jti, a client, a client's key or secret, a signing key, or everything before an instant")
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
	return ", issued before " + stamp(wholeSecond(at))
}

var errTooMany = errors.New("too many tokens")

// planTokens names tokens one by one, from the ledger.
func (r *Revocations) planTokens(ctx context.Context, v *Revocation, q Query, credential string, now time.Time) (*Revocation, error) {
	q.Kind, q.Issuer, q.Since = EntryToken, v.Issuer, now.Add(-maxTokenLifetime)
	v.Before, v.Until = time.Time{}, time.Time{}
	err := r.store.Entries(ctx, q, func(record *Record) error {
		e, err := record.Entry()
		if err != nil || !now.Before(e.Expires) || credential != "" && e.Credential != credential {
			return err
		}
		if len(v.JTIs) == MaxRevokedAtOnce {
			return errTooMany
		}
		v.JTIs = append(v.JTIs, e.JTI)
		if until := e.Expires.Add(verifierLeeway).UTC(); until.After(v.Until) {
			v.Until = until
		}
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		return nil, reject("more than %d tokens to revoke one by one: revoke the client, the signing key, or everything before an instant", MaxRevokedAtOnce)
	case err != nil:
		return nil, err
	case len(v.JTIs) == 0:
		return nil, fmt.Errorf("a live token (%s): %w", v.Reason, ErrNotFound)
	}
	return v, nil
}

// revocationListLifetime is how long a published list may be believed.
const revocationListLifetime = 24 * time.Hour

// AppendJSON appends the claims of the list that an issuer publishes; bearer's
// RevocationList reads it. Its iat is the instant until which it is complete: it
// names whatever was revoked before, on any replica. Replicas that know the same
// make the same list of one instant.
func (r *Revocations) AppendJSON(dst []byte, issuer *Issuer, complete time.Time) []byte {
	f := r.of(issuer.Name)
	var jtis, kids, claims []string
	f.jtis.Range(func(jti, until any) bool {
		name, _ := jti.(string)
		if end, ok := until.(time.Time); ok && complete.Before(end) {
			jtis = append(jtis, quoted(name))
		}
		return true
	})
	before := int64(0)
	f.groups.Range(func(key, value any) bool {
		g, _ := key.(group)
		e, _ := value.(extent)
		switch {
		case !complete.Before(e.until):
		case g.kid != "":
			kids = append(kids, quoted(g.kid))
		case g.all:
			before = e.before.Unix()
		default:
			claims = append(claims, fmt.Sprintf(`{"claim":%s,"value":%s,"before":%d}`, quoted(g.claim), quoted(g.value), e.before.Unix()))
		}
		return true
	})
	for _, names := range [][]string{jtis, kids, claims} {
		slices.Sort(names)
	}
	return fmt.Appendf(dst, `{"iss":%s,"iat":%d,"exp":%d,"before":%d,"jti":[%s],"kid":[%s],"claim":[%s]}`,
		quoted(issuer.URL), complete.Unix(), complete.Add(revocationListLifetime).Unix(), before,
		strings.Join(jtis, ","), strings.Join(kids, ","), strings.Join(claims, ","))
}

func quoted(s string) string { return string(strictjson.AppendString(nil, s)) }
