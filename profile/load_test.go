package profile

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestBuiltinNamesAreSorted(t *testing.T) {
	files, err := os.ReadDir("builtin")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		want = append(want, strings.TrimSuffix(file.Name(), ".toml"))
	}
	slices.Sort(want) // the files are: "a-b.toml" before "a.toml"
	if got := BuiltinNames(); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBuiltin(t *testing.T) {
	for _, name := range BuiltinNames() {
		t.Run(name, func(t *testing.T) {
			p, err := Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != name {
				t.Errorf("the file %s.toml names itself %q", name, p.Name)
			}
		})
	}
}
