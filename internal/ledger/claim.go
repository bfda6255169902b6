package ledger

import (
	"maps"
	"slices"
)

// claim is a hash that a checkpoint, an anchor or a head noted elsewhere states for an entry,
// or the same hash stated by several of them.
type claim struct {
	Head
	by                        int64 // the entry that states it, the first checkpoint if there is one
	at                        int64 // the time of the last checkpoint, in Unix milliseconds
	checkpoint, anchor, noted bool
	other                     *claim // another hash for the same entry
}

// origin describes the entry that makes the claim.
func (c *claim) origin() string {
	switch {
	case c.checkpoint:
		return "checkpoint " + ShowSeq(c.by)
	case c.anchor:
		return "anchor " + ShowSeq(c.by)
	}
	return "a head noted elsewhere"
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

// precedes reports whether a report names c and not d, which is about the same entry. So
// reports do not depend on the order in which chains are read.
func (c *claim) precedes(d *claim) bool {
	if c.checkpoint != d.checkpoint {
		return c.checkpoint
	}
	if c.anchor != d.anchor {
		return c.anchor
	}
	return c.by < d.by
}

// claims is the claims that cannot be checked yet, by their entry.
type claims struct {
	of map[int64]claim
	// others are the claims that differ from the first of their entry, by their content:
	// a lookup must be fast because an attacker can add as many as there are entries.
	others map[Head]*claim
	n      int
}

// add adds a claim, or merges it with an equal one.
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

// merge merges an equal claim into c.
func (c *claim) merge(d *claim) {
	c.by, c.at = earliest(c, d).by, max(c.at, d.at)
	c.checkpoint, c.anchor, c.noted = c.checkpoint || d.checkpoint, c.anchor || d.anchor, c.noted || d.noted
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

// entries returns the entries that have claims, sorted.
func (s *claims) entries() []int64 { return slices.Sorted(maps.Keys(s.of)) }
