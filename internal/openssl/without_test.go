//go:build !openssl

package openssl_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"moneyer/internal/openssl"
)

func TestWithout(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if openssl.Signer(key, crypto.SHA256) != crypto.Signer(key) {
		t.Error("the key was replaced")
	}
	if !strings.HasPrefix(openssl.Version(), "Go 1.") {
		t.Error(openssl.Version())
	}
}
