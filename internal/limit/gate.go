package limit

import "sync/atomic"

// Gate bounds how many are inside at once. Whoever finds it full is turned away
// at once.
type Gate struct {
	most   int64
	inside atomic.Int64
}

// NewGate makes a gate for at most so many.
func NewGate(most int) *Gate { return &Gate{most: int64(most)} }

// Enter lets the caller in, who must then Leave, or says that the gate is full.
func (g *Gate) Enter() bool {
	if g.inside.Add(1) <= g.most {
		return true
	}
	g.inside.Add(-1)
	return false
}

// Leave makes room for another.
func (g *Gate) Leave() { g.inside.Add(-1) }

// Inside tells how many are inside.
func (g *Gate) Inside() int64 { return g.inside.Load() }
