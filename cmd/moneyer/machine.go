package main

import "os"

// headroom lets the heap of a small server grow before it is collected: at its few
// megabytes the collector would run thirty times a second under load.
const headroom = 32 << 20

// ballast is memory that is never touched, so that the system never provides it,
// and that the collector counts as in use. Who sets the collector's own variables
// gets none.
func ballast() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, headroom)
}
