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
func (c *claim) origin() string {
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
	// others are those that say something else of their entry than the first: found by
	// what they say, for whoever writes a ledger can put in as many as there are entries.
	others map[Head]*claim
	n      int
}

// add keeps a claim; one that was made before counts once.
func (s *claims) add(cl claim) {
	if s.of == nil {
		s.of, s.others = map[int64]claim{}, map[Head]*claim{}
	}
	first, some := s.of[cl.Seq]
	p := s.others[cl.Head]
	switch {
	case some && first.Hash == cl.Hash:
		first.merge(&cl)
	case p != nil:
		p.merge(&cl)
		return
	case some:
		cl.other, first.other = first.other, &cl
		s.others[cl.Head] = &cl
		s.n++
	default:
		first = cl
		s.n++
	}
	s.of[cl.Seq] = first
}

// merge adds what another claim is that says the same.
func (c *claim) merge(d *claim) {
	c.by = earliest(c, d).by
	c.checkpoint, c.anchor = c.checkpoint || d.checkpoint, c.anchor || d.anchor
}

// take removes the claims on an entry, linked by other.
func (s *claims) take(seq int64) (cl claim, ok bool) {
	if cl, ok = s.of[seq]; !ok {
		return cl, false
	}
	delete(s.of, seq)
	s.n--
	for p := cl.other; p != nil; p = p.other {
		delete(s.others, p.Head)
		s.n--
	}
	return cl, true
}

// entries returns those that claims are kept of, sorted.
func (s *claims) entries() []int64 { return slices.Sorted(maps.Keys(s.of)) }
