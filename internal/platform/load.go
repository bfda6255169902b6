package platform

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"moneyer/internal/stricttoml"
	"moneyer/profile/builtin"
)

// BuiltinNames lists the profiles that come with the program, sorted.
func BuiltinNames() []string {
	files, _ := fs.Glob(builtin.Files, "*.toml") // the pattern is well-formed: no error
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(file, ".toml")
	}
	slices.Sort(names) // the files are: "a-b.toml" before "a.toml"
	return names
}

// Builtin returns a profile that comes with the program.
func Builtin(name string) (*Profile, error) {
	source, err := BuiltinSource(name)
	if err != nil {
		return nil, err
	}
	return Parse(name+".toml", source)
}

// BuiltinSource returns the TOML text of a profile that comes with the program.
func BuiltinSource(name string) ([]byte, error) {
	source, err := builtin.Files.ReadFile(name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("there is no built-in profile %q; there are: %s", name, strings.Join(BuiltinNames(), ", "))
	}
	return source, nil
}

// Load returns a built-in profile by name, or reads one from a file when
// nameOrFile ends in ".toml".
func Load(nameOrFile string) (*Profile, error) {
	if !strings.HasSuffix(nameOrFile, ".toml") {
		return Builtin(nameOrFile)
	}
	source, err := os.ReadFile(nameOrFile)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return Parse(nameOrFile, source)
}

// Parse reads and checks a profile. Errors name the line of the file called
// name, what is wrong there and what would be right.
func Parse(name string, source []byte) (*Profile, error) {
	p := &Profile{}
	doc, err := stricttoml.Decode(name, source, p)
	if err != nil {
		return nil, err
	}
	p.setDefaults()
	if err := p.check(doc); err != nil {
		return nil, err
	}
	return p, nil
}
