//go:build !openssl

package openssl

import (
	"crypto"
	"runtime"
	"strings"
)

// Signer returns key.
func Signer(key crypto.Signer, _ crypto.SignerOpts) crypto.Signer { return key }

// Version names what makes the signatures.
func Version() string { return "Go " + strings.TrimPrefix(runtime.Version(), "go") }
