package overload

import "sync/atomic"

// ConcurrencyLimit bounds how many do a thing at once. Nobody waits for it: whoever
// finds it reached is turned away.
type ConcurrencyLimit struct {
	most  int64
	inUse atomic.Int64
}

// NewConcurrencyLimit makes a limit of so many at once.
func NewConcurrencyLimit(most int) *ConcurrencyLimit { return &ConcurrencyLimit{most: int64(most)} }

// Acquire reports whether the caller is within the limit. If so it must Release.
func (l *ConcurrencyLimit) Acquire() bool {
	if l.inUse.Add(1) <= l.most {
		return true
	}
	l.inUse.Add(-1)
	return false
}

// Release makes room for another.
func (l *ConcurrencyLimit) Release() { l.inUse.Add(-1) }

// InUse is how many there are at the moment.
func (l *ConcurrencyLimit) InUse() int64 { return l.inUse.Load() }
