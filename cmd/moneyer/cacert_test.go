package main

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each command that asks a server by https takes the authorities from --cacert, and says
// so where it does not trust the server.
func TestCACert(t *testing.T) {
	var server *httptest.Server
	i := newTokenIssuerOn(t, func(h http.Handler) *httptest.Server {
		mux := http.NewServeMux()
		mux.Handle("/", h)
		mux.HandleFunc("POST /auth/token", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, `{"access_token":"`+fakeToken+`","expires_in":600,"token_type":"Bearer"}`)
		})
		server = httptest.NewUnstartedServer(mux)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		return server
	})
	ca, secret := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "secret")
	for name, data := range map[string][]byte{ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), secret: []byte("a-secret-for-tests")} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"token":             {"token", "--profile", "boltpay", "--issuer", i.url, "--client", "shop", "--secret-file", secret},
		"verify":            {"verify", "--issuer", i.url},
		"verify by --jwks":  {"verify", "--issuer", i.url, "--jwks", i.url + "/jwks", "--no-revocations"},
		"verify, the list":  {"verify", "--issuer", i.url, "--jwks", i.jwks},
		"inspect":           {"inspect", "--issuer", i.url},
		"inspect by --jwks": {"inspect", "--jwks", i.url + "/jwks"},
	} {
		t.Run(name, func(t *testing.T) {
			token := i.token("at+jwt")
			if code, out, stderr := runCommand(t, token, append(args, "--cacert", ca)...); code != exitOK {
				t.Errorf("with --cacert: exit code %d\n%s%s", code, out, stderr)
			}
			if code, _, stderr := runCommand(t, token, args...); code != exitUnavailable || !strings.Contains(stderr, "unknown authority") || !strings.HasSuffix(stderr, "by --cacert\n") {
				t.Errorf("without: exit code %d, %s", code, stderr)
			}
			if code, _, stderr := runCommand(t, token, append(args, "--cacert", secret)...); code != exitUsage || !strings.Contains(stderr, "--cacert") {
				t.Errorf("with another file: exit code %d, %s", code, stderr)
			}
		})
	}
}

// Every command that takes the URL of a server, or an admin file, has the flag.
func TestCACertIsEverywhere(t *testing.T) {
	for _, line := range []string{"token", "inspect", "verify", "explain", "issuer list", "client add", "key add", "secret add", "ledger verify", "backup", "revoke"} {
		if _, out, _ := runCommand(t, "", append(strings.Fields(line), "--help")...); !strings.Contains(out, "--cacert file") {
			t.Errorf("%s has no --cacert", line)
		}
	}
	if code, _, stderr := runCommand(t, "x", "explain", "-", "--cacert", "ca.pem"); code != exitUsage || !strings.Contains(stderr, "--cacert goes with --admin") {
		t.Errorf("explain without --admin: exit code %d, %s", code, stderr)
	}
}
