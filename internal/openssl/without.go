//go:build !openssl

package openssl

import "crypto"

// Signer returns key.
func Signer(key crypto.Signer, _ crypto.SignerOpts) crypto.Signer { return key }

// Version returns the version of the library that signs and verifies.
func Version() string { return goVersion() }
