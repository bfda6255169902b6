package storetest

import (
	"sync"

	"moneyer/internal/ledger"
)

// syncMap is a map whose single calls are safe for concurrent use.
type syncMap[K comparable, V any] struct {
	mu     sync.Mutex
	values map[K]V
}

func (k *syncMap[K, V]) load(key K) (V, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	value, ok := k.values[key]
	return value, ok
}

func (k *syncMap[K, V]) store(key K, value V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.values == nil {
		k.values = map[K]V{}
	}
	k.values[key] = value
}

func (k *syncMap[K, V]) drop(key K) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.values, key)
}

// marks are the used keys with what was sealed.
type marks struct{ syncMap[[32]byte, []byte] }

func (m *marks) check(consumed []ledger.Consumed) error {
	for i := range consumed {
		if sealed, ok := m.load(consumed[i].Value); ok {
			return &ledger.ReplayedError{Index: i, Sealed: sealed}
		}
	}
	return nil
}

func (m *marks) mark(consumed []ledger.Consumed) {
	for i := range consumed {
		m.store(consumed[i].Value, consumed[i].Sealed)
	}
}
