//go:build openssl && !race

package openssl_test

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestMemory signs 100,000 times, and creates and drops 3,000 signers. If each signer leaked a key
// or a context, the process would grow by over 10 MB; if each signature leaked the smallest
// allocation, by 3 MB. Other growth is about 1 MB. The race detector needs more than that, so this
// test runs without it.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	p256, key := newP256(t), newRSA(t, 2048)
	digest := sha256.Sum256(nil)
	signer := replaced(t, p256, crypto.SHA256)
	signs := func(times int) {
		for range times {
			if _, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				t.Fatal(err)
			}
		}
	}
	signers := func(times int) {
		for i := range times {
			s, opts := replaced(t, p256, crypto.SHA256), crypto.SignerOpts(crypto.SHA256)
			if i%2 == 0 {
				s, opts = replaced(t, key, pss), pss
			}
			if i%16 < 2 {
				if _, err := s.Sign(rand.Reader, digest[:], opts); err != nil {
					t.Fatal(err)
				}
			}
			if i%100 == 0 {
				runtime.GC()
			}
		}
	}
	signs(20_000)
	signers(1000)
	before := resident(t)
	signs(100_000)
	signers(3000)
	if grown := resident(t) - before; grown > 3<<20 {
		t.Errorf("100,000 signatures and 3,000 signers took %d kB", grown>>10)
	}
}

// resident returns the resident set size of this process in bytes.
func resident(t *testing.T) int {
	t.Helper()
	for range 3 {
		debug.FreeOSMemory()
		time.Sleep(10 * time.Millisecond) // for the cleanups
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
