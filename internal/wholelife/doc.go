// Package wholelife contains one test: the whole life of access tokens among three processes, with
// the events that operators and networks cause.
//
//   - The server is the built `moneyer serve`, whose tokens live for seconds.
//   - The API protects itself with package bearer: RemoteKeys and a RevocationList.
//   - The partner calls the API continuously, with package tokensource.
//
// API and partner are the test binary itself, started again with another role. Between each of them
// and the server is a network that can hang, refuse and recover. The scenario (scenario_test.go)
// rotates signing keys, changes the partner's key, revokes a token and a client, restarts the
// server, kills it, and interrupts the network for longer than a token lives. All processes report
// events; at the end the whole history is checked (violations_test.go), and the checks themselves are
// tested with histories that violate them (history_test.go).
//
// One round takes about 20 seconds. Run more rounds before merging a change of tokensource, bearer
// or the start and stop of the server; from the second on, a round waits for the minute that
// verifiers keep between two fetches for unknown kids:
//
//	go test ./internal/wholelife -run TestWholeLife -wholelife-rounds 5 -timeout 30m -v
package wholelife
