package platform_test

import (
	"slices"
	"testing"

	"moneyer/internal/platform"
)

func TestBuiltinNamesAreSorted(t *testing.T) {
	want := []string{"boltpay", "oauth2", "thales-d1", "thales-d1-banking", "thales-etp"}
	if got := platform.BuiltinNames(); !slices.Equal(got, want) {
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
