// Package interop holds tests of Moneyer with programs and libraries that we did
// not write: openssl, curl, nginx, HAProxy, Caddy, Apache, the OAuth and JOSE
// libraries of Go, Node and Python. Each is the real thing, and none is a mock of
// it: the built binary is started as `moneyer sandbox` and asked over HTTP, clients
// and keys are registered by its own commands.
//
// There are four kinds of counterparts, each with one table that all of its kind
// go through, right things and wrong ones:
//
//   - a signer makes assertions that our token endpoint must judge (signers_test.go),
//   - a client fetches tokens (clients_test.go),
//   - a verifier judges our tokens by our published keys (verifiers_test.go),
//   - a proxy guards an API by a file of examples/ (forwardauth_test.go).
//
// A counterpart that is not installed makes its test skip and say what to install;
// with MONEYER_REQUIRE_ALL=1, as in `make test`, it fails instead.
//
// Nothing here is built into Moneyer. interop/differential compares libraries with
// ours, without a server.
package interop
