// Package ceiling is what a token request must at least cost on a machine: the
// bare operations ([Micro]: signatures by Go and by OpenSSL, a write that reaches
// the disk), and reference servers ([References]) that parse a form, verify and
// sign with Go's standard library, and do nothing else.
//
// The references are no authorization servers: they know one client's key, check
// no claim, keep nothing, and answer everybody. They run in processes of their
// own, by [Serve], as the servers do that are held against them.
package ceiling
