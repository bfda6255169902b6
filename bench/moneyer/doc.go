// Package moneyer describes Moneyer as a server that can be measured: its real
// binary with a real configuration, the embedded store with every commit durable,
// and clients of each built-in profile.
//
// Stores are filled through internal/store before the server starts, as an
// import would. It measures nothing and asks for nothing.
package moneyer
