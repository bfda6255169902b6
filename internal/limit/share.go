package limit

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// Share makes the rate of a limiter hold over all replicas of a cluster, without a
// question to anybody while an event is judged. At each beat a replica publishes
// what its busiest keys took there, and hears what they took elsewhere, which is
// charged to their schedules here. A key may take its whole rate at one replica,
// or some at each.
//
// In any time W all N replicas together let through of one key at most
//
//	rate × (W + 1s) + burst + (N−1) × (burst + rate × D) + (N-1) × rate × W / 100
//
// where D is the longest time from an event until the others have heard of it: what
// the others do not know of yet, tolls, and what is too little to be told. As what
// was too much is paid back, it is the rate in the long run. Under far more than
// [mostTold] busy keys for each beat, those that take least are told later, and D
// grows.
//
// A nil Share publishes nothing and hears nothing.
type Share struct {
	now func() time.Time
	// collect and spent are those of the limiter.
	collect func(beat uint64, replicas int, now time.Time) []spending
	spent   func(k names, events int64, replicas int, now time.Time)

	mu    sync.Mutex // guards what follows
	run   uint64     // tells this Share from the one before, whose numbers were others
	beat  uint64
	beats []map[names]int64 // of the last beats, the newest first
	peers map[string]*peer
}

// names are the parts of a key.
type names struct{ Issuer, Client string }

// spending is what a key took in one beat.
type spending struct {
	names
	events int64
}

// peer is another replica.
type peer struct {
	run, beat uint64
	told      time.Time // when it last told something new
	heard     time.Time // when Heard was last called
}

const (
	// alive is how long a replica counts that tells nothing new.
	alive = 5 * time.Second
	// forgotten is how long a replica is remembered that is not heard of. Of one that
	// is forgotten and then heard again, the last beats may be charged twice.
	forgotten = 10 * time.Minute
	// mostPeers bounds how many replicas are heard.
	mostPeers = 256
)

// NewShare shares the rate of l, before it is used. now is the clock by which l is
// asked.
func NewShare[K interface {
	comparable
	~struct{ Issuer, Client string }
}](l *Limiter[K], now func() time.Time) *Share {
	l.share()
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails
	size := func(key K) int { k := names(key); return len(k.Issuer) + len(k.Client) }
	return &Share{
		now: now, run: binary.BigEndian.Uint64(run[:]), peers: map[string]*peer{},
		collect: func(beat uint64, replicas int, now time.Time) (told []spending) {
			for _, u := range l.collect(beat, replicas, mostTold, mostNames, size, now) {
				told = append(told, spending{names(u.key), u.events})
			}
			return told
		},
		spent: func(k names, events int64, replicas int, now time.Time) { l.spent(K(k), events, replicas, now) },
	}
}

// Beat returns what is to be published now. It is called once for each beat. Each
// publication repeats the beats before, so that one may be lost.
func (s *Share) Beat() []byte {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for name, p := range s.peers {
		if now.Sub(p.heard) > forgotten {
			delete(s.peers, name)
		}
	}
	s.beat++
	latest := map[names]int64{}
	for _, told := range s.collect(s.beat, s.replicas(now), now) {
		latest[told.names] = told.events
	}
	s.beats = append([]map[names]int64{latest}, s.beats[:min(len(s.beats), keptBeats-1)]...)
	return pack(&publication{run: s.run, beat: s.beat, beats: s.beats})
}

// Heard takes what another replica published last, at each beat. What was heard
// before changes nothing, nor does what is no publication or of a form that is not
// known here: until all replicas speak one form they hold their rates apart.
func (s *Share) Heard(replica string, published []byte) {
	if s == nil {
		return
	}
	p, err := unpack(published)
	if err != nil || p.run == s.run {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	from := s.peers[replica]
	if from == nil {
		if len(s.peers) == mostPeers {
			return
		}
		from = &peer{}
		s.peers[replica] = from
	}
	from.heard = now
	if from.run != p.run {
		from.run, from.beat = p.run, 0
	}
	if p.beat <= from.beat {
		return
	}
	fresh := min(p.beat-from.beat, uint64(len(p.beats)))
	from.beat, from.told = p.beat, now
	replicas := s.replicas(now)
	for _, beat := range p.beats[:fresh] {
		for k, events := range beat {
			s.spent(k, events, replicas, now)
		}
	}
}

// replicas counts those that are alive, this one included. Caller holds mu.
func (s *Share) replicas(now time.Time) int {
	n := 1
	for _, p := range s.peers {
		if now.Sub(p.told) <= alive {
			n++
		}
	}
	return n
}
