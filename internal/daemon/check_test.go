package daemon

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/config"
)

// TestCheckRefusesWhatStartRefuses: everything wrong with a configuration, or with what this process
// may do, is the same ConfigError of both.
func TestCheckRefusesWhatStartRefuses(t *testing.T) {
	for _, row := range []struct{ name, old, now, want string }{
		{"an unknown kind of store", `sqlite:moneyer.db`, `mysql:moneyer`, `must say where the state is kept`},
		{"no URL of a database", `sqlite:moneyer.db`, `postgres:moneyer`, `its URL is neither "sqlite:PATH" nor "postgres://HOST/DATABASE"`},
		{"a password", `sqlite:moneyer.db`, `postgres://m:secret@localhost/m`, `holds a password`},
		{"no TLS", `sqlite:moneyer.db`, `postgres://m@db1.example/m`, `is not on this machine: say sslmode=verify-full`},
		{"no root certificate", `sqlite:moneyer.db`, `postgres://m@db1.example/m?sslmode=verify-full&sslrootcert=/absent.crt`, `absent.crt`},
		{"a malformed URL", `sqlite:moneyer.db`, `postgres://m@localhost:99999/m`, `is malformed`},
		{"a pool of one", `sqlite:moneyer.db`, `postgres://m@localhost/m?pool_max_conns=1`, `pool_max_conns`},
		{"a port that no machine has", `127.0.0.1:0`, `127.0.0.1:70000`, `the port is a number from 0 to 65535`},
		{"an admin port that no machine has", `localhost:0`, `localhost:-1`, `the port is a number from 0 to 65535`},
		{"no TLS file", `address = "127.0.0.1:0"`, "address = \"127.0.0.1:0\"\ntls_cert = \"absent.crt\"\ntls_key = \"absent.key\"", `listen: open`},
		{"no master key", `file:master.key`, `file:absent.key`, `master key: open`},
		{"more connections than descriptors", `drain_delay`, "connections = 1_000_000\ndrain_delay", `descriptors`},
		{"issuers at one path", `[issuers.plain]`, "[issuers.other]\nurl = \"https://127.0.0.1:3/plain\"\nprofile = \"boltpay\"\n[issuers.plain]", `both want`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if strings.Contains(row.want, "descriptors") && descriptors() > 1_000_100 {
				t.Skip("this process may have as many")
			}
			file := newFolder(t)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, bytes.Replace(text, []byte(row.old), []byte(row.now), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			load := func() (*config.Config, error) { return config.Load(file) }
			s, started := Start(t.Context(), Options{Load: load, Log: io.Discard, Now: time.Now})
			if started == nil {
				s.Shutdown(t.Context())
				t.Fatal("it starts")
			}
			cfg, checked := load() // of which an error is one of the configuration, as the command has it
			if checked == nil {
				checked = Check(t.Context(), cfg)
			} else {
				checked = &ConfigError{checked}
			}
			var wrong *ConfigError
			if checked == nil || !errors.As(checked, &wrong) || checked.Error() != started.Error() || !strings.Contains(checked.Error(), row.want) {
				t.Errorf("Check: %v\nStart: %v\nwant a ConfigError with %q", checked, started, row.want)
			}
			if !errors.As(started, &wrong) {
				t.Errorf("Start: %v is no ConfigError", started)
			}
			if strings.Contains(started.Error(), "secret") {
				t.Errorf("%v shows the password", started)
			}
		})
	}
}

// TestCheckWhileServing: what only the environment lacks is no error of the configuration. The
// check of a reload finds the ports taken by the server itself, and its store locked.
func TestCheckWhileServing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := newFolder(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("127.0.0.1:0"), []byte(taken.Addr().String()), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*config.Config, error) { return config.Load(file) }
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), cfg); err != nil {
		t.Errorf("Check: %v", err)
	}
	_, err = Start(t.Context(), Options{Load: load, Log: io.Discard, Now: time.Now})
	if wrong := new(ConfigError); err == nil || errors.As(err, &wrong) {
		t.Errorf("Start: %v, want an error that a restart may mend", err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(file), "moneyer.db")); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), cfg); err != nil {
		t.Errorf("Check without a store, which a disk that is mounted later may have: %v", err)
	}
}
