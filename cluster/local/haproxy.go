package local

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"moneyer/examples/cluster"
	"moneyer/internal/pgtest"
)

// ErrNoHAProxy means that HAProxy is not installed.
var ErrNoHAProxy = errors.New("HAProxy is missing: apt-get install haproxy")

// haproxyProgram finds HAProxy, also where Debian installs it outside of users' PATH.
func haproxyProgram() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoHAProxy
}

// haproxy is the load balancer.
type haproxy struct {
	folder string
	// Listening addresses: for callers, for callers with TLS and HTTP/2, for administrators.
	public, secure, admin string
}

func newHAProxy(ctx context.Context, folder string) (*haproxy, error) {
	h := &haproxy{folder: filepath.Join(folder, "haproxy")}
	for _, address := range []*string{&h.public, &h.secure, &h.admin} {
		port, err := pgtest.FreePort(ctx)
		if err != nil {
			return nil, err
		}
		*address = loopback(port)
	}
	return h, os.Mkdir(h.folder, 0o700)
}

// administrators is appended to the configuration for production, which has no listener for them:
// there the admin API is reached on each machine.
const administrators = `
frontend administrators
    bind %s
    default_backend admins

backend admins
    option httpchk GET /readyz
    http-check expect status 200
%s`

// onLoopback makes of the configuration in examples/cluster one for processes on this machine: other
// addresses, no TLS to the replicas, one thread, no log of requests.
func (h *haproxy) onLoopback(replicas []*Replica) (string, error) {
	var public, admin strings.Builder
	for _, r := range replicas {
		fmt.Fprintf(&public, "    server %s %s\n", r.Name, r.Public)
		fmt.Fprintf(&admin, "    server %s %s\n", r.Name, r.Admin)
	}
	text, _, found := strings.Cut(cluster.HAProxy, "# Statistics")
	const servers = "    server moneyer1 moneyer1:8443 verifyhost moneyer1\n    server moneyer2 moneyer2:8443 verifyhost moneyer2\n    server moneyer3 moneyer3:8443 verifyhost moneyer3\n"
	for _, change := range []struct {
		times   int
		of, now string
	}{
		{1, "    maxconn 8000\n", "    maxconn 4096\n    nbthread 1\n"},
		{1, "    log stdout format raw local0\n    option httplog\n", ""},
		{1, "check check-ssl inter 250ms fall 2 rise 1 ssl verify required ca-file /etc/haproxy/ca.crt alpn http/1.1\n", "check inter 100ms fall 2 rise 1\n"},
		{1, "    bind :443 ssl crt /etc/haproxy/front.pem alpn h2,http/1.1\n", "    bind " + h.public + "\n    bind " + h.secure + " ssl crt certificate.pem alpn h2,http/1.1\n"},
		{2, servers, public.String()},
	} {
		if !found || strings.Count(text, change.of) != change.times {
			return "", fmt.Errorf("examples/cluster/haproxy.cfg has changed: it lacks %q", change.of)
		}
		text = strings.ReplaceAll(text, change.of, change.now)
	}
	return text + fmt.Sprintf(administrators, h.admin, &admin), nil
}

func (h *haproxy) start(ctx context.Context, replicas []*Replica) error {
	text, err := h.onLoopback(replicas)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(h.folder, "haproxy.cfg"), []byte(text), 0o600); err != nil {
		return err
	}
	if err := writeCertificate(filepath.Join(h.folder, "certificate.pem")); err != nil {
		return err
	}
	program, err := haproxyProgram()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(h.folder, "log"))
	if err != nil {
		return err
	}
	// It is killed with its folder.
	command := exec.CommandContext(context.WithoutCancel(ctx), program, "-db", "-f", "haproxy.cfg")
	command.Dir = h.folder
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(command.Start(), log.Close()); err != nil {
		return err
	}
	return h.await(ctx, command)
}

// await waits until HAProxy forwards requests to the replicas.
func (h *haproxy) await(ctx context.Context, command *exec.Cmd) error {
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // the cause is in its log
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, address := range []string{h.public, h.admin} {
		err := await(ctx, ended, func(ctx context.Context) error {
			status, _, err := get(ctx, "http://"+address+"/readyz")
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("it answers %d", status)
			}
			return err
		})
		if err != nil {
			said, _ := os.ReadFile(filepath.Join(h.folder, "log")) // the error is useful without it
			return fmt.Errorf("HAProxy: %w\n%s", err, said)
		}
	}
	return nil
}

// get makes a request on a new connection.
func get(ctx context.Context, url string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// writeCertificate writes a self-signed certificate and its key.
func writeCertificate(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "moneyer cluster"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return os.WriteFile(path, text, 0o600)
}
