package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"moneyer/bench/subject"
)

// glewlwydSchema is Debian's path of Glewlwyd's tables for SQLite.
const glewlwydSchema = "usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"

// glewlwydPackages: dbconfig-no-thanks stands in for a database server, which would come else.
func glewlwydPackages() debian {
	return debian{name: "glewlwyd", packages: []string{"glewlwyd", "dbconfig-no-thanks", "sqlite3"}}
}

// glewlwyd is Debian's Glewlwyd with its OpenID Connect plugin, on SQLite.
func glewlwyd() peer {
	return peer{
		installed: func() error {
			_, err := glewlwydPackages().version()
			return err
		},
		Server: subject.Server{
			Name:  "glewlwyd",
			Keeps: "rows per token and per consumed assertion, SQLite (WAL, synchronous=FULL)",
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
				subject.JWTBearerES256:         "no such grant",
			},
			Install:   glewlwydPackages().install,
			Configure: configureGlewlwyd,
		},
	}
}

func configureGlewlwyd(ctx context.Context, folder, address string) (*subject.Setup, error) {
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	issuer := "http://" + address
	file, err := writeGlewlwydConf(folder, address, issuer)
	if err != nil {
		return nil, err
	}
	if err := makeGlewlwydDatabase(ctx, filepath.Join(folder, "glewlwyd.db"), issuer, c); err != nil {
		return nil, err
	}
	api := issuer + "/api/oidc"
	scope := url.Values{"scope": {"bench"}} // it refuses requests without a scope
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		Note:   "secret stored in the clear, instead of PBKDF2",
		URL:    api + "/token",
		Header: form(),
		Body:   c.secretBody(scope),
		Keys:   api + "/jwks",
		Alg:    "ES256",
	}
	byKey := exchange
	byKey.Kind = subject.PrivateKeyJWTES256
	byKey.Note = "replay check without an index: slower with each stored id"
	byKey.Body = c.keyBody(exchange.URL, scope)
	root, err := glewlwydPackages().root()
	if err != nil {
		return nil, err
	}
	command := program(ctx, filepath.Join(root, "usr", "bin", "glewlwyd"), "--config-file="+file)
	command.Dir = folder
	if command.Env, err = glewlwydPackages().environment(); err != nil {
		return nil, err
	}
	return &subject.Setup{
		Server:    subject.Program{Command: command, Ready: subject.Answers(exchange.Keys)},
		Exchanges: []subject.Exchange{exchange, byKey},
	}, nil
}

func writeGlewlwydConf(folder, address, issuer string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	root, err := glewlwydPackages().root()
	if err != nil {
		return "", err
	}
	text, err := fillIn("glewlwyd.conf", map[string]string{
		"Host": host, "Port": port, "Issuer": issuer, "Folder": folder, "Root": root,
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "glewlwyd.conf")
	return file, os.WriteFile(file, text, 0o600)
}

// makeGlewlwydDatabase creates the database from Glewlwyd's schema and bench.sql.
func makeGlewlwydDatabase(ctx context.Context, file, issuer string, c *client) error {
	key, err := newECKey("es256")
	if err != nil {
		return err
	}
	public, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		return err
	}
	plugin, err := json.Marshal(map[string]any{
		"iss":                      issuer,
		"jwks-private":             keySet(key),
		"jwks-show":                true,
		"allowed-scope":            []string{"openid"},
		"allow-non-oidc":           true,
		"auth-type-client-enabled": true,
		"access-token-duration":    3600,
		"request-parameter-allow":  true, // assertions, too
		"request-maximum-exp":      3600,
		"client-jwks-parameter":    "jwks",
	})
	if err != nil {
		return err
	}
	added, err := fillIn("bench.sql", map[string]string{
		"Plugin": quoteSQL(string(plugin)), "ID": quoteSQL(c.ID), "KeyID": quoteSQL(c.KeyID),
		"Secret": quoteSQL(c.Secret), "Keys": quoteSQL(keySet(public)),
	})
	if err != nil {
		return err
	}
	debian := glewlwydPackages()
	root, err := debian.root()
	if err != nil {
		return err
	}
	schema, err := os.ReadFile(filepath.Join(root, glewlwydSchema))
	if err != nil {
		return err
	}
	sqlite, err := debian.program("sqlite3")
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, sqlite, "-bail", file)
	if command.Env, err = debian.environment(); err != nil {
		return err
	}
	command.Stdin = io.MultiReader(bytes.NewReader(schema), bytes.NewReader(added))
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("sqlite3: %w\n%s", err, output)
	}
	return nil
}

// keySet returns a JWK set with one key, as text.
func keySet(key jwk) string {
	text, err := json.Marshal(map[string][]jwk{"keys": {key}})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

// fillIn substitutes words in one of the files of glewlwyd/.
func fillIn(name string, words map[string]string) ([]byte, error) {
	folder, err := source("glewlwyd")
	if err != nil {
		return nil, err
	}
	for _, word := range words {
		if strings.ContainsAny(word, "\n\r\x00") {
			return nil, errors.New("a line break in a setting")
		}
	}
	parsed, err := template.New(name).Option("missingkey=error").ParseFiles(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	var filled bytes.Buffer
	err = parsed.Execute(&filled, words)
	return filled.Bytes(), err
}

// quoteSQL returns a text as an SQL literal.
func quoteSQL(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
