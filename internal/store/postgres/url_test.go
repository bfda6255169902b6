package postgres

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/internal/pgtest"
	"moneyer/internal/store/engine"
)

func TestURL(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, url string
		refused   string // part of why; empty when it is good
	}{
		{"loopback", "postgres://moneyer@127.0.0.1:5433/m", ""},
		{"loopback by name", "postgresql://moneyer@localhost/m", ""},
		{"loopback, IPv6", "postgres://moneyer@[::1]:5433/m", ""},
		{"a socket", "postgres:///m?host=/var/run/postgresql&user=moneyer", ""},
		{"no TLS at all", "postgres://moneyer@db.example/m?sslmode=disable", "sslmode=verify-full"},
		{"TLS if it is there, by default", "postgres://moneyer@db.example/m", "sslmode=verify-full"},
		{"TLS if it must be", "postgres://moneyer@db.example/m?sslmode=allow", "sslmode=verify-full"},
		{"TLS if it is there", "postgres://moneyer@db.example/m?sslmode=prefer", "sslmode=verify-full"},
		{"TLS with anybody", "postgres://moneyer@db.example/m?sslmode=require", "sslmode=verify-full"},
		{"an address of the network", "postgres://moneyer@10.0.0.1/m?sslmode=require", "10.0.0.1"},
		{"any address of this machine", "postgres://moneyer@0.0.0.0/m?sslmode=disable", "0.0.0.0"},
		{"a name that only begins like loopback", "postgres://moneyer@localhost.example/m", "localhost.example"},
		{"verified TLS", "postgres://moneyer@db.example/m?sslmode=verify-full&sslrootcert=" + root, ""},
		{"TLS by the issuer of the certificate", "postgres://moneyer@db.example/m?sslmode=verify-ca&sslrootcert=" + root, ""},
		{"TLS by any issuer of certificates", "postgres://moneyer@db.example/m?sslmode=verify-ca", "sslmode=verify-full"},
		{"TLS by the issuer of the certificate, on loopback", "postgres://moneyer@127.0.0.1/m?sslmode=verify-ca", ""},
		{"verified TLS by public authorities", "postgres://moneyer@db.example/m?sslmode=verify-full", ""},
		{"one of several in the clear", "postgres://moneyer@127.0.0.1,db.example/m?sslmode=disable", "db.example"},
		{"several, verified", "postgres://moneyer@a.example:5433,b.example/m?sslmode=verify-full&sslrootcert=" + root, ""},
		{"several, each in its own way", "postgres://moneyer@127.0.0.1,[::1]:5434,localhost:5435/m?sslmode=disable", ""},
		{"a socket as a host", "postgres://moneyer@%2Fvar%2Frun%2Fpostgresql/m", ""},
		{"a user of another place", "postgres:///m?host=127.0.0.1&user=moneyer@corp.example", ""},
		{"no port", "postgres://moneyer@127.0.0.1:/m", "malformed"},
		{"a host that is none", "postgres://moneyer@127.0.0.1,,[::1]/m", "malformed"},
		{"hosts as a parameter", "postgres:///m?host=127.0.0.1,db.example&sslmode=disable", "db.example"},
		{"a password", "postgres://moneyer:tresor@127.0.0.1/m", "PGPASSWORD"},
		{"an empty password", "postgres://moneyer:@127.0.0.1/m", "PGPASSWORD"},
		{"a password as a parameter", "postgres://moneyer@127.0.0.1/m?password=tresor", "PGPASSWORD"},
		{"a password and a bad port", "postgres://moneyer:tresor@127.0.0.1:port/m", "PGPASSWORD"},
		{"a password and a bad escape", "postgres://moneyer:tresor%zz@127.0.0.1/m", "malformed"},
		{"a password that holds a slash", "postgres://moneyer:1/tresor@127.0.0.1/m", "malformed"},
		{"a password that holds a question mark", "postgres://moneyer:1?tresor@127.0.0.1/m", "malformed"},
		{"a password that holds a number sign", "postgres://moneyer:1#tresor@127.0.0.1/m", "malformed"},
		{"a password of the key's", "postgres://moneyer@db.example/m?sslpassword=tresor&sslmode=sometimes", "sslmode"},
		{"a password beside what is wrong", "postgres://moneyer@127.0.0.1/m?PASSWORD=tresor&sslmode=sometimes", "sslmode"},
		{"a passfile", "postgres://moneyer@127.0.0.1/m?passfile=/etc/moneyer/pgpass", ""},
		{"an unknown mode", "postgres://moneyer@127.0.0.1/m?sslmode=sometimes", "sslmode"},
		{"a pool", "postgres://moneyer@127.0.0.1/m?pool_max_conns=20", ""},
		{"a pool of one", "postgres://moneyer@127.0.0.1/m?pool_max_conns=1", "pool_max_conns"},
		{"a pool of words", "postgres://moneyer@127.0.0.1/m?pool_max_conns=many", "pool_max_conns"},
		{"a pool without end", "postgres://moneyer@127.0.0.1/m?pool_max_conns=1001", "pool_max_conns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse(test.url)
			if test.refused == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Fatalf("got %v, want that it says %q", err, test.refused)
			}
			if told := Name(test.url) + ": " + err.Error(); strings.Contains(told, "tresor") || strings.Contains(told, "\n") {
				t.Errorf("what is told of it: %s", told)
			}
		})
	}
}

func TestURLDefaults(t *testing.T) {
	u, err := Parse("postgres://moneyer@127.0.0.1:5433,[::1]:5434/m?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if u.pool != defaultPool || u.config.ConnectTimeout != connectTimeout || u.config.ValidateConnect == nil {
		t.Errorf("pool %d, time to connect %v, any server will do: %t", u.pool, u.config.ConnectTimeout, u.config.ValidateConnect == nil)
	}
	if u.config.RuntimeParams["application_name"] != "moneyer" || len(u.config.Fallbacks) != 1 || u.config.Fallbacks[0].Port != 5434 {
		t.Errorf("%v, other hosts %v", u.config.RuntimeParams, u.config.Fallbacks)
	}
	u, err = Parse("postgres://moneyer@127.0.0.1,[::1]:5434,localhost:5435/m?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	hosts := fmt.Sprint(u.config.Host, " ", u.config.Port)
	for _, other := range u.config.Fallbacks {
		hosts += fmt.Sprint(" ", other.Host, " ", other.Port)
	}
	if hosts != "127.0.0.1 5432 ::1 5434 localhost 5435" {
		t.Errorf("the hosts are %s", hosts)
	}
	u, err = Parse("postgres://moneyer@127.0.0.1/m?sslmode=disable&pool_max_conns=3&connect_timeout=7&target_session_attrs=any")
	if err != nil {
		t.Fatal(err)
	}
	if u.pool != 3 || u.config.ConnectTimeout != 7*time.Second || u.config.ValidateConnect != nil {
		t.Errorf("pool %d, time to connect %v", u.pool, u.config.ConnectTimeout)
	}
	if _, set := u.config.RuntimeParams["pool_max_conns"]; set {
		t.Error("the server is told of the pool")
	}
}

// TestNoServer: the error for an unreachable server has one line and no secret.
func TestNoServer(t *testing.T) {
	t.Setenv("PGPASSWORD", "tresor")
	port, err := pgtest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, hosts := range []string{"127.0.0.1:", "127.0.0.1:1,127.0.0.1:"} {
		u := parsed(t, "postgres://moneyer@"+hosts+strconv.Itoa(port)+"/m?sslmode=disable")
		_, err = Open(t.Context(), u, true, engine.Process{}, time.Now)
		var gone *brokenError
		if !errors.As(err, &gone) || !strings.Contains(err.Error(), "connection refused") ||
			strings.Contains(err.Error(), "tresor") || strings.Contains(err.Error(), "\n") {
			t.Errorf("what is told of it: %v", err)
		}
	}
}

// certificate is one of its own making.
func certificate(t *testing.T) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestLookupTimeout: a lookup ends within the limit, even if its context has none.
func TestLookupTimeout(t *testing.T) {
	u, err := Parse("postgres://localhost/moneyer?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	if addrs, err := u.config.LookupFunc(t.Context(), "localhost"); err != nil || len(addrs) == 0 {
		t.Errorf("localhost: %v, %v", addrs, err)
	}
	hang := func(ctx context.Context, _ string) ([]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if _, err := lookupWithin(time.Millisecond, hang)(t.Context(), "db1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lookup that hangs: %v", err)
	}
}
