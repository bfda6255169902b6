package peers

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWithPlanned(t *testing.T) {
	const plan = `NOTE: This is only a simulation!
Inst libulfius2.7 (2.7.13-1 Debian:12.15/oldstable [amd64])
Inst glewlwyd (2.7.5-3+deb12u1 Debian:12.15/oldstable [amd64])
Conf libulfius2.7 (2.7.13-1 Debian:12.15/oldstable [amd64])
`
	if got := withPlanned([]string{"glewlwyd", "sqlite3"}, plan); !slices.Equal(got, []string{"glewlwyd", "sqlite3", "libulfius2.7"}) {
		t.Errorf("%v", got)
	}
}

// TestDebianInstallsNothing runs an install with tools that record how they are called: nothing is
// installed, configured or started, and every file is in the benchmark's folder.
func TestDebianInstallsNothing(t *testing.T) {
	bin, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	tools := map[string]string{
		"apt-get": `case "$*" in
*" update") ;;
*" install --simulate "*) echo "Inst libpeer1 (1.0 Debian:12 [amd64])" ;;
*" download peer libpeer1") touch peer_1.0_all.deb libpeer1_1.0_all.deb ;;
*) exit 9 ;;
esac`,
		"dpkg-deb": `case "$1" in
--extract) mkdir -p "$3/usr/bin" && touch "$3/usr/bin/$(basename "$2" | cut -d_ -f1)" ;;
--field) echo 1.0 ;;
*) exit 9 ;;
esac`,
	}
	for _, forbidden := range []string{"sudo", "dpkg", "systemctl", "update-rc.d"} {
		tools[forbidden] = "exit 9"
	}
	for name, does := range tools {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho "+name+" \"$@\" >>"+calls+"\n"+does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := debian{name: "test-of-debian", packages: []string{"peer"}}
	folder, err := cache(d.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	for range 2 { // the second finds it
		if version, err := d.install(context.Background(), io.Discard); err != nil || version != "1.0" {
			t.Fatalf("%q, %v", version, err)
		}
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 6 {
		t.Errorf("called:\n%s", text)
	}
	for _, line := range lines {
		if tool, _, _ := strings.Cut(line, " "); tool != "apt-get" && tool != "dpkg-deb" || tool == "apt-get" && !strings.Contains(line, "Dir::State::Lists="+folder) {
			t.Errorf("called: %s", line)
		}
	}
	for _, name := range []string{"peer", "libpeer1"} {
		if _, err := os.Stat(filepath.Join(folder, "root", "usr", "bin", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestDebianWithoutTools: a peer that cannot be had says why.
func TestDebianWithoutTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Cleanup(func() {
		if folder, err := cache("test-of-debian-none"); err == nil {
			os.RemoveAll(folder)
		}
	})
	if _, err := (debian{name: "test-of-debian-none", packages: []string{"peer"}}).install(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), "apt-get is missing: peer") {
		t.Error(err)
	}
}
