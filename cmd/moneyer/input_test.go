package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"moneyer/tokensource"
)

// TestSecretsAsUsersMakeThem: a file, standard input and an environment variable with the same
// content are the same secret, or refused with the same reason.
func TestSecretsAsUsersMakeThem(t *testing.T) {
	refused := map[string]string{
		"sec.lf": "", "sec.crlf": "", "sec.lflf": "",
		"sec.bom": "byte order mark", "sec.empty": "empty", "sec.nul": "NUL", "sec.space": "blank", "sec.utf16": "UTF-16",
	}
	files, err := filepath.Glob("../../tokensource/testdata/secret-endings/*")
	if err != nil || len(files) != len(refused) {
		t.Fatalf("%d files for %d rows (%v)", len(files), len(refused), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, known := refused[filepath.Base(file)]
		if !known {
			t.Errorf("%s has no row", file)
		}
		ways := map[string][]string{"file": {"--secret-file", file}, "standard input": {"--secret-file", "-"}}
		if !bytes.Contains(data, []byte{0}) { // which the environment cannot hold
			t.Setenv("MONEYER_TEST_SECRET", string(data))
			ways["environment"] = []string{"--secret-env", "MONEYER_TEST_SECRET"}
		}
		for way, flags := range ways {
			a, f, c := &app{in: bytes.NewReader(data), err: new(bytes.Buffer)}, &secretFlags{}, &cobra.Command{}
			f.add(c, "secret", "client secret", tokensource.ParseSecret)
			if err := c.ParseFlags(flags); err != nil {
				t.Fatal(err)
			}
			secret, err := a.readSecret(f)
			if want == "" && (err != nil || secret != "secret-0123456789") {
				t.Errorf("%s, %s: %q, %v", file, way, secret, err)
			}
			if want != "" && (err == nil || secret != "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-0")) {
				t.Errorf("%s, %s: %q, %v; want %q", file, way, secret, err, want)
			}
		}
	}
}
