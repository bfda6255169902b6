//go:build !unix

package agent

import "io/fs"

// protected returns false: there are no sticky folders.
func protected(_, _ string) bool { return false }

// device returns the same for all files: a file is no mount.
func device(fs.FileInfo) uint64 { return 0 }
