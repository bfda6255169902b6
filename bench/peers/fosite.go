package peers

import (
	"context"

	"moneyer/bench/subject"
)

// fosite is a minimal server with the library ory/fosite and a durable store, as a developer of a
// custom token endpoint would write it.
func fosite() peer {
	built := goServer{name: "fosite", main: ".", module: "github.com/ory/fosite"}
	return peer{
		installed: built.installed,
		Server: subject.Server{
			Name:  "ory/fosite",
			Keeps: "a row per token and per consumed assertion, a transaction each, SQLite (WAL, synchronous=FULL)",
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
			},
			Install: built.build,
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureFosite(ctx, built, folder, address, nil)
			},
			ConfigureTLS: func(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
				return configureFosite(ctx, built, folder, address, c)
			},
		},
	}
}

func configureFosite(ctx context.Context, built goServer, folder, address string, certificates *subject.Certificates) (*subject.Setup, error) {
	binary, err := built.binary()
	if err != nil {
		return nil, err
	}
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	key, err := newECKey("es256")
	if err != nil {
		return nil, err
	}
	issuer := baseURL(address, certificates)
	file, err := c.writeConfig(folder, address, issuer, certificates, key)
	if err != nil {
		return nil, err
	}
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		Note:   "secret by SHA-256 instead of its default, bcrypt",
		URL:    issuer + "/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/keys",
		Alg:    "ES256",
	}
	bearer := exchange
	bearer.Kind, bearer.Note = subject.JWTBearerES256, ""
	bearer.Body = c.bearerBody(c.ID, c.ID, exchange.URL, nil)
	byKey := exchange
	byKey.Kind, byKey.Note = subject.PrivateKeyJWTES256, ""
	byKey.Body = c.keyBody(exchange.URL, nil)
	return &subject.Setup{
		Server:    subject.Program{Command: program(ctx, binary, file), Ready: ready(exchange.Keys, certificates)},
		Exchanges: []subject.Exchange{exchange, bearer, byKey},
	}, nil
}
