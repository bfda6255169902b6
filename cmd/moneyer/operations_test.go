package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOperationsStart follows "Start" of operations.md in other folders and on other ports, as one
// user: the configuration is valid as it is there, each command succeeds, and the server answers at its
// url.
func TestOperationsStart(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Start\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := codeBlock.FindAllStringSubmatch(section, -1)
	if len(blocks) < 4 {
		t.Fatalf("Start has %d blocks", len(blocks))
	}
	dir := t.TempDir()
	here := strings.NewReplacer("/etc/moneyer", filepath.Join(dir, "etc"), "/var/lib/moneyer", filepath.Join(dir, "lib"))
	etc, public := filepath.Join(dir, "etc"), ownAddress(t)
	for _, made := range []string{"etc", "lib"} { // the first block's work, of which the rest needs root
		if err := os.Mkdir(filepath.Join(dir, made), 0o700); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(blocks[0][1], " "+map[string]string{"etc": "/etc/moneyer", "lib": "/var/lib/moneyer"}[made]) {
			t.Errorf("the first block does not make the folder %s:\n%s", made, blocks[0][1])
		}
	}
	_, port, err := net.SplitHostPort(public)
	if err != nil {
		t.Fatal(err)
	}
	configuration := strings.NewReplacer("0.0.0.0:8443", public, "127.0.0.1:8081", ownAddress(t), "example.com:8443/", "example.com:"+port+"/").Replace(here.Replace(blocks[1][1]))
	if !strings.Contains(configuration, public) || !strings.Contains(configuration, "example.com:"+port+"/") {
		t.Errorf("the example listens on another port than its url:\n%s", blocks[1][1])
	}
	if err := os.WriteFile(filepath.Join(etc, "moneyer.toml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=auth.example.com",
		"-addext", "subjectAltName=DNS:auth.example.com", "-keyout", filepath.Join(etc, "server.key"), "-out", filepath.Join(etc, "server.crt"))
	ran := 0
	for line := range strings.Lines(blocks[2][1]) {
		command, _, _ := strings.Cut(here.Replace(line), "  #")
		command, ours := strings.CutPrefix(strings.TrimSpace(command), "runuser -u moneyer -- ")
		if !ours {
			continue
		}
		ran++
		words := strings.Fields(command)
		if strings.Join(words[:2], " ") == "moneyer serve" && !strings.Contains(command, "--check") {
			follow(t, exec.Command(words[0], words[1:]...)).await("\"msg\":\"serving\"")
			says(t, "curl", "-sf", "--cacert", filepath.Join(etc, "server.crt"), "--resolve", "auth.example.com:"+port+":127.0.0.1",
				"https://auth.example.com:"+port+"/d1/authz/v1/.well-known/jwks.json")
			continue
		}
		says(t, words[0], words[1:]...)
	}
	if ran != 3 {
		t.Errorf("%d commands ran, want init, the check and the server:\n%s", ran, blocks[2][1])
	}
}

// says runs a program, which must succeed.
func says(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
