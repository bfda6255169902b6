// Package load sends requests to an HTTP/1.1 server, records the latency and content of every response,
// and checks the responses afterwards.
//
// Requests are composed before a round, each connection is one goroutine, and responses are only
// framed (RFC 9112: Content-Length, chunked, or until the connection ends), so the generator costs
// little. There is no redirect and no retry.
//
// Connections are plain TCP with keep-alive, or there is a new one with TLS 1.3 for each request
// ([moneyer/bench/tls13]): each handshake must be full or resumed as the endpoint wants it, or the
// round fails. The latency of a request then includes its connection's.
//
// There are two modes: in [Round.Closed] each connection sends the next request after the last
// response; [Round.Open] sends at a fixed rate regardless of the server. In open mode latency
// counts from the instant at which a request was due, so a server that stalls for a second is late
// for all requests of that second (no "coordinated omission").
//
// A [Judge] checks the responses of a token endpoint: status 200, a token in each, no token twice,
// and signatures that verify with the published keys. Signatures are verified by go-jose and not by
// Moneyer's own code. Claims are not checked.
package load
