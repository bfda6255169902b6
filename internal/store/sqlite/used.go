package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/store/engine"
)

// maxUsed bounds the values that are remembered at once, each in about 30
// bytes of memory. Beyond it appends are refused: to forget one would be to let
// it be used twice.
const maxConsumed = 20_000_000

// errTooManyUsed means that maxUsed is reached.
var errTooManyConsumed = errors.New("more assertions are to be remembered than there is room for; shorter lives of assertions need less")

// used is the set of values that were consumed and could still come again.
// It is made from the database at the start; after that the writer, which alone
// writes the file, asks the set and adds to it what it has committed.
type consumedSet struct {
	shard [256]consumedShard
	size  atomic.Int64 // of all shards
	// forgotten is up to when it forgot, in Unix seconds; never further than the
	// database says.
	forgotten atomic.Int64
}

type consumedShard struct {
	mu sync.Mutex
	// until is when a value may be forgotten, in Unix seconds, rounded up.
	until map[engine.Key]uint32
}

func newConsumedSet() *consumedSet {
	u := &consumedSet{}
	for i := range u.shard {
		u.shard[i].until = map[engine.Key]uint32{}
	}
	return u
}

func (u *consumedSet) of(key engine.Key) *consumedShard { return &u.shard[key[0]] }

func (u *consumedSet) has(key engine.Key) bool {
	s := u.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.until[key]
	return ok
}

// full reports whether it takes no more.
func (u *consumedSet) full() bool { return u.size.Load() >= maxConsumed }

func (u *consumedSet) add(key engine.Key, until uint32) {
	s := u.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.until[key]; !known {
		u.size.Add(1)
	}
	s.until[key] = until
}

// forget removes what is over at now, in Unix seconds, and returns how many. It
// holds up one shard after the other, each for a moment.
func (u *consumedSet) forget(now int64) (n int64) {
	u.forgotten.Store(max(now, u.forgotten.Load()))
	for i := range u.shard {
		n += u.shard[i].forget(now)
	}
	u.size.Add(-n)
	return n
}

func (s *consumedShard) forget(now int64) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, until := range s.until {
		if int64(until) <= now {
			delete(s.until, key)
			n++
		}
	}
	return n
}

// each visits every key, and holds up one shard after the other.
func (u *consumedSet) each(visit func(key engine.Key, until uint32) error) error {
	for i := range u.shard {
		if err := u.shard[i].each(visit); err != nil {
			return err
		}
	}
	return nil
}

func (s *consumedShard) each(visit func(key engine.Key, until uint32) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, until := range s.until {
		if err := visit(key, until); err != nil {
			return err
		}
	}
	return nil
}

// usedSize is what a value takes in used_batch: its key and its until.
const consumedSize = len(engine.Key{}) + 4

func appendConsumed(dst []byte, key engine.Key, until uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, key[:]...), until)
}

// addAll adds what appendUsed packed.
func (u *consumedSet) addAll(packed []byte) error {
	if len(packed)%consumedSize != 0 {
		return errors.New("a row of used_batch is broken")
	}
	forgotten := u.forgotten.Load()
	for ; len(packed) > 0; packed = packed[consumedSize:] {
		if until := binary.BigEndian.Uint32(packed[len(engine.Key{}):]); int64(until) > forgotten {
			u.add(engine.Key(packed), until)
		}
	}
	return nil
}

// loadUsed makes the set from what the database holds.
func loadConsumed(ctx context.Context, reads *engine.Reader) (*consumedSet, error) {
	u := newConsumedSet()
	var forgotten int64
	if err := reads.Row(ctx, `SELECT at FROM used_forgotten`, nil, []any{&forgotten}); err != nil {
		return nil, err
	}
	u.forgotten.Store(forgotten)
	err := reads.List(ctx, `SELECT keys FROM used_batch`, nil, func(scan func(...any) error) error {
		var packed []byte
		if err := scan(&packed); err != nil {
			return err
		}
		return u.addAll(packed)
	})
	if err != nil {
		return nil, err
	}
	return u, reads.List(ctx, `SELECT key, until FROM use_up WHERE until > $1`, []any{forgotten * 1000}, func(scan func(...any) error) error {
		var key []byte
		var until int64
		if err := scan(&key, &until); err != nil {
			return err
		}
		if len(key) < len(engine.Key{}) {
			return errors.New("a row of use_up is broken")
		}
		u.add(engine.Key(key), engine.CeilSecond(time.UnixMilli(until)))
		return nil
	})
}
