// Package openssl signs with OpenSSL's libcrypto in place of Go, for keys that are held in memory,
// in a build with the tag openssl. In any other build it changes nothing. OpenSSL is faster for RSA
// and slightly faster for P-256.
//
// It only signs. Go verifies signatures in both builds, so that both accept the same ones, and no
// data from the network but SHA-256 digests is passed to C.
package openssl

import (
	"runtime"
	"strings"
)

// Version returns the versions of the libraries that sign and verify.
func Version() string {
	if !Enabled() {
		return goVersion()
	}
	return Library() + " for signing, " + goVersion()
}

func goVersion() string { return "Go " + strings.TrimPrefix(runtime.Version(), "go") }
