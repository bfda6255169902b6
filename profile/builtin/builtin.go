// Package builtin holds the files of the built-in profiles. What stands in them is
// documented by package internal/platform, which reads them.
package builtin

import "embed"

// Files has one file NAME.toml for each profile.
//
//go:embed *.toml
var Files embed.FS
