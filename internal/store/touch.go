package store

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"moneyer/internal/store/engine"
)

// touchShards is the number of locks, to reduce contention.
const touchShards = 64

const (
	// touchBatch is how many times one transaction writes. Appends wait for it: with many
	// clients each time is on a page of its own, and takes 10 to 20 microseconds.
	touchBatch = 100
	// touchesPerSecond limits the writes to half a percent of a processor, even with
	// hundreds of thousands of clients. The other times stay in memory.
	touchesPerSecond = 500
	// maxTouched bounds the times in one shard. A credential that does not fit is stored
	// at a later use.
	maxTouched = 2048
)

// touched holds the times of last use that are not yet written, in Unix milliseconds.
type touched struct {
	seed   maphash.Seed
	shards [touchShards]touchShard
	next   int // the shard with which the next flush begins
}

type touchShard struct {
	mu    sync.Mutex
	times map[engine.Credential]int64
}

func newTouched() *touched {
	t := &touched{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].times = map[engine.Credential]int64{}
	}
	return t
}

// shard returns the shard of a client, which holds all of its times.
func (t *touched) shard(issuer, client string) *touchShard {
	return &t.shards[maphash.Comparable(t.seed, named{issuer, client})%touchShards]
}

// Touch implements authority.Registry. The time reaches the database within
// Options.TouchInterval or at Close, or later where more than touchesPerSecond
// credentials are used.
func (d *DB) Touch(issuer, client, id string, at time.Time) {
	s := d.touched.shard(issuer, client)
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ms := engine.Credential{Issuer: issuer, Client: client, ID: id}, at.UnixMilli()
	if known, ok := s.times[key]; ok && known < ms || !ok && len(s.times) < maxTouched {
		s.times[key] = ms
	}
}

// LastUsed returns when each credential of a client was last used, in milliseconds, by kid
// or ID. It leaves out those that were never used or did not fit in memory ([DB.Touch]).
func (d *DB) LastUsed(ctx context.Context, issuer, client string) (map[string]time.Time, error) {
	noted := d.touched.of(issuer, client) // before the query: a flush moves times to the database
	last := map[string]time.Time{}
	err := d.reads.List(ctx, `SELECT credential, at FROM last_used WHERE issuer = $1 AND client = $2`,
		[]any{issuer, client},
		func(scan func(...any) error) error {
			var id string
			var at int64
			err := scan(&id, &at)
			last[id] = time.UnixMilli(at).UTC()
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("last use of client %q: %w", client, err)
	}
	for id, at := range noted {
		if at := time.UnixMilli(at).UTC(); at.After(last[id]) {
			last[id] = at
		}
	}
	return last, nil
}

// of returns the unwritten times of one client.
func (t *touched) of(issuer, client string) map[string]int64 {
	s := t.shard(issuer, client)
	s.mu.Lock()
	defer s.mu.Unlock()
	noted := map[string]int64{}
	for key, at := range s.times {
		if key.Issuer == issuer && key.Client == client {
			noted[key.ID] = at
		}
	}
	return noted
}

// flushTouches flushes at each interval until ctx ends. A failed flush is repeated by the
// next.
func (d *DB) flushTouches(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	most := max(int(interval.Seconds()*touchesPerSecond), touchBatch)
	for {
		select {
		case <-ticker.C:
			_ = d.flush(context.WithoutCancel(ctx), most)
		case <-ctx.Done():
			return
		}
	}
}

// flush writes about most of the times and removes them from memory. It must not be called
// concurrently.
func (d *DB) flush(ctx context.Context, most int) error {
	for range d.touched.shards {
		s := &d.touched.shards[d.touched.next]
		for {
			written := s.some(touchBatch)
			if len(written) == 0 {
				break
			}
			if err := d.engine.WriteLastUsed(ctx, d.writer, written); err != nil {
				return fmt.Errorf("times of last use: %w", err)
			}
			s.forget(written)
			if most -= len(written); most <= 0 {
				return nil
			}
		}
		d.touched.next = (d.touched.next + 1) % touchShards
	}
	return nil
}

// some returns up to most of the shard's times.
func (s *touchShard) some(most int) map[engine.Credential]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	some := make(map[engine.Credential]int64, min(most, len(s.times)))
	for key, at := range s.times {
		if len(some) == most {
			break
		}
		some[key] = at
	}
	return some
}

// forget removes written times, except those that have changed since.
func (s *touchShard) forget(written map[engine.Credential]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, at := range written {
		if s.times[key] == at {
			delete(s.times, key)
		}
	}
}
