package keyring

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// Published is the JWK set of an issuer as it is served (RFC 7517 section 5). It is shared: callers
// must not modify Body.
type Published struct {
	Body []byte
	// ETag is a strong entity tag (RFC 9110 section 8.8.3), quotes included. It changes exactly
	// when Body changes.
	ETag string
	// Until is the next instant at which the set is known to change, or zero. A response must not
	// be cached beyond it.
	Until time.Time

	keys map[string]*jose.PublicKey // the keys in Body, by kid
}

// ring holds one issuer's signing key and JWK set for every instant, computed in advance: a request
// only looks up the time. It is immutable.
type ring struct {
	revision  int64
	signing   timetable[*jose.Signer]
	published timetable[Published]
	revoked   []KeyInfo // the revoked keys, sorted by kid
	// unverified is set if what the store has now does not verify.
	unverified bool
}

// asUnverified returns the ring, empty if it is nil, as what stays of keys that do not verify.
func (r *ring) asUnverified() *ring {
	if r == nil {
		r = newRing(registry.SigningKeys{}, nil)
	}
	return &ring{revision: incomplete, signing: r.signing, published: r.published, revoked: r.revoked, unverified: true}
}

// incomplete is the revision of a ring that lacks keys because they could not be opened.
const incomplete = -1

// opened is a key that is ready for use.
type opened struct {
	signer *jose.Signer    // nil if it does not sign any more
	public *jose.PublicKey // nil if it is not published
}

// newRing computes the timetables; ready holds the opened keys by kid.
func newRing(keys registry.SigningKeys, ready map[string]opened) *ring {
	newest := slices.SortedFunc(slices.Values(keys.Keys), newestFirst)
	var signs, changes []time.Time
	for i := range newest {
		signs = append(signs, newest[i].ActiveAt, newest[i].RetiredAt, newest[i].RemovedAt)
		changes = append(changes, newest[i].AnnouncedAt.Add(-clockSkew), newest[i].RemovedAt)
	}
	signing := newTimetable(signs, func(at time.Time) *jose.Signer {
		if key := signingKey(newest, at); key != nil {
			return ready[key.Kid].signer
		}
		return nil
	})
	sets := newTimetable(changes, func(at time.Time) Published { return publish(newest, ready, at) })
	sets = slices.CompactFunc(sets, func(a, b span[Published]) bool { return a.value.ETag == b.value.ETag })
	for i := range len(sets) - 1 {
		sets[i].value.Until = sets[i+1].from
	}
	return &ring{revision: keys.Revision, signing: signing, published: sets, revoked: revokedKeys(keys.Keys)}
}

// revokedKeys returns the keys that were revoked, sorted by kid.
func revokedKeys(keys []registry.SigningKey) []KeyInfo {
	var revoked []KeyInfo
	for i := range keys {
		if !keys[i].RevokedAt.IsZero() {
			revoked = append(revoked, infoOf(&keys[i], keys[i].RevokedAt))
		}
	}
	slices.SortFunc(revoked, func(a, b KeyInfo) int { return cmp.Compare(a.Kid, b.Kid) })
	return revoked
}

// publish encodes the JWK set of an instant, the newest key first.
func publish(newest []registry.SigningKey, ready map[string]opened, at time.Time) Published {
	body := []byte(`{"keys":[`)
	keys := map[string]*jose.PublicKey{}
	for i := range newest {
		kid := newest[i].Kid
		public := ready[kid].public
		if public == nil || !published(&newest[i], at) {
			continue
		}
		if len(keys) > 0 {
			body = append(body, ',')
		}
		body = public.AppendJWK(body, kid)
		keys[kid] = public
	}
	body = append(body, `]}`...)
	sum := sha256.Sum256(body)
	return Published{Body: body, ETag: fmt.Sprintf("%q", base64.RawURLEncoding.EncodeToString(sum[:16])), keys: keys}
}

// newestFirst compares keys by the time of their announcement.
func newestFirst(a, b registry.SigningKey) int {
	return cmp.Or(b.AnnouncedAt.Compare(a.AnnouncedAt), cmp.Compare(a.Kid, b.Kid))
}

// timetable holds a value for every instant. Its first span begins at the zero time.
type timetable[T any] []span[T]

// span is a value that is valid from an instant until the next span begins.
type span[T any] struct {
	from  time.Time
	value T
}

// newTimetable computes the value at each of the instants at which it may change.
func newTimetable[T any](instants []time.Time, value func(time.Time) T) timetable[T] {
	instants = append(instants, time.Time{})
	slices.SortFunc(instants, time.Time.Compare)
	instants = slices.CompactFunc(instants, time.Time.Equal)
	table := make(timetable[T], len(instants))
	for i, from := range instants {
		table[i] = span[T]{from: from, value: value(from)}
	}
	return table
}

// at returns the value at that instant. It searches backwards since the last spans are used most.
func (t timetable[T]) at(at time.Time) T {
	i := len(t) - 1
	for i > 0 && at.Before(t[i].from) {
		i--
	}
	return t[i].value
}
