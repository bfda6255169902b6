//go:build race

package wholelife

// buildFlags are the flags with which the tests were built, for building the server.
var buildFlags = []string{"-race"}
