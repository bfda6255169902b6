package profile

import "testing"

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
