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

// Published is an issuer's JWK set (RFC 7517 section 5) as it is to be served. It
// is shared: nobody may change Body.
type Published struct {
	Body []byte
	// ETag is a strong entity tag (RFC 9110 section 8.8.3), quotes included. It
	// changes exactly when Body does.
	ETag string
	// Until is the instant at which the set is known to change next; zero if none
	// is known. A max-age that goes beyond it promises too much.
	Until time.Time

	keys map[string]*jose.PublicKey // what is in Body, by kid
}

// ring is what one issuer's keys come to, worked out ahead for every instant: the
// hot path only looks up the time. It is immutable.
type ring struct {
	revision  int64
	signing   timetable[*jose.Signer]
	published timetable[Published]
}

// incomplete is the revision of a ring that lacks keys which the store has.
const incomplete = -1

// opened is a key in the forms in which it is used.
type opened struct {
	signer *jose.Signer    // nil when it will not sign any more
	public *jose.PublicKey // nil when it is not to be published
}

// newRing works out the timetables; ready has the keys by kid.
func newRing(keys registry.SigningKeys, ready map[string]opened) *ring {
	newest := slices.SortedFunc(slices.Values(keys.Keys), newestFirst)
	var turns, changes []time.Time
	for i := range newest {
		turns = append(turns, newest[i].ActiveAt, newest[i].RetiredAt, newest[i].RemovedAt)
		changes = append(changes, newest[i].AnnouncedAt.Add(-clocks), newest[i].RemovedAt)
	}
	signing := newTimetable(turns, func(at time.Time) *jose.Signer {
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
	return &ring{revision: keys.Revision, signing: signing, published: sets}
}

// publish writes the JWK set of an instant, the newest key first.
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

// newestFirst orders keys by when they were announced.
func newestFirst(a, b registry.SigningKey) int {
	return cmp.Or(b.AnnouncedAt.Compare(a.AnnouncedAt), cmp.Compare(a.Kid, b.Kid))
}

// timetable tells what holds when. Its first span begins at the zero time, so
// something holds at every instant.
type timetable[T any] []span[T]

// span is what holds from an instant on, until the next span.
type span[T any] struct {
	from  time.Time
	value T
}

// newTimetable asks for the value at each of the instants at which it may change.
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

// at returns what holds at that instant. The last spans are asked for most.
func (t timetable[T]) at(at time.Time) T {
	i := len(t) - 1
	for i > 0 && at.Before(t[i].from) {
		i--
	}
	return t[i].value
}
