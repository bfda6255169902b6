package jose_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"runtime"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

const benchClaims = `{"iss":"https://issuer.example","sub":"client-1","aud":"https://api.example","exp":1795435200,"iat":1795434900,"jti":"0123456789abcdefABCDE"}`

var benchAlgs = []jose.Alg{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}

// BenchmarkSign and BenchmarkVerify measure the signature alone, with the library that this build
// signs with (see internal/openssl). The variants with 64 goroutines show the cost of contention;
// run them with -cpu 1, pinned to one processor.
func BenchmarkSign(b *testing.B) {
	for _, alg := range benchAlgs {
		signer := newSigner(b, alg, "key-1", "at+jwt")
		input := []byte(rfc7515ES256[:strings.LastIndexByte(rfc7515ES256, '.')])
		one := func() error {
			_, err := jose.SignInput(signer, input)
			return err
		}
		b.Run(string(alg), func(b *testing.B) { repeat(b, one) })
		b.Run(string(alg)+"x64", func(b *testing.B) { repeatIn64(b, one) })
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range benchAlgs {
		signer := newSigner(b, alg, "key-1", "at+jwt")
		j, err := jose.Parse(sign(b, signer, benchClaims))
		if err != nil {
			b.Fatal(err)
		}
		one := func() error { return j.Verify(signer.Public()) }
		b.Run(string(alg), func(b *testing.B) { repeat(b, one) })
		b.Run(string(alg)+"x64", func(b *testing.B) { repeatIn64(b, one) })
	}
}

func repeat(b *testing.B, one func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := one(); err != nil {
			b.Fatal(err)
		}
	}
}

func repeatIn64(b *testing.B, one func() error) {
	b.ReportAllocs()
	b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := one(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSignES256(b *testing.B) {
	key, ok := testKey(b, jose.ES256).(*ecdsa.PrivateKey)
	if !ok {
		b.Fatal("another kind of key")
	}
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			digest := sha256.Sum256([]byte(benchClaims))
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("jws", func(b *testing.B) {
		signer, err := jose.NewSigner(key, jose.ES256, "key-1", "at+jwt")
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, 1024)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := signer.Sign(buf, []byte(benchClaims)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyES256(b *testing.B) {
	key, ok := testKey(b, jose.ES256).(*ecdsa.PrivateKey)
	if !ok {
		b.Fatal("another kind of key")
	}
	b.Run("raw", func(b *testing.B) {
		digest := sha256.Sum256([]byte(benchClaims))
		sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			digest := sha256.Sum256([]byte(benchClaims))
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("jws", func(b *testing.B) {
		signer, err := jose.NewSigner(key, jose.ES256, "key-1", "at+jwt")
		if err != nil {
			b.Fatal(err)
		}
		token := sign(b, signer, benchClaims)
		b.ReportAllocs()
		for b.Loop() {
			j, err := jose.Parse(token)
			if err != nil {
				b.Fatal(err)
			}
			if err := j.Verify(signer.Public()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.Parse(rfc7515ES256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseClaims(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.ParseClaims([]byte(benchClaims)); err != nil {
			b.Fatal(err)
		}
	}
}
