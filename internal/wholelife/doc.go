// Package wholelife holds one test: the whole life of access tokens among three
// processes, while everything happens to them that operators and networks do.
//
//   - The server is the built `moneyer serve`, whose tokens live for seconds.
//   - The API guards itself with package bearer: RemoteKeys and a RevocationList.
//   - The partner calls the API all the time, through package tokensource.
//
// API and partner are the test binary itself, started again with another role.
// Between both and the server lies a network that can hang, refuse and heal. The
// walk (walk_test.go) rotates signing keys, changes the partner's key, revokes a
// token and a client, restarts the server, kills it, and cuts the network for
// longer than a token lives. Everybody tells what happened to them; only then is
// all of it judged (judge_test.go), and the judge is himself tested with stories
// that must not pass.
//
// One round takes about 20 seconds. Before a change to tokensource, bearer or the
// server's start and stop lands, have it do more of them; from the second on a
// round waits for the minute that verifiers let pass between two unknown kids:
//
//	go test ./internal/wholelife -run TestWholeLife -wholelife-rounds 5 -timeout 30m -v
package wholelife
