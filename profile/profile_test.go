package profile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"moneyer/profile"
)

func TestBuiltinNamesAreSorted(t *testing.T) {
	files, err := os.ReadDir("builtin")
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
	if got := profile.BuiltinNames(); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestBuiltin(t *testing.T) {
	for _, name := range profile.BuiltinNames() {
		t.Run(name, func(t *testing.T) {
			p, err := profile.Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name() != name {
				t.Errorf("the file %s.toml names itself %q", name, p.Name())
			}
		})
	}
}

func TestLoad(t *testing.T) {
	source, err := os.ReadFile("builtin/boltpay.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := profile.Load(file); err != nil || p.Name() != "boltpay" || !bytes.Equal(p.Source(), source) {
		t.Errorf("loaded %v, %v", p, err)
	}
	for name, want := range map[string]string{
		"boltpai":           `there is no built-in profile "boltpai"; there are: boltpay, oauth2, `,
		"../boltpay":        `there is no built-in profile "../boltpay"`,
		"":                  `there is no built-in profile ""`,
		file + ".gone.toml": "read profile: open ",
	} {
		if _, err := profile.Load(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Load(%q): %v, want %s", name, err, want)
		}
	}
}
