package ledger

import "testing"

// TestClaims: what is said of one entry is kept once for each hash, and forgotten when it
// is taken.
func TestClaims(t *testing.T) {
	var s claims
	say := func(hash byte, by int64, checkpoint bool) {
		s.add(claim{Head: Head{Seq: 7, Hash: Hash{hash}}, by: by, checkpoint: checkpoint, anchor: !checkpoint})
	}
	for range 2 {
		for _, hash := range []byte{1, 2, 3} {
			say(hash, 20, false)
			say(hash, 11, true)
			say(hash, 12, true)
			say(hash, 10, false)
		}
		s.add(claim{Head: Head{Seq: 8}})
		if s.n != 4 {
			t.Errorf("%d claims, want 4", s.n)
		}
		cl, ok := s.take(7)
		seen := 0
		for c := &cl; ok && c != nil; c = c.other {
			if seen++; !c.checkpoint || !c.anchor || c.by != 11 {
				t.Errorf("%+v, want checkpoint and anchor, named by the first checkpoint", c)
			}
		}
		if _, again := s.take(7); seen != 3 || again || s.n != 1 {
			t.Errorf("%d were taken of 3, and %d are left", seen, s.n)
		}
	}
}
