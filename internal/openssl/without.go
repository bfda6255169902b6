//go:build !openssl

package openssl

import "crypto"

// Signer returns key.
func Signer(key crypto.Signer, _ crypto.SignerOpts) crypto.Signer { return key }

// Enabled reports whether this process signs with OpenSSL: never.
func Enabled() bool { return false }

// Library returns the name and version of the library that signs.
func Library() string { return goVersion() }
