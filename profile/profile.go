// Package profile names a payment platform's token endpoint: how a request for a
// token is written there, and what its answer looks like.
//
// A profile is a TOML file. Those of the platforms that the program knows are built
// in; [Load] also reads your own, which docs/configuration.md describes. Give one to a
// tokensource.Source, and it speaks to that platform.
package profile

import "moneyer/internal/platform"

// Profile is one platform's token endpoint. It is read-only.
type Profile struct{ definition *platform.Profile }

// BuiltinNames lists the profiles that come with the program, sorted.
func BuiltinNames() []string { return platform.BuiltinNames() }

// Builtin returns a profile that comes with the program.
func Builtin(name string) (*Profile, error) { return of(platform.Builtin(name)) }

// Load returns a built-in profile by name, or reads one from a file when
// nameOrFile ends in ".toml". The error names the line of the file, what is wrong
// there and what would be right.
func Load(nameOrFile string) (*Profile, error) { return of(platform.Load(nameOrFile)) }

func of(definition *platform.Profile, err error) (*Profile, error) {
	if err != nil {
		return nil, err
	}
	return &Profile{definition}, nil
}

// Definition is what the profile says, for the packages of this program.
func (p *Profile) Definition() *platform.Profile { return p.definition }

// Name is how configuration and commands call the profile.
func (p *Profile) Name() string { return p.definition.Name }
