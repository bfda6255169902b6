package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"moneyer/bench/subject"
)

// hydra is Ory Hydra as its own command, on PostgreSQL.
//
// It is the newest version on the module proxy; later ones have a version scheme that Go modules do
// not support.
func hydra() peer {
	built := goServer{name: "hydra", main: "github.com/ory/hydra/v2", module: "github.com/ory/hydra/v2"}
	return peer{
		installed: func() error {
			_, err := postgresPrograms()
			return errors.Join(err, built.installed())
		},
		Server: subject.Server{
			Name:  "Ory Hydra",
			Keeps: "rows per token and per consumed assertion, PostgreSQL (synchronous_commit=on)",
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
			},
			Install: func(ctx context.Context, log io.Writer) (string, error) {
				return installHydra(ctx, log, built)
			},
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureHydra(ctx, built, folder, address)
			},
		},
	}
}

func installHydra(ctx context.Context, log io.Writer, built goServer) (string, error) {
	postgres, err := InstallPostgres(ctx, log)
	if err != nil {
		return "", err
	}
	version, err := built.build(ctx, log)
	return version + ", PostgreSQL " + postgres, err
}

func configureHydra(ctx context.Context, built goServer, folder, address string) (*subject.Setup, error) {
	binary, err := built.binary()
	if err != nil {
		return nil, err
	}
	if err := built.installed(); err != nil {
		return nil, err
	}
	db, err := NewDatabase(ctx, folder)
	if err != nil {
		return nil, err
	}
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	// Outside of development mode an issuer must be https: it assumes a proxy that terminates TLS,
	// and serves plain HTTP.
	issuer, base := "https://"+address, "http://"+address
	admin, err := subject.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dsn := fmt.Sprintf("%s&max_conns=%d&max_idle_conns=%[2]d", db.URL(), connections)
	file, err := writeHydraConfig(folder, address, issuer, admin, dsn)
	if err != nil {
		return nil, err
	}
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		Note:   "secret by PBKDF2 with 1 iteration instead of its default, 25,000",
		URL:    base + "/oauth2/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   base + "/.well-known/jwks.json",
		Alg:    "ES256",
	}
	bearer := exchange
	bearer.Kind, bearer.Note = subject.JWTBearerES256, "with a public client, which it requires"
	bearer.Body = c.bearerBody(hydraIssuer, hydraIssuer, issuer+"/oauth2/token", url.Values{"client_id": {hydraPublic}})
	byKey := exchange
	byKey.Kind, byKey.Note = subject.PrivateKeyJWTES256, ""
	byKey.Body = c.keyBody(issuer+"/oauth2/token", nil)
	introspection := exchange.Introspect("http://"+admin+"/admin/oauth2/introspect", url.Values{})
	introspection.Note = "its admin API, without client authentication"
	command := program(ctx, binary, "serve", "all", "--config", file)
	command.Dir = folder
	return &subject.Setup{
		Beside: []subject.Program{db.Program(ctx, func(ctx context.Context) error {
			return run(ctx, folder, binary, "migrate", "sql", "up", "--yes", "--config", file, dsn)
		})},
		Server: subject.Program{
			Command: command,
			Ready:   subject.Answers(base + "/health/ready"),
			Prepare: func(ctx context.Context) error { return prepareHydra(ctx, admin, c) },
		},
		Exchanges: []subject.Exchange{exchange, bearer, byKey, introspection},
	}, nil
}

const (
	hydraPublic = "bench-public" // a client without a secret, for the JWT bearer grant
	hydraIssuer = "bench-issuer" // of assertions, and their subject
)

func writeHydraConfig(folder, address, issuer, admin, dsn string) (string, error) {
	public, err := hydraListener(address)
	if err != nil {
		return "", err
	}
	private, err := hydraListener(admin)
	if err != nil {
		return "", err
	}
	type object = map[string]any
	return writeJSON(folder, "hydra.json", object{
		"dsn":  dsn,
		"urls": object{"self": object{"issuer": issuer}},
		"serve": object{
			"public": public,
			"admin":  private,
		},
		"secrets":    object{"system": []string{newSecret()}},
		"strategies": object{"access_token": "jwt"},
		"webfinger":  object{"jwks": object{"broadcast_keys": []string{"hydra.jwt.access-token"}}},
		"oauth2":     object{"hashers": object{"algorithm": "pbkdf2", "pbkdf2": object{"iterations": 1}}},
		"log":        object{"level": "warn"},
		"sqa":        object{"opt_out": true},
	})
}

// hydraListener returns the settings of a listener.
func hydraListener(address string) (map[string]any, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := json.Number(port).Int64()
	return map[string]any{"host": host, "port": number}, err
}

// prepareHydra creates a P-256 signing key and the clients.
func prepareHydra(ctx context.Context, admin string, c *client) error {
	key, err := newECKey("es256")
	if err != nil {
		return err
	}
	public, err := publicJWK(&c.Key.PublicKey, c.Kid)
	if err != nil {
		return err
	}
	const bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	type object = map[string]any
	for _, call := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPut, "/admin/keys/hydra.jwt.access-token", object{"keys": []jwk{key}}},
		{http.MethodPost, "/admin/clients", object{"client_id": c.ID, "client_secret": c.Secret,
			"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "client_secret_post"}},
		{http.MethodPost, "/admin/clients", object{"client_id": c.KeyID, "jwks": object{"keys": []jwk{public}},
			"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "private_key_jwt",
			"token_endpoint_auth_signing_alg": "ES256"}},
		{http.MethodPost, "/admin/clients", object{"client_id": hydraPublic,
			"grant_types": []string{bearer}, "token_endpoint_auth_method": "none"}},
		{http.MethodPost, "/admin/trust/grants/jwt-bearer/issuers", object{"issuer": hydraIssuer, "subject": hydraIssuer,
			"scope": []string{"bench"}, "jwk": public, "expires_at": time.Now().Add(24 * time.Hour)}},
	} {
		if err := callHydra(ctx, call.method, "http://"+admin+call.path, call.body); err != nil {
			return err
		}
	}
	return nil
}

// callHydra sends JSON to the admin API, which asks for no credential.
func callHydra(ctx context.Context, method, url string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read only
	if response.StatusCode/100 != 2 {
		answer, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, answer)
	}
	return nil
}
