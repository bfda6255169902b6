package ledger

import (
	"bytes"
	"math"
	"time"
)

// maxUnconfirmed is how long entries may be recorded without a checkpoint: a server signs
// one each minute in which there are new entries, and when it starts.
const maxUnconfirmed = 5 * time.Minute / time.Millisecond

// moment is an entry and its time, in Unix milliseconds.
type moment struct{ seq, at int64 }

// since returns the time from at on, of up to some centuries.
func (m moment) since(at int64) time.Duration {
	return time.Duration(min(m.at-at, int64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// succession checks that the checkpoints of one chain follow one another: in their numbers,
// and in the times of the entries between them. Only what is in the chain counts; nothing
// is concluded from the part before the first entry that is read.
type succession struct {
	first, last numbered // checkpoints; zero before the first
	// open is the first entry after the last checkpoint that is not signed itself, as a
	// checkpoint or an anchor is, and overdue the first after it that is too late to be
	// confirmed together with it. newest is the newest such entry, latest the last.
	open, overdue, newest moment
	latest                int64
	timeless              int64 // the first entry without a time
	// anchor is the anchor of this chain that names the latest entry.
	anchor struct {
		seq, number int64
		by          int64
	}
}

// numbered is a checkpoint of a chain.
type numbered struct {
	Head
	number int64
}

// entry notes the next entry, which is neither a checkpoint nor an anchor.
func (s *succession) entry(r *Record) {
	at, ok := timeOf(r.Line)
	if !ok {
		if s.timeless == 0 {
			s.timeless = r.Seq
		}
		at = s.newest.at
	}
	s.latest = r.Seq
	if s.open.seq == 0 {
		s.open = moment{r.Seq, at}
	}
	if s.overdue.seq == 0 && at-s.open.at > int64(maxUnconfirmed) {
		s.overdue = moment{r.Seq, at}
	}
	if s.newest.seq == 0 || at > s.newest.at {
		s.newest = moment{r.Seq, at}
	}
}

// checkpoint checks the next checkpoint of the chain that begins with entry first.
func (s *succession) checkpoint(r *Record, c *Checkpoint, first int64) *BrokenError {
	last := s.last
	open, overdue := s.open, s.overdue
	s.last, s.open, s.overdue = numbered{Head{r.Seq, r.Hash}, c.Number}, moment{}, moment{}
	if s.first.number == 0 {
		s.first = s.last
	}
	switch {
	case last.number != 0 && (c.Number != last.number+1 || c.Previous != last.Head):
		return brokenf(r.Seq, "it is checkpoint %d and follows %s, but the checkpoint before it in the chain is %d, entry %s: checkpoints were removed or added",
			c.Number, showPrevious(c), last.number, ShowSeq(last.Seq))
	case last.number == 0 && PlaceOf(first) == 1 && c.Number != 1:
		return brokenf(r.Seq, "it is checkpoint %d of a chain without an earlier one: checkpoints were removed", c.Number)
	case last.number == 0 && c.Previous.Seq >= first:
		return brokenf(r.Seq, "it follows %s, which is not a checkpoint", showPrevious(c))
	case c.Resumed != 0 && overdue.seq != 0 && overdue.seq <= c.Resumed:
		return brokenf(open.seq, "no checkpoint confirms it nor what was recorded in the %v after it, before a server continued the chain: checkpoints were removed",
			overdue.since(open.at))
	}
	return nil
}

func showPrevious(c *Checkpoint) string {
	if c.Previous.Seq == 0 {
		return "no other"
	}
	return "entry " + ShowSeq(c.Previous.Seq)
}

// anchored notes an anchor of this chain, which entry by is.
func (s *succession) anchored(a *Anchor, by int64) {
	if a.Last.Seq > s.anchor.seq || a.Last.Seq == s.anchor.seq && by < s.anchor.by {
		s.anchor.seq, s.anchor.number, s.anchor.by = a.Last.Seq, a.Checkpoint, by
	}
}

// checkAnchor returns an error if the checkpoints that are left are not those that the
// anchor names. The chain begins with entry first.
func (s *succession) checkAnchor(first int64) *BrokenError {
	a := &s.anchor
	if a.number == 0 || first > a.seq+1 {
		return nil
	}
	switch {
	case s.first.number == 0 && a.number > 1:
		return brokenf(a.seq+1, "checkpoint %d, which anchor %s names as the first after the removed entries, is missing", a.number, ShowSeq(a.by))
	case s.first.Seq > a.seq && s.first.number != a.number, 0 < s.first.Seq && s.first.Seq <= a.seq && s.first.number >= a.number:
		return brokenf(s.first.Seq, "it is checkpoint %d, but anchor %s names %d as the first after the removed entries: checkpoints were removed",
			s.first.number, ShowSeq(a.by), a.number)
	}
	return nil
}

// checkEnd returns an error if the writer of the chain should have signed another checkpoint,
// or if the entries after the last confirmed one should be confirmed by now: newest is the
// time of the newest entry of all chains, confirmed the last entry of this chain that a
// checkpoint of any chain names, with the time of that checkpoint.
func (s *succession) checkEnd(confirmed moment, newest int64) *BrokenError {
	open := s.open
	switch {
	case s.overdue.seq != 0: // even if a checkpoint of another chain names it
	case s.latest <= max(confirmed.seq, s.last.Seq):
		return nil
	case open.seq <= confirmed.seq: // what comes after it was recorded after that checkpoint
		open = moment{confirmed.seq + 1, confirmed.at}
	}
	if newest-open.at <= int64(maxUnconfirmed) {
		return nil
	}
	return brokenf(open.seq, "no checkpoint confirms it, and the newest entry was made %v later: checkpoints were removed, or no server could sign them",
		moment{at: newest}.since(open.at))
}

// timeOf returns the time of an entry in Unix milliseconds, from its canonical line.
func timeOf(line []byte) (at int64, ok bool) {
	const form, longestStart = len("2006-01-02T15:04:05.000Z"), 80
	_, rest, _ := bytes.Cut(line[:min(len(line), longestStart)], []byte(`","time":"`))
	var t time.Time
	if len(rest) < form || t.UnmarshalText(rest[:form]) != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}
