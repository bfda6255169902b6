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

	again atomic.Int64 // number of requests waiting to be sent again
	mu    sync.Mutex   // guards the fields below
	back  []int
}

func newQueue(r *Round) *queue { return &queue{requests: r.Requests, repeat: r.Repeat} }

// take returns the next request, or nil if there is none.
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

// putBack puts a request at the end of the queue.
func (q *queue) putBack(i int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.back = append(q.back, i)
	q.again.Add(1)
}

func (q *queue) ranOut() bool { return q.empty.Load() }
