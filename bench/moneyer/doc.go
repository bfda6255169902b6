// Package moneyer describes Moneyer as a server to measure: its real binary with a real
// configuration, the embedded store with durable commits, and clients of each built-in profile.
//
// Stores are filled through internal/store before the server starts, like an import. The package
// measures nothing and sends no requests.
package moneyer
