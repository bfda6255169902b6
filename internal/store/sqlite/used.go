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

// maxConsumed bounds the values in memory, about 30 bytes each. Beyond it appends are
// refused, because an evicted value could be consumed twice.
const maxConsumed = 20_000_000

// errTooManyConsumed means that maxConsumed is reached.
var errTooManyConsumed = errors.New("the set of consumed assertions is full: shorten the lifetime of assertions")

// consumedSet is the set of consumed values that have not expired. It is loaded from the
// database at the start; then the writer looks values up in it and adds the values that it
// has committed.
type consumedSet struct {
	shard [256]consumedShard
	size  atomic.Int64 // of all shards
	// forgotten is the latest end of a value that was deleted, in Unix seconds; never later
	// than in the database. Values that end by floor, which is not earlier, are refused.
	forgotten, floor atomic.Int64
}

type consumedShard struct {
	mu sync.Mutex
	// until is when a value may be deleted, in Unix seconds, rounded up.
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

// full reports whether maxConsumed is reached.
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

// last returns the latest end of a value that has expired at now, both in Unix seconds; 0 if
// none has. It locks one shard at a time.
func (u *consumedSet) last(now int64) (last int64) {
	_ = u.each(func(_ engine.Key, until uint32) error {
		if int64(until) <= now {
			last = max(last, int64(until))
		}
		return nil
	})
	return last
}

// forget deletes the values that have expired at now, in Unix seconds, of which the last
// ends at last, and returns how many. It locks one shard at a time.
func (u *consumedSet) forget(now, last int64) (n int64) {
	u.forgotten.Store(max(last, u.forgotten.Load()))
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

// each visits every key. It locks one shard at a time.
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

// consumedSize is the size of a value in used_batch: its key and its until.
const consumedSize = len(engine.Key{}) + 4

func appendConsumed(dst []byte, key engine.Key, until uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, key[:]...), until)
}

// addAll adds the values that appendConsumed encoded.
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

// loadConsumed reads the set from the database.
func loadConsumed(ctx context.Context, reads *engine.Reader) (*consumedSet, error) {
	u := newConsumedSet()
	var forgotten, refused int64
	if err := reads.Row(ctx, `SELECT at, refused FROM used_forgotten`, nil, []any{&forgotten, &refused}); err != nil {
		return nil, err
	}
	u.forgotten.Store(forgotten)
	u.floor.Store(max(forgotten, refused))
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
