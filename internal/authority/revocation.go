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

	"moneyer/internal/strictjson"
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

// Revocations knows which tokens were withdrawn. Its memory is bounded by what is
// in force: what names only tokens that have ended is left out.
type Revocations struct {
	store RevocationStore
	// changing is held from writing to the store to replacing what is in force.
	changing sync.Mutex
	byIssuer sync.Map // issuer's name -> *atomic.Pointer[inForce]
}

// NewRevocations makes an empty one; Load fills it.
func NewRevocations(store RevocationStore) *Revocations { return &Revocations{store: store} }

// inForce is what an issuer withdrew. It is never changed, only replaced.
type inForce struct {
	list []Revocation
	jtis map[string]bool
	kids map[string]bool
	// made is when it was put together; it names the version.
	made time.Time
}

// Load reads what the issuers withdrew. It is called before the first question,
// and again where other processes may have changed it.
func (r *Revocations) Load(ctx context.Context, issuers []string, now time.Time) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	for _, issuer := range issuers {
		list, err := r.store.Revocations(ctx, issuer)
		if err != nil {
			return fmt.Errorf("revocations of issuer %s: %w", issuer, err)
		}
		r.replace(issuer, list, now)
	}
	return nil
}

// Sweep lets go of what is over.
func (r *Revocations) Sweep(now time.Time) {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.byIssuer.Range(func(issuer, _ any) bool {
		name, _ := issuer.(string)
		f := r.of(name)
		if slices.ContainsFunc(f.list, func(v Revocation) bool { return !now.Before(v.Until) }) {
			r.replace(name, f.list, now)
		}
		return true
	})
}

// replace puts in force what of list is not over. Caller holds changing.
func (r *Revocations) replace(issuer string, list []Revocation, now time.Time) {
	f := &inForce{jtis: map[string]bool{}, kids: map[string]bool{}, made: now}
	for _, v := range list {
		if !now.Before(v.Until) {
			continue
		}
		f.list = append(f.list, v)
		for _, jti := range v.JTIs {
			f.jtis[jti] = true
		}
		if v.SigningKid != "" {
			f.kids[v.SigningKid] = true
		}
	}
	current, _ := r.byIssuer.LoadOrStore(issuer, &atomic.Pointer[inForce]{})
	if p, ok := current.(*atomic.Pointer[inForce]); ok {
		p.Store(f)
	}
}

func (r *Revocations) of(issuer string) *inForce {
	if current, ok := r.byIssuer.Load(issuer); ok {
		if p, ok := current.(*atomic.Pointer[inForce]); ok {
			return p.Load()
		}
	}
	return &inForce{}
}

// List returns what is in force for an issuer, and since when.
func (r *Revocations) List(issuer string) ([]Revocation, time.Time) {
	f := r.of(issuer)
	return f.list, f.made
}

// Add puts a revocation in force: when it returns nil it is durable, recorded by
// e, and every later question in this process knows it.
func (r *Revocations) Add(ctx context.Context, v *Revocation, e *Entry) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.store.PutRevocation(ctx, v, e); err != nil {
		return err
	}
	r.replace(v.Issuer, append(slices.Clone(r.of(v.Issuer).list), *v), e.Time)
	return nil
}

// names tells whether an issuer withdrew a token.
func (r *Revocations) names(issuer string, t *ActiveToken) bool {
	f := r.of(issuer)
	if f.jtis[t.Claims.ID] || f.kids[t.Kid] {
		return true
	}
	for i := range f.list {
		v := &f.list[i]
		if (v.All || v.Claim != "" && t.holds(v.Claim, v.Value)) && t.Claims.IssuedAt < v.Before.Unix() {
			return true
		}
	}
	return false
}

// Target says what to revoke: exactly one of the first four, or Credential with
// its Client, or All.
type Target struct {
	JTI string
	// Client means all its tokens; with Credential (a kid or a secret's ID) those
	// that this credential bought.
	Client, Credential string
	SigningKid         string
	// All means every token that was issued before At.
	All bool
	At  time.Time
}

// Plan works out which tokens a target means at now. It changes nothing. What
// cannot be named is an *OnboardingError that says why.
func (r *Revocations) Plan(ctx context.Context, issuer *Issuer, t Target, now time.Time) (*Revocation, error) {
	v := &Revocation{Issuer: issuer.Name, ID: newJTI(), Created: now.UTC(), Until: now.Add(maxTokenLifetime).UTC(), Before: nextSecond(now)}
	if !t.At.IsZero() {
		if t.At.After(now) {
			return nil, reject("tokens of the future cannot be revoked: give an instant that has passed")
		}
		v.Before = t.At.UTC()
	}
	claim := clientClaim(issuer.Profile)
	switch {
	case t.JTI != "":
		v.Reason = "token " + t.JTI
		return r.planTokens(ctx, v, Query{JTI: t.JTI}, "", now)
	case t.Client != "" && t.Credential != "":
		v.Reason = "client " + t.Client + ", credential " + t.Credential
		return r.planTokens(ctx, v, Query{Client: t.Client}, t.Credential, now)
	case t.Client != "" && claim == "":
		v.Reason = "client " + t.Client
		return r.planTokens(ctx, v, Query{Client: t.Client}, "", now)
	case t.Client != "":
		v.Reason, v.Claim, v.Value = "client "+t.Client, claim, t.Client
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

// clientClaim is the claim that holds the client in a profile's tokens, or "".
func clientClaim(p *profile.Profile) string {
	for i := range p.Policy.Token.Claims {
		if claim := &p.Policy.Token.Claims[i]; claim.From == profile.SourceClient && claim.Release == "" {
			return claim.Name
		}
	}
	return ""
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
		if e.Expires.After(v.Until) {
			v.Until = e.Expires.UTC()
		}
		return nil
	})
	switch {
	case errors.Is(err, errTooMany):
		return nil, reject("more than %d tokens to revoke one by one: revoke the client, the signing key, or everything before an instant", MaxRevokedAtOnce)
	case err != nil:
		return nil, err
	case len(v.JTIs) == 0:
		return nil, fmt.Errorf("live tokens of %s: %w", v.Reason, ErrNotFound)
	}
	return v, nil
}

// revocationListLifetime is how long a published list may be believed.
const revocationListLifetime = 24 * time.Hour

// AppendJSON appends the claims of the list that an issuer publishes; bearer's
// RevocationList reads it.
func (r *Revocations) AppendJSON(dst []byte, issuer *Issuer, now time.Time) []byte {
	list, _ := r.List(issuer.Name)
	var jtis, kids, claims []string
	var before int64
	for i := range list {
		v := &list[i]
		for _, jti := range v.JTIs {
			jtis = append(jtis, quoted(jti))
		}
		switch {
		case v.SigningKid != "":
			kids = append(kids, quoted(v.SigningKid))
		case v.All:
			before = max(before, v.Before.Unix())
		case v.Claim != "":
			claims = append(claims, fmt.Sprintf(`{"claim":%s,"value":%s,"before":%d}`, quoted(v.Claim), quoted(v.Value), v.Before.Unix()))
		}
	}
	return fmt.Appendf(dst, `{"iss":%s,"iat":%d,"exp":%d,"before":%d,"jti":[%s],"kid":[%s],"claim":[%s]}`,
		quoted(issuer.URL), now.Unix(), now.Add(revocationListLifetime).Unix(), before,
		strings.Join(jtis, ","), strings.Join(kids, ","), strings.Join(claims, ","))
}

func quoted(s string) string { return string(strictjson.AppendString(nil, s)) }

// holds tells whether a claim of the token is that value, or a list that has it.
func (t *ActiveToken) holds(name, value string) (found bool) {
	_ = strictjson.Object(t.Payload, strictjson.Limits{}, func(member string, v strictjson.Value) error {
		if member != name {
			return nil
		}
		if text, err := v.Text(); err == nil {
			found = text == value
			return nil
		}
		texts, err := v.Texts()
		found = err == nil && slices.Contains(texts, value)
		return nil
	})
	return found
}
