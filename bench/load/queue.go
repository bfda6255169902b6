package load

import (
	"sync"
	"sync/atomic"
)

// queue hands out the requests of a round.
type queue struct {
	requests [][]byte
	repeat   bool
	next     atomic.Int64
	empty    atomic.Bool

	again atomic.Int64 // how many wait to be sent once more
	mu    sync.Mutex   // guards what follows
	back  []int
}

func newQueue(r *Round) *queue { return &queue{requests: r.Requests, repeat: r.Repeat} }

// take returns the next request, or nil when there is none.
func (q *queue) take() (int, []byte) {
	i := int(q.next.Add(1) - 1)
	switch {
	case i < len(q.requests):
		return i, q.requests[i]
	case q.repeat && len(q.requests) > 0:
		i %= len(q.requests)
		return i, q.requests[i]
	}
	if i, ok := q.takeAgain(); ok {
		return i, q.requests[i]
	}
	q.empty.Store(true)
	return 0, nil
}

func (q *queue) takeAgain() (int, bool) {
	if q.again.Load() == 0 {
		return 0, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.back) == 0 {
		return 0, false
	}
	i := q.back[0]
	q.back = q.back[1:]
	q.again.Add(-1)
	return i, true
}

// putBack lets a request be taken once more, after all others.
func (q *queue) putBack(i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.back = append(q.back, i)
	q.again.Add(1)
}

func (q *queue) ranOut() bool { return q.empty.Load() }
