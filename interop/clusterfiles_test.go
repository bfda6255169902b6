package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestClusterFiles: the programs accept their files in examples/cluster.
func TestClusterFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cluster")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "examples", "cluster"))); err != nil {
		t.Fatal(err)
	}
	says(t, dir, "rm", "-rf", "tls", "secrets", "config/pgpass") // left by somebody who used the files in place
	says(t, dir, "sh", "prepare.sh", "auth.example.com")
	t.Run("certificates", func(t *testing.T) {
		for name, host := range map[string]string{"db1": "db1", "db3": "db3", "replica": "moneyer2", "front": "auth.example.com"} {
			says(t, dir, "openssl", "verify", "-CAfile", "tls/ca.crt", "-verify_hostname", host, "tls/"+name+".crt")
		}
		before := says(t, dir, "sha256sum", "tls/db1.key", "config/pgpass")
		says(t, dir, "sh", "prepare.sh", "auth.example.com")
		if after := says(t, dir, "sha256sum", "tls/db1.key", "config/pgpass"); after != before {
			t.Errorf("a second run created them again:\n%s%s", before, after)
		}
	})
	t.Run("scripts", func(t *testing.T) {
		for _, script := range []string{"prepare.sh", "postgres/start.sh", "postgres/roles.sh"} {
			says(t, dir, "sh", "-n", script)
		}
	})
	t.Run("moneyer.toml", func(t *testing.T) {
		key := says(t, dir, "openssl", "rand", "-base64", "32")
		if err := os.WriteFile(filepath.Join(dir, "config", "master.key"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "config", "moneyer.toml"))
		if err != nil {
			t.Fatal(err)
		}
		// The check reads the database's authority, which is somewhere else here.
		here := strings.ReplaceAll(string(text), "/etc/moneyer/", filepath.Join(dir, "config")+"/")
		if err := os.WriteFile(filepath.Join(dir, "config", "here.toml"), []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, dir, moneyer.binary, "serve", "--check", "--config", "config/here.toml")
	})
	t.Run("haproxy.cfg", func(t *testing.T) {
		needProgram("haproxy")(t)
		text, err := os.ReadFile(filepath.Join(dir, "haproxy.cfg"))
		if err != nil {
			t.Fatal(err)
		}
		// The host names are known only in production.
		here := strings.NewReplacer("/etc/haproxy/", dir+"/tls/", " moneyer1:", " 127.0.0.1:", " moneyer2:", " 127.0.0.1:", " moneyer3:", " 127.0.0.1:")
		if err := os.WriteFile(filepath.Join(dir, "here.cfg"), []byte(here.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		says(t, dir, "haproxy", "-c", "-f", "here.cfg")
	})
	t.Run("YAML", func(t *testing.T) {
		if err := exec.Command(python, "-c", "import yaml").Run(); err != nil {
			missing(t, "python3-yaml", "apt-get install python3-yaml")
		}
		says(t, dir, python, "-c", `
import yaml
services = yaml.safe_load(open("compose.yaml"))["services"]
assert sorted(services) == ["db1", "db2", "db3", "haproxy", "moneyer1", "moneyer2", "moneyer3"], services
dcs = yaml.safe_load(open("patroni/patroni.yml"))["bootstrap"]["dcs"]
assert dcs["synchronous_mode"] and dcs["synchronous_mode_strict"] and dcs["synchronous_node_count"] == 1, dcs
`)
	})
}

// says runs a program in a folder, which must succeed, and returns its output.
func says(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
