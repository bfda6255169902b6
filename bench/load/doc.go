// Package load asks an HTTP/1.1 server over plain TCP with keep-alive, and keeps
// how long every answer took and what it said.
//
// Requests are composed before a round, each connection is one goroutine, and an
// answer is only framed (RFC 9112: Content-Length, chunked, or until the
// connection ends), so that asking costs little. What is in an answer is judged
// afterwards, elsewhere. There is no TLS, no redirect, no retry.
//
// Two ways to ask: [Round.Closed], in which each connection sends the next request
// when the last was answered, and [Round.Open], at a fixed rate whatever the
// server does. In the latter, time counts from the instant at which a request was
// due: a server that stops for a second is a second late for all that was due in
// it (no "coordinated omission").
package load
