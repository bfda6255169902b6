package overload

import (
	"hash/maphash"
	"time"
)

// goodTokens remembers which access tokens were found good, by a keyed hash of 64 bits. A
// hit proves nothing: the token is verified again. It only decides which limits apply.
type goodTokens struct {
	seed  maphash.Seed
	until *Penalty[uint64] // used as a map of instants that is bounded
}

func newGoodTokens(most int) *goodTokens {
	return &goodTokens{seed: maphash.MakeSeed(), until: NewPenalty[uint64](most)}
}

func (g *goodTokens) key(token string) uint64 { return maphash.String(g.seed, token) }

func (g *goodTokens) has(key uint64, now time.Time) bool { return g.until.Remaining(key, now) > 0 }

func (g *goodTokens) add(key uint64, until, now time.Time) { g.until.Impose(key, until, now) }

// remove forgets a token. One that is not remembered takes no room.
func (g *goodTokens) remove(key uint64, now time.Time) {
	if g.has(key, now) {
		g.until.Impose(key, now, now)
	}
}
