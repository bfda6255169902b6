// Package revocation is the set of access tokens that an issuer revoked before
// their end: what one revocation says, whether the set matches a token, and the
// list in which an issuer publishes its set.
//
// It is the one place where both sides decide: internal/authority adds to a set and
// asks it, package bearer reads one from the issuer's list. It signs and fetches
// nothing and stores nothing.
//
// RFC 7009 (§2), RFC 7519 (§4.1).
package revocation

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/strictjson"
)

// Revocation revokes access tokens of one issuer before their end. Exactly one of
// JTIs, Claim, SigningKid and All says which.
type Revocation struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// JTIs lists tokens one by one.
	JTIs []string `json:"jtis,omitempty"`
	// Claim and Value match every token whose claim is, or holds, that value.
	Claim string `json:"claim,omitempty"`
	Value string `json:"value,omitempty"`
	// SigningKid matches every token that the key signed.
	SigningKid string `json:"signing_kid,omitempty"`
	// All matches every token.
	All bool `json:"all,omitempty"`
	// Before bounds Claim and All: a token whose iat is not before it does not match.
	Before time.Time `json:"before,omitzero"`
	// Until is when the last token that it matches has ended, and it can be forgotten.
	Until time.Time `json:"until"`
	// Reason is what an administrator asked for, in words.
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
	// Unverified is set where the revocation in the store does not verify under the master
	// key, so that it may have revoked other tokens. It is never stored.
	Unverified bool `json:"-"`
}

// group is the group of tokens that v revokes; zero when it lists them one by one.
func (v *Revocation) group() group {
	return group{kid: v.SigningKid, claim: v.Claim, value: v.Value, all: v.All}
}

// MaxTokens bounds how many tokens of one issuer can be revoked one by one at the
// same time: what they cost in memory, and in every poll of the list.
const MaxTokens = 100_000

// MaxGroups bounds the clients and signing keys of one issuer whose tokens can be
// revoked at the same time, so that the list stays short enough to be signed.
const MaxGroups = 1_000

// Token is what a set looks at in an access token.
type Token struct {
	// ID is its jti and KeyID the kid of the key that signed it.
	ID, KeyID string
	// IssuedAt is its iat in seconds; 0 when it has none.
	IssuedAt int64
	// Payload is its whole claim set.
	Payload []byte
}

// Set is the tokens that an issuer revoked. Its zero value is empty. Any number of
// goroutines may ask it while one changes it; questions take no lock.
type Set struct {
	jtis   sync.Map // string -> time.Time, when the token ends
	groups sync.Map // group -> extent
	// tokens counts jtis, grouped counts groups.
	tokens, grouped atomic.Int64
	version         atomic.Int64
}

// group is tokens that are revoked together: those of a signing key, those whose
// claim is, or holds, a value, or all.
type group struct {
	kid, claim, value string
	all               bool
}

// extent is how far the revocation of a group goes.
type extent struct {
	before time.Time // matches what was issued before it; zero matches the whole group
	until  time.Time // when the last token that it matches has ended
}

// with is an extent that goes as far as both do. Both match either a whole group or
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

// Add revokes what v says. One goroutine at a time may call Add or Sweep.
func (s *Set) Add(v *Revocation) {
	for _, jti := range v.JTIs {
		s.addToken(jti, v.Until)
	}
	if g := v.group(); g != (group{}) {
		s.addGroup(g, extent{v.Before, v.Until})
	}
	s.version.Add(1)
}

func (s *Set) addToken(jti string, until time.Time) {
	if _, known := s.jtis.Swap(jti, until); !known {
		s.tokens.Add(1)
	}
}

func (s *Set) addGroup(g group, e extent) {
	if known, ok := s.extentOf(g); ok {
		e = known.with(e)
	} else {
		s.grouped.Add(1)
	}
	s.groups.Store(g, e)
}

func (s *Set) extentOf(g group) (extent, bool) {
	value, _ := s.groups.Load(g)
	e, ok := value.(extent)
	return e, ok
}

// Tokens is how many tokens are revoked one by one.
func (s *Set) Tokens() int64 { return s.tokens.Load() }

// Version goes up with every change.
func (s *Set) Version() int64 { return s.version.Load() }

// Succeed makes s later than another set of the same issuer, which it replaces.
func (s *Set) Succeed(other *Set) { s.version.Store(other.Version() + 1) }

// Room returns why v would make the set too large to be published, in words for an
// operator; nil when it fits.
func (s *Set) Room(v *Revocation) error {
	fresh := int64(0)
	for _, jti := range v.JTIs {
		if _, known := s.jtis.Load(jti); !known {
			fresh++
		}
	}
	_, known := s.extentOf(v.group())
	switch {
	case s.tokens.Load()+fresh > MaxTokens:
		return fmt.Errorf("more than %d tokens of issuer %s are revoked one by one: revoke a client, a signing key, or everything before an instant", MaxTokens, v.Issuer)
	case len(v.JTIs) == 0 && !v.All && !known && s.grouped.Load() >= MaxGroups:
		return fmt.Errorf("the tokens of %d clients and signing keys of issuer %s are revoked: revoke everything before an instant", MaxGroups, v.Issuer)
	}
	return nil
}

// Sweep forgets what only matches tokens that have ended at now.
func (s *Set) Sweep(now time.Time) {
	s.jtis.Range(func(jti, until any) bool {
		if end, ok := until.(time.Time); ok && !now.Before(end) {
			s.jtis.Delete(jti)
			s.tokens.Add(-1)
			s.version.Add(1)
		}
		return true
	})
	s.groups.Range(func(g, value any) bool {
		if e, ok := value.(extent); ok && !now.Before(e.until) {
			s.groups.Delete(g)
			s.grouped.Add(-1)
			s.version.Add(1)
		}
		return true
	})
}

// Matches reports whether the token is revoked. The error says that its payload is
// no claim set, so that nobody can tell; it is nil for every verified token.
func (s *Set) Matches(t Token) (bool, error) {
	if _, revoked := s.jtis.Load(t.ID); revoked {
		return true, nil
	}
	if s.grouped.Load() == 0 {
		return false, nil
	}
	if s.reaches(group{all: true}, t) || s.reaches(group{kid: t.KeyID}, t) {
		return true, nil
	}
	matches := false
	err := strictjson.Object(t.Payload, strictjson.Limits{}, func(claim string, v strictjson.Value) error {
		return eachText(v, func(text string) {
			matches = matches || s.reaches(group{claim: claim, value: text}, t)
		})
	})
	return matches, err
}

// MatchesKey reports whether all tokens of a signing key are revoked.
func (s *Set) MatchesKey(kid string) bool { return s.reaches(group{kid: kid}, Token{}) }

// reaches reports whether a group is revoked as far as to a token of it.
func (s *Set) reaches(g group, t Token) bool {
	e, ok := s.extentOf(g)
	return ok && (e.before.IsZero() || t.IssuedAt < e.before.Unix())
}

// eachText visits what a claim says: a string, or each string of an array, whatever
// else the array holds.
func eachText(v strictjson.Value, visit func(string)) error {
	if v.Kind() == strictjson.KindArray {
		return v.Elements(func(element strictjson.Value) error {
			if text, err := element.Text(); err == nil {
				visit(text)
			}
			return nil
		})
	}
	if text, err := v.Text(); err == nil {
		visit(text)
	}
	return nil
}
