package limit

import (
	"cmp"
	"slices"
	"time"
)

// This file is what a limiter does for a Share: it counts what each key took here,
// so that others can be told, and charges what it took elsewhere.
//
// What others took is heard late. If each replica gave the whole rate until it
// hears, all would stand still afterwards to pay for it, and so on in turns. So a
// key that was busy elsewhere pays a toll with each event: what others take
// meanwhile if they go on as before. What is heard is then paid for already.

const (
	// forgetful is the part of what was lately taken that is forgotten with each beat,
	// and of tolls that nothing was heard for, which are given back.
	forgetful = 8
	// mostAhead bounds the tolls that nothing was heard for yet. It is what a Share's
	// bound says beside the burst.
	mostAhead = time.Second
	// quiet is how long a key's schedule is level before its tally is forgotten.
	quiet = 4 * time.Second
	// smallest is the part of a second's rate below which a key's use is not told.
	smallest = 0.01
	// epoch is how many beats have time to add up to the smallest part.
	epoch = 4
	// leastSlack is the least that a burst is in a cluster: what others took comes in
	// lumps, and a key that stays below its rate should not stumble over them.
	leastSlack = 500 * time.Millisecond
	// heardMost bounds what is believed of one beat, beside the burst.
	heardMost = time.Minute
)

// tally is a key's use in the view of one replica.
type tally struct {
	taken       int64         // here, and not told yet
	own, others float64       // told and heard, lately
	toll        time.Duration // what an event costs beside its own interval
	ahead       time.Duration // tolls paid for what was not heard yet
}

// use is how many events of a key there were.
type use[K comparable] struct {
	key    K
	events int64
}

// count notes an event here and returns its toll. Caller holds mu.
func (s *shard[K]) count(key K, maxKeys int) (toll time.Duration) {
	if s.busy == nil {
		return 0
	}
	t := s.tally(key, maxKeys)
	t.taken++
	toll = min(t.toll, mostAhead-t.ahead)
	t.ahead += toll
	return toll
}

// tally of a key. Beyond maxKeys it is one that nobody keeps. Caller holds mu.
func (s *shard[K]) tally(key K, maxKeys int) *tally {
	t := s.busy[key]
	if t == nil {
		t = &tally{}
		if len(s.busy) < maxKeys {
			s.busy[key] = t
		}
	}
	return t
}

// share begins to count. Before, a limiter pays nothing for it.
func (l *Limiter[K]) share() {
	if l.interval > 0 {
		l.slack = max(l.slack, leastSlack)
	}
	for i := range l.shard {
		s := &l.shard[i]
		s.mu.Lock()
		s.busy = map[K]*tally{}
		s.mu.Unlock()
	}
}

// spent charges n events of key that others let through, as far as they are not
// paid for already. The schedule may go beyond the burst, so that what was too much
// is paid back.
func (l *Limiter[K]) spent(key K, n int64, replicas int, now time.Time) {
	if l.interval == 0 || n <= 0 {
		return
	}
	charge := l.believable(n)
	s := l.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		return
	}
	t := s.tally(key, l.maxKeys)
	t.others += float64(charge) / float64(l.interval)
	t.weigh(l.interval, replicas)
	paid := min(charge, t.ahead)
	t.ahead -= paid
	if charge == paid {
		return
	}
	due, known := s.due[key]
	if due.Before(now) {
		due = now
	}
	if !known && len(s.due) >= l.maxKeys {
		s.makeRoom(now)
	}
	s.due[key] = due.Add(charge - paid)
}

// believable is what n events cost, and no more than another replica can have let
// through in a minute.
func (l *Limiter[K]) believable(n int64) time.Duration {
	most := l.slack + l.interval + heardMost
	if n > int64(most/l.interval) {
		return most
	}
	return l.interval * time.Duration(n)
}

// weigh works out the toll: what others took for each event here, but no more than
// if all replicas took the same.
func (t *tally) weigh(interval time.Duration, replicas int) {
	most := float64(max(replicas-1, 0))
	ratio := most
	if t.own > 0 {
		ratio = min(t.others/t.own, most)
	}
	if t.others == 0 {
		ratio = 0
	}
	t.toll = time.Duration(min(float64(interval)*ratio, float64(mostAhead)))
}

// collect tells what the busiest keys took here since they were last told of, the
// busiest first: at most so many, whose sizes sum up to at most room. What is left
// out is told another time. beat is its number, and replicas how many there are.
func (l *Limiter[K]) collect(beat uint64, replicas, most, room int, size func(K) int, now time.Time) []use[K] {
	if l.interval == 0 {
		return nil
	}
	worth := max(int64(smallest*float64(time.Second)/float64(l.interval)), 1)
	var uses []use[K]
	for i := range l.shard {
		uses = l.shard[i].beat(uses, worth, beat%epoch == 0, now)
	}
	slices.SortFunc(uses, func(a, b use[K]) int { return cmp.Compare(b.events, a.events) })
	told := uses[:0]
	for _, u := range uses {
		if room -= size(u.key); len(told) == most || room < 0 {
			break
		}
		told = append(told, u)
	}
	for _, u := range told {
		s := l.of(u.key)
		s.mu.Lock()
		if t := s.busy[u.key]; t != nil {
			t.taken = max(t.taken-u.events, 0)
			t.own += float64(u.events)
			t.weigh(l.interval, replicas)
		}
		s.mu.Unlock()
	}
	return told
}

// beat lets what was taken fade, gives tolls back that nothing was heard for, and
// appends the uses that are worth telling. At the end of an epoch it forgets small
// ones of keys whose schedule is level: of these the rate is far away.
func (s *shard[K]) beat(uses []use[K], worth int64, endOfEpoch bool, now time.Time) []use[K] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, t := range s.busy {
		due, known := s.due[key]
		if t.taken < worth && now.Sub(due) > quiet {
			delete(s.busy, key)
			continue
		}
		t.own -= t.own / forgetful
		t.others -= t.others / forgetful
		back := (t.ahead + forgetful - 1) / forgetful
		t.ahead -= back
		if left := due.Sub(now); known && left > 0 {
			s.due[key] = due.Add(-min(back, left))
		}
		switch {
		case t.taken >= worth:
			uses = append(uses, use[K]{key, t.taken})
		case endOfEpoch && !due.After(now):
			t.taken = 0
		}
	}
	return uses
}
