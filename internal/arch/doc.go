// Package arch holds the import policy: what each package of this module, and of
// the modules bench, cluster and interop, may import. It has no code: its test
// reads every import and fails the build on an arrow that the policy does not
// have, and on one that no package uses.
package arch
