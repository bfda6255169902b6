// Package load asks an HTTP/1.1 server over plain TCP with keep-alive, keeps how
// long every answer took and what it said, and judges the answers afterwards.
//
// Requests are composed before a round, each connection is one goroutine, and an
// answer is only framed (RFC 9112: Content-Length, chunked, or until the
// connection ends), so that asking costs little. There is no TLS, no redirect, no
// retry.
//
// Two ways to ask: [Round.Closed], in which each connection sends the next request
// when the last was answered, and [Round.Open], at a fixed rate whatever the
// server does. In the latter, time counts from the instant at which a request was
// due: a server that stops for a second is a second late for all that was due in
// it (no "coordinated omission").
//
// A [Judge] says whether the answers of a token endpoint are what was asked for:
// status 200, a token in each, no token twice, and signatures that verify with the
// keys that the server publishes. Signatures are checked by go-jose, so that
// Moneyer's code is not its own judge. What the tokens say is not judged.
package load
