package server_test

import (
	"context"
	"crypto"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// TestDepth counts how many functions of our own a reader passes from the handler of
// the token endpoint to the registry, to the signature and to the ledger.
func TestDepth(t *testing.T) {
	most := map[string]int{"registry": 6, "signature": 8, "ledger": 5}
	for _, dir := range transcriptDirs(t) {
		s := readSetup(t, dir, "")
		h := s.open(t)
		d := &depths{counted: map[string]int{}}
		h.authority.Registry = countingRegistry{h.store, d}
		h.authority.Ledger = countingLedger{h.store, d}
		h.authority.Keyring = countingKeyring{t, s.issuers[0].Alg, d}
		_, source := s.source(t, h, s.sdk[0])
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		for what, bound := range most {
			if n := d.counted[what]; n == 0 || n > bound {
				t.Errorf("%s: %d functions between the handler and the %s, want 1 to %d", dir, n, what, bound)
			}
		}
	}
}

// depths are the first distances that were counted.
type depths struct {
	mu      sync.Mutex
	counted map[string]int
}

// count counts the functions of this module from the handler, which is the first, to
// the caller of the function that calls count.
func (d *depths) count(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.counted[what] != 0 {
		return
	}
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)]) // Callers, count, and who calls it
	n := 0
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "moneyer/") {
			n++
		}
		if strings.HasSuffix(frame.Function, "(*endpoint).token") {
			d.counted[what] = n
			return
		}
		if !more {
			return
		}
	}
}

type countingRegistry struct {
	*faults
	d *depths
}

func (r countingRegistry) FindClient(ctx context.Context, issuer, id string) (*registry.Client, bool, error) {
	r.d.count("registry")
	return r.faults.FindClient(ctx, issuer, id)
}

func (r countingRegistry) FindClientByDigest(ctx context.Context, issuer string, key registry.Digest) (*registry.Client, bool, error) {
	r.d.count("registry")
	return r.faults.FindClientByDigest(ctx, issuer, key)
}

type countingLedger struct {
	*faults
	d *depths
}

func (l countingLedger) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	l.d.count("ledger")
	return l.faults.Append(ctx, e, consumed...)
}

// countingKeyring signs with a key of its own.
type countingKeyring struct {
	t   *testing.T
	alg string
	d   *depths
}

func (k countingKeyring) Signer(string, time.Time) (*jose.Signer, error) {
	key, err := jose.GenerateKey(jose.Alg(k.alg))
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(countingSigner{key, k.d}, jose.Alg(k.alg), "counting", "JWT")
}

func (k countingKeyring) Public(string, string, time.Time) (*jose.PublicKey, error) {
	return nil, registry.ErrNotFound
}

type countingSigner struct {
	crypto.Signer
	d *depths
}

func (s countingSigner) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.d.count("signature")
	return s.Signer.Sign(rand, digest, opts)
}
