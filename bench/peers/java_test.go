package peers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJavaWithoutTools: a server in Java that cannot be installed says what to install.
func TestJavaWithoutTools(t *testing.T) {
	if _, err := postgresPrograms(); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", t.TempDir())
	for _, p := range []peer{keycloak(), spring()} {
		if _, err := p.Install(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "java is missing; on Debian: apt-get install openjdk-17-jdk-headless") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// TestJavaInstall: what is described otherwise than before is installed again, into an empty folder,
// and what was interrupted does not count.
func TestJavaInstall(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for _, name := range []string{"java", "mvn"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nexit 9\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	j := javaServer{name: "test-of-java", stamp: "1"}
	folder, err := cache(j.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	interrupted, calls := errors.New("interrupted"), 0
	for _, step := range []struct {
		stamp string
		err   error
		calls int
	}{{"1", interrupted, 1}, {"1", nil, 2}, {"1", nil, 2}, {"2", nil, 3}} {
		j.stamp = step.stamp
		err := j.install(t.Context(), func(_ context.Context, folder string) error {
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("the folder has %v, %v", left, err)
			}
			calls++
			return errors.Join(step.err, os.WriteFile(filepath.Join(folder, "file"), nil, 0o644))
		})
		if !errors.Is(err, step.err) || calls != step.calls {
			t.Errorf("%+v: %v after %d calls", step, err, calls)
		}
	}
}

// TestRealm: the realm names the client's public key, and not the private one.
func TestRealm(t *testing.T) {
	c, err := newClient()
	if err != nil {
		t.Fatal(err)
	}
	text, err := writtenRealm(c)
	if err != nil {
		t.Fatal(err)
	}
	public, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) || !strings.Contains(string(text), public["x"]) || strings.Contains(string(text), `\"d\"`) {
		t.Errorf("Keycloak is told %s", text)
	}
}
