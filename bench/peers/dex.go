package peers

import (
	"context"

	"moneyer/bench/subject"
)

// dex is dex of August 2026, whose releases the module proxy does not serve
// under their names, with its in-memory storage and its own ES256 signer.
func dex() peer {
	built := goServer{name: "dex", main: ".", module: "github.com/dexidp/dex"}
	return peer{
		installed: built.installed,
		Server: subject.Server{
			Name:  "dex",
			Keeps: "nothing",
			Cannot: map[subject.Kind]string{
				subject.ClientCredentialsRS256: "set up with one key, ES256",
				subject.JWTBearerES256:         "no such grant",
				subject.PrivateKeyJWTES256:     "no such client authentication",
			},
			Install: built.build,
			Configure: func(ctx context.Context, folder, address string) (*subject.Setup, error) {
				return configureDex(ctx, built, folder, address, nil)
			},
			ConfigureTLS: func(ctx context.Context, folder, address string, c *subject.Certificates) (*subject.Setup, error) {
				return configureDex(ctx, built, folder, address, c)
			},
		},
	}
}

func configureDex(ctx context.Context, built goServer, folder, address string, certificates *subject.Certificates) (*subject.Setup, error) {
	binary, err := built.binary()
	if err != nil {
		return nil, err
	}
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	issuer := baseURL(address, certificates)
	file, err := c.writeConfig(folder, address, issuer, certificates)
	if err != nil {
		return nil, err
	}
	exchange := subject.Exchange{
		Kind:   subject.ClientCredentialsES256,
		URL:    issuer + "/token",
		Header: form(),
		Body:   c.secretBody(nil),
		Keys:   issuer + "/keys",
		Alg:    "ES256",
	}
	return &subject.Setup{
		Server:    subject.Program{Command: program(ctx, binary, file), Ready: ready(exchange.Keys, certificates)},
		Exchanges: []subject.Exchange{exchange},
	}, nil
}
