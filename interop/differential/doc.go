// Package differential compares what bearer and internal/jose accept with what
// go-oidc and golang-jwt accept of the same tokens: right ones, wrong ones, and
// those that fuzzing finds. It holds internal/jose to the vectors of Project
// Wycheproof, too. No server is started.
//
// Nothing here is built into Moneyer. internal/jose is compared with go-jose beside
// its own code.
package differential
