// Package rowauthtest has the key under which tests authenticate rows.
//
// It is imported by tests alone: everybody knows the key.
package rowauthtest

import "moneyer/internal/rowauth"

// Key returns one key, the same at every call.
func Key() *rowauth.Key {
	key, err := rowauth.NewKey([32]byte{1})
	if err != nil {
		panic(err) // HKDF and AES accept every key of this length
	}
	return key
}
