package platform_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/platform"
)

func TestBuiltinNamesAreSorted(t *testing.T) {
	files, err := os.ReadDir("../../profile/builtin")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		if name, ok := strings.CutSuffix(file.Name(), ".toml"); ok {
			want = append(want, name)
		}
	}
	slices.Sort(want) // the files are: "a-b.toml" before "a.toml"
	if got := platform.BuiltinNames(); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBuiltin(t *testing.T) {
	for _, name := range platform.BuiltinNames() {
		t.Run(name, func(t *testing.T) {
			p, err := platform.Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != name {
				t.Errorf("the file %s.toml names itself %q", name, p.Name)
			}
		})
	}
}
