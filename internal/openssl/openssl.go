// Package openssl lets OpenSSL's libcrypto make the signatures of keys that are
// held in memory, in a build with the tag openssl; in any other build it changes
// nothing. RSA and, by less, P-256 are faster there than in Go.
//
// It only signs. Signatures of others are verified by Go in both builds, so that
// both accept the same, and nothing that came over a network reaches C but a
// SHA-256 digest.
package openssl

import (
	"runtime"
	"strings"
)

func goVersion() string { return "Go " + strings.TrimPrefix(runtime.Version(), "go") }
