package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"moneyer/bench/subject"
)

// oidcProvider is npm's oidc-provider with its in-memory adapter, in one process of a supported
// Node.js, also from npm.
func oidcProvider() peer {
	return peer{
		installed: oidcProviderInstalled,
		Server: subject.Server{
			Name:  "oidc-provider",
			Keeps: "nothing (its in-memory adapter)",
			Cannot: map[subject.Kind]string{
				subject.JWTBearerES256: "no such grant",
			},
			Install: installOIDCProvider,
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureOIDCProvider(ctx, folder, address, nil)
			},
			ConfigureTLS: configureOIDCProvider,
		},
	}
}

// oidcProviderFiles are copied beside the packages, because Node.js looks for those in the folder
// of the program and above.
var oidcProviderFiles = []string{".npmrc", "package.json", "package-lock.json", "server.mjs"}

// oidcProviderStamp is written last: it contains the installed files.
const oidcProviderStamp = "installed"

func oidcProviderInstalled() error {
	from, to, err := oidcProviderFolders()
	if err != nil {
		return err
	}
	want, err := oidcProviderContents(from)
	if err != nil {
		return err
	}
	have, err := os.ReadFile(filepath.Join(to, oidcProviderStamp))
	if err != nil || !bytes.Equal(have, want) {
		return errors.New("oidc-provider is not installed, or not what its lock file names")
	}
	return nil
}

// oidcProviderContents returns the concatenated files.
func oidcProviderContents(folder string) ([]byte, error) {
	var all []byte
	for _, name := range oidcProviderFiles {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		all = append(all, text...)
	}
	return all, nil
}

func installOIDCProvider(ctx context.Context, log io.Writer) (string, error) {
	from, to, err := oidcProviderFolders()
	if err != nil {
		return "", err
	}
	if oidcProviderInstalled() != nil {
		fmt.Fprintln(log, "oidc-provider: installing the packages of its lock file by npm")
		if err := npmInstall(ctx, from, to); err != nil {
			return "", err
		}
	}
	text, err := os.ReadFile(filepath.Join(to, "node_modules", "oidc-provider", "package.json"))
	if err != nil {
		return "", err
	}
	var about struct{ Version string }
	if err := json.Unmarshal(text, &about); err != nil {
		return "", err
	}
	node, err := exec.CommandContext(ctx, nodeJS(to), "--version").Output()
	return fmt.Sprintf("%s, Node.js %s", about.Version, strings.TrimSpace(string(node))), err
}

// npmInstall copies the files and installs their packages.
func npmInstall(ctx context.Context, from, to string) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return errors.New("npm is missing; on Debian: apt-get install npm")
	}
	for _, name := range oidcProviderFiles {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
			return err
		}
	}
	if err := run(ctx, to, "npm", "ci", "--loglevel=error"); err != nil {
		return err
	}
	stamp, err := oidcProviderContents(from)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, oidcProviderStamp), stamp, 0o644)
}

func configureOIDCProvider(ctx context.Context, folder, address string, certificates *subject.Certificates) (*subject.Setup, error) {
	_, installed, err := oidcProviderFolders()
	if err != nil {
		return nil, err
	}
	issuer := baseURL(address, certificates)
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	ec, err := newECKey("es256")
	if err != nil {
		return nil, err
	}
	rsa, err := newRSAKey("rs256")
	if err != nil {
		return nil, err
	}
	file, err := c.writeConfig(folder, address, issuer, certificates, ec, rsa)
	if err != nil {
		return nil, err
	}
	command := program(ctx, nodeJS(installed), filepath.Join(installed, "server.mjs"), file)
	command.Dir = folder
	command.Env = append(os.Environ(), "NODE_ENV=production")
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		URL:    issuer + "/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/jwks",
		Alg:    "ES256",
	}
	rs256 := exchange
	rs256.Kind, rs256.Alg = subject.ClientCredentialsRS256, "RS256"
	rs256.Body = c.secretBody(url.Values{"resource": {"urn:bench:rs256"}})
	byKey := exchange
	byKey.Kind = subject.PrivateKeyJWTES256
	byKey.Body = c.keyBody(issuer, nil)
	byKey.Note = "replay check find-then-save, in memory, the last 1,000 to 2,000 ids"
	opaque := exchange
	opaque.Body = c.secretBody(url.Values{"resource": {"urn:bench:opaque"}})
	introspection := c.introspect(opaque, issuer+"/token/introspection")
	introspection.Note = "of an opaque token: not for JWTs"
	return &subject.Setup{
		Server:    subject.Program{Command: command, Ready: ready(exchange.Keys, certificates)},
		Exchanges: []subject.Exchange{exchange, rs256, byKey, introspection},
	}, nil
}

// nodeJS returns the Node.js installed by npm, or the one in PATH.
func nodeJS(folder string) string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	node := filepath.Join(folder, "node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(node); err != nil {
		return "node"
	}
	return node
}

func oidcProviderFolders() (from, to string, err error) {
	if from, err = source("oidc-provider"); err != nil {
		return "", "", err
	}
	to, err = cache("oidc-provider")
	return from, to, err
}
