//go:build !race

package wholelife

// buildFlags build the server as the tests are built.
var buildFlags []string
