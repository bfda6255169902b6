//go:build !unix

package daemon

import "math"

// descriptors returns how many file descriptors the process may have: here there is no such limit.
func descriptors() uint64 { return math.MaxUint64 }
