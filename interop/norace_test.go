//go:build !race

package interop

// buildFlags build the server as the tests are built.
var buildFlags []string
