//go:build openssl

package openssl_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"moneyer/internal/openssl"
)

var (
	pkcs1 = crypto.SHA256
	pss   = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
)

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// replaced returns the OpenSSL signer for key, and fails the test if there is none.
func replaced(t testing.TB, key crypto.Signer, opts crypto.SignerOpts) crypto.Signer {
	t.Helper()
	signer := openssl.Signer(key, opts)
	if signer == key {
		t.Fatalf("OpenSSL does not take a %T", key)
	}
	if signer.Public() != key.Public() {
		t.Error("another public key")
	}
	return signer
}

// good reports whether Go verifies sig with the parameters that internal/jose uses.
func good(key crypto.PublicKey, opts crypto.SignerOpts, digest, sig []byte) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, sig)
	case *rsa.PublicKey:
		if opts == pss {
			return rsa.VerifyPSS(key, crypto.SHA256, digest, sig, pss) == nil
		}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest, sig) == nil
	default:
		return false
	}
}

// TestAgainstGo verifies OpenSSL's signatures with Go, and compares the bytes of deterministic
// signatures.
func TestAgainstGo(t *testing.T) {
	for name, tc := range map[string]struct {
		key   crypto.Signer
		opts  crypto.SignerOpts
		times int
	}{
		"ES256":      {newP256(t), crypto.SHA256, 2000}, // r and s of various lengths occur
		"RS256 2048": {newRSA(t, 2048), pkcs1, 20},
		"RS256 2056": {newRSA(t, 2056), pkcs1, 3},
		"RS256 3072": {newRSA(t, 3072), pkcs1, 3},
		"RS256 4096": {newRSA(t, 4096), pkcs1, 3},
		"PS256 2048": {newRSA(t, 2048), pss, 20},
		"PS256 2049": {newRSA(t, 2049), pss, 3}, // the encoded message is a byte shorter than the modulus
		"PS256 4096": {newRSA(t, 4096), pss, 3},
	} {
		t.Run(name, func(t *testing.T) {
			signer := replaced(t, tc.key, tc.opts)
			seen := map[string]bool{}
			for i := range tc.times {
				digest := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
				if i == 0 {
					clear(digest[:])
				}
				sig, err := signer.Sign(rand.Reader, digest[:], tc.opts)
				if err != nil {
					t.Fatal(err)
				}
				if !good(tc.key.Public(), tc.opts, digest[:], sig) {
					t.Fatalf("does not verify: %x", sig)
				}
				theirs, err := tc.key.Sign(rand.Reader, digest[:], tc.opts)
				if err != nil {
					t.Fatal(err)
				}
				if same := bytes.Equal(sig, theirs); same != (tc.opts == pkcs1 && len(sig) >= 256) {
					t.Fatalf("equal to Go's signature: %t", same)
				}
				seen[string(sig[:len(sig)/2])] = true
			}
			if len(seen) != tc.times {
				t.Errorf("%d of %d signatures differ in the first half", len(seen), tc.times)
			}
		})
	}
}

// TestRandomized signs one digest twice. Two P-256 signatures with the same r would reveal the key.
func TestRandomized(t *testing.T) {
	digest := sha256.Sum256(nil)
	for _, tc := range []struct {
		key  crypto.Signer
		opts crypto.SignerOpts
	}{{newP256(t), crypto.SHA256}, {newRSA(t, 2048), pss}} {
		signer := replaced(t, tc.key, tc.opts)
		one, _ := signer.Sign(rand.Reader, digest[:], tc.opts)
		two, _ := signer.Sign(rand.Reader, digest[:], tc.opts)
		if len(one) == 0 || bytes.Equal(one[:36], two[:36]) {
			t.Errorf("%T: %x and %x", tc.key, one, two)
		}
	}
}

// inHardware is a key that cannot be exported.
type inHardware struct{ crypto.Signer }

func TestKeysNotReplaced(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := newRSA(t, 2048)
	for name, tc := range map[string]struct {
		key  crypto.Signer
		opts crypto.SignerOpts
	}{
		"P-384":         {p384, crypto.SHA256},
		"Ed25519":       {ed, crypto.Hash(0)},
		"hardware":      {inHardware{key}, crypto.SHA256},
		"SHA-512":       {key, crypto.SHA512},
		"another salt":  {key, &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}},
		"any salt":      {key, &rsa.PSSOptions{Hash: crypto.SHA256}},
		"not a modulus": {&rsa.PrivateKey{PublicKey: rsa.PublicKey{N: big.NewInt(15), E: 3}, D: big.NewInt(3)}, crypto.SHA256},
	} {
		if signer := openssl.Signer(tc.key, tc.opts); fmt.Sprintf("%T", signer) != fmt.Sprintf("%T", tc.key) {
			t.Errorf("%s: became a %T", name, signer)
		}
	}
}

// TestFallback calls a signer with unsupported parameters: the key itself must sign.
func TestFallback(t *testing.T) {
	p256, key := newP256(t), newRSA(t, 2048)
	short, long := sha256.Sum256(nil), sha512.Sum512(nil)

	forP256 := replaced(t, p256, crypto.SHA256)
	one, err := forP256.Sign(nil, short[:], crypto.SHA256)
	two, _ := p256.Sign(nil, short[:], crypto.SHA256)
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("not the signature of RFC 6979: %v", err)
	}
	if sig, err := forP256.Sign(rand.Reader, long[:], crypto.SHA512); err != nil || !ecdsa.VerifyASN1(&p256.PublicKey, long[:], sig) {
		t.Errorf("a longer digest: %v", err)
	}

	if sig, err := forP256.Sign(rand.Reader, short[:], nil); err != nil || !ecdsa.VerifyASN1(&p256.PublicKey, short[:], sig) {
		t.Errorf("without options: %v", err)
	}

	forRSA := replaced(t, key, pkcs1)
	if sig, err := forRSA.Sign(rand.Reader, short[:], pss); err != nil || !good(key.Public(), pss, short[:], sig) {
		t.Errorf("another padding: %v", err)
	}
	if sig, err := forRSA.Sign(rand.Reader, long[:], crypto.SHA512); err != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA512, long[:], sig) != nil {
		t.Errorf("another hash: %v", err)
	}
	if sig, err := forRSA.Sign(rand.Reader, long[:], crypto.SHA256); err == nil {
		t.Errorf("a digest of 64 bytes was signed as SHA-256: %x", sig)
	}
}

// TestConcurrentUse has many goroutines share a key, most of them waiting for a context.
func TestConcurrentUse(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	for _, tc := range []struct {
		key   crypto.Signer
		opts  crypto.SignerOpts
		times int
	}{{newP256(t), crypto.SHA256, 100}, {newRSA(t, 2048), pkcs1, 5}, {newRSA(t, 2048), pss, 5}} {
		signer := replaced(t, tc.key, tc.opts)
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				for j := range tc.times {
					digest := sha256.Sum256([]byte{byte(i), byte(j)})
					sig, err := signer.Sign(rand.Reader, digest[:], tc.opts)
					if err != nil || !good(tc.key.Public(), tc.opts, digest[:], sig) {
						t.Errorf("%T: %v, %x", tc.key, err, sig)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

func TestVersion(t *testing.T) {
	if v := openssl.Version(); !regexp.MustCompile(`^OpenSSL [3-9]\.\d+\.\d+ for signing, Go 1\.`).MatchString(v) {
		t.Error(v)
	}
}

// TestHandshakes: a certificate's key signs with OpenSSL in each way that TLS asks of it, and Go where OpenSSL was
// not prepared.
func TestHandshakes(t *testing.T) {
	p256, key := newP256(t), newRSA(t, 2048)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short, long := sha256.Sum256(nil), sha512.Sum384(nil)
	pss384 := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384}
	for _, tc := range []struct {
		key    crypto.Signer
		digest []byte
		opts   crypto.SignerOpts
	}{
		{p256, short[:], crypto.SHA256}, {p256, long[:], crypto.SHA384},
		{key, short[:], pkcs1}, {key, short[:], pss}, {key, long[:], crypto.SHA384}, {key, long[:], pss384},
	} {
		signer := openssl.Handshakes(tc.key)
		if signer == tc.key || signer.Public() != tc.key.Public() {
			t.Fatalf("OpenSSL does not take a %T", tc.key)
		}
		sig, err := signer.Sign(rand.Reader, tc.digest, tc.opts)
		good := err == nil
		switch public := tc.key.Public().(type) {
		case *ecdsa.PublicKey:
			good = good && ecdsa.VerifyASN1(public, tc.digest, sig)
		case *rsa.PublicKey:
			if options, ok := tc.opts.(*rsa.PSSOptions); ok {
				good = good && rsa.VerifyPSS(public, tc.opts.HashFunc(), tc.digest, sig, options) == nil
			} else {
				good = good && rsa.VerifyPKCS1v15(public, tc.opts.HashFunc(), tc.digest, sig) == nil
			}
		}
		if !good {
			t.Errorf("%T with %v: %v", tc.key, tc.opts, err)
		}
	}
	if openssl.Handshakes(p384) != crypto.Signer(p384) {
		t.Error("P-384 was replaced")
	}
}
