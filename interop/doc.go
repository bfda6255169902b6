// Package interop tests Moneyer with programs and libraries of others: openssl, curl, nginx,
// HAProxy, Caddy, Apache, the OAuth and JOSE libraries of Go, Node, Python and Java, Keycloak. Nothing is mocked:
// the built binary is started as `moneyer sandbox` and called over HTTP, and clients and keys are
// registered with its own commands.
//
// There are four kinds of counterparts. Each kind has one table of valid and invalid cases that all
// its counterparts go through:
//
//   - a signer makes assertions for our token endpoint (signers_test.go),
//   - a client fetches tokens (clients_test.go),
//   - a verifier checks our tokens with our published keys (verifiers_test.go),
//   - a proxy protects an API with a file of examples/ (forwardauth_test.go).
//
// If a counterpart is not installed its test is skipped with a hint to install it; with
// MONEYER_REQUIRE_ALL=1, as in `make test`, it fails instead.
//
// What is slow to start, Java, Keycloak and the newest Python libraries, runs with MONEYER_COUNTERPARTS=1
// alone, as in `make test-counterparts`.
//
// Nothing here is built into Moneyer. interop/differential compares libraries with ours, without a
// server.
package interop
