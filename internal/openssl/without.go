//go:build !openssl

package openssl

import "crypto"

// Signer returns key.
func Signer(key crypto.Signer, _ crypto.SignerOpts) crypto.Signer { return key }

// Version names what makes the signatures.
func Version() string { return goVersion() }
