// Package profile names a payment platform's token endpoint: how a request for a
// token is written there, and what its answer looks like.
//
// A profile is a TOML file. Those of the platforms that the program knows are built
// in; [Load] also reads your own. Give one to a tokensource.Source, and it speaks to
// that platform.
package profile

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"moneyer/internal/platform"
)

// Profile is one platform's token endpoint. It is read-only.
type Profile struct {
	definition *platform.Profile
	source     []byte
}

//go:embed builtin/*.toml
var builtin embed.FS

// BuiltinNames lists the profiles that come with the program, sorted.
func BuiltinNames() []string {
	files, _ := fs.Glob(builtin, "builtin/*.toml") // the pattern is well-formed: no error
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(file, "builtin/"), ".toml")
	}
	slices.Sort(names) // the files are: "a-b.toml" before "a.toml"
	return names
}

// Builtin returns a profile that comes with the program.
func Builtin(name string) (*Profile, error) {
	source, err := builtin.ReadFile("builtin/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("there is no built-in profile %q; there are: %s", name, strings.Join(BuiltinNames(), ", "))
	}
	return parse(name+".toml", source)
}

// Load returns a built-in profile by name, or reads one from a file when
// nameOrFile ends in ".toml". The error names the line of the file, what is wrong
// there and what would be right.
func Load(nameOrFile string) (*Profile, error) {
	if !strings.HasSuffix(nameOrFile, ".toml") {
		return Builtin(nameOrFile)
	}
	source, err := os.ReadFile(nameOrFile)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return parse(nameOrFile, source)
}

func parse(name string, source []byte) (*Profile, error) {
	definition, err := platform.Parse(name, source)
	if err != nil {
		return nil, err
	}
	return &Profile{definition, source}, nil
}

// Name is how configuration and commands call the profile.
func (p *Profile) Name() string { return p.definition.Name }

// Source is the TOML text of the profile.
func (p *Profile) Source() []byte { return slices.Clone(p.source) }

// Definition is what the profile says, for the packages of this module alone: its type
// is internal. It is nil for a nil Profile.
func (p *Profile) Definition() *platform.Profile {
	if p == nil {
		return nil
	}
	return p.definition
}
