// Package differential compares what bearer and internal/jose accept with what go-oidc and
// golang-jwt accept, for valid, invalid and fuzzed tokens. It also tests internal/jose with the
// vectors of Project Wycheproof. No server is started.
//
// Nothing here is built into Moneyer. The comparison of internal/jose with go-jose is in
// internal/jose.
package differential
