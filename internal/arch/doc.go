// Package arch holds the map of who may import whom. It has no code: its test
// reads every import of the tree and fails the build on an arrow that the map
// does not have.
package arch
