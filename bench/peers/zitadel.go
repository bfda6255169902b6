package peers

import (
	"context"
	"encoding/base64"
	"net/url"

	"moneyer/bench/subject"
)

// zitadel is the OpenID provider library zitadel/oidc with the storage of its example server, which
// keeps every token in a map, and JWTs as access tokens.
func zitadel() peer {
	built := goServer{name: "zitadel", main: ".", module: "github.com/zitadel/oidc/v3"}
	return peer{
		installed: built.installed,
		Server: subject.Server{
			Name:  "zitadel/oidc",
			Keeps: "nothing (every token in a map, which grows)",
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
				subject.PrivateKeyJWTES256:     "not for client_credentials",
			},
			Install: built.build,
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureZitadel(ctx, built, folder, address, nil)
			},
			ConfigureTLS: func(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
				return configureZitadel(ctx, built, folder, address, c)
			},
		},
	}
}

func configureZitadel(ctx context.Context, built goServer, folder, address string, certificates *subject.Certificates) (*subject.Setup, error) {
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
		URL:    issuer + "/oauth/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/keys",
		Alg:    "ES256",
	}
	bearer := exchange
	bearer.Kind, bearer.Note = subject.JWTBearerES256, "no replay check"
	bearer.Body = c.bearerBody(c.ID, c.ID, issuer, nil)
	introspection := exchange.Introspect(issuer+"/oauth/introspect", url.Values{})
	introspection.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.ID+":"+c.Secret)))
	return &subject.Setup{
		Server:    subject.Program{Command: program(ctx, binary, file), Ready: ready(exchange.Keys, certificates)},
		Exchanges: []subject.Exchange{exchange, bearer, introspection},
	}, nil
}
