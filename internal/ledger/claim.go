package ledger

import (
	"maps"
	"slices"
)

// claim is what an entry says of the chain after another: a checkpoint, an anchor, or
// several that say the same.
type claim struct {
	Head
	by                 int64 // the entry that says so, the first checkpoint if there is one
	checkpoint, anchor bool
	other              *claim // says something else of the same entry
}

// witness names the entry that makes the claim.
func (c *claim) witness() string {
	if c.checkpoint {
		return "checkpoint " + ShowSeq(c.by)
	}
	return "anchor " + ShowSeq(c.by)
}

// earliest returns the claim on the earlier entry. c may be nil.
func earliest(c, d *claim) *claim {
	if c == nil || d.Seq < c.Seq || d.Seq == c.Seq && d.precedes(c) {
		return d
	}
	return c
}

// latest returns the claim on the later entry. c may be nil.
func latest(c, d *claim) *claim {
	if c == nil || d.Seq > c.Seq || d.Seq == c.Seq && d.precedes(c) {
		return d
	}
	return c
}

// precedes reports whether c is named rather than d, which is about the same entry: so
// that a report does not depend on the order in which chains are read.
func (c *claim) precedes(d *claim) bool {
	if c.checkpoint != d.checkpoint {
		return c.checkpoint
	}
	return c.by < d.by
}

// claims are such as cannot be judged yet, by their entry.
type claims struct {
	of map[int64]claim
	n  int
}

// add keeps a claim; one that was made before counts once.
func (s *claims) add(cl claim) {
	if s.of == nil {
		s.of = map[int64]claim{}
	}
	first, some := s.of[cl.Seq]
	if !some {
		s.of[cl.Seq] = cl
		s.n++
		return
	}
	p := &first
	for p.Hash != cl.Hash && p.other != nil {
		p = p.other
	}
	if p.Hash == cl.Hash {
		p.by = earliest(p, &cl).by
		p.checkpoint, p.anchor = p.checkpoint || cl.checkpoint, p.anchor || cl.anchor
	} else {
		p.other = &cl
		s.n++
	}
	s.of[cl.Seq] = first
}

// take removes the claims on an entry, linked by other.
func (s *claims) take(seq int64) (cl claim, ok bool) {
	if cl, ok = s.of[seq]; !ok {
		return cl, false
	}
	delete(s.of, seq)
	for p := &cl; p != nil; p = p.other {
		s.n--
	}
	return cl, true
}

// entries returns those that claims are kept of, sorted.
func (s *claims) entries() []int64 { return slices.Sorted(maps.Keys(s.of)) }
