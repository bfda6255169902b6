package admin

import (
	"cmp"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

var keys = credential[registry.Key, adminapi.Key]{
	noun: "key", path: "keys", action: itself[registry.Key]("key"),
	all: func(c *registry.Client) *[]registry.Key { return &c.Keys },
	id:  func(k *registry.Key) string { return k.Kid },
	view: func(_ *API, _ *call, k *registry.Key, lastUsed time.Time) adminapi.Key {
		return adminapi.Key{Kid: k.Kid, Alg: string(k.Public.Alg()), Thumbprint: k.Public.Thumbprint(), Environment: k.Environment,
			NotBefore: k.NotBefore, CredentialState: state(k.NotAfter, k.Disabled, k.Created, lastUsed)}
	},
	disabled: func(k *registry.Key) *bool { return &k.Disabled },
	members: func(k *registry.Key) members {
		return members{"not_before": moment(&k.NotBefore), "not_after": moment(&k.NotAfter)}
	},
	check: (*registry.Key).CheckTimes,
}

func (a *API) addKey(c *call) error {
	key, err := a.decodeKey(c)
	if err != nil {
		return err
	}
	key.Environment = c.issuer.Environment
	return keys.add(a, c, func(client *registry.Client) (registry.Key, error) {
		return key, client.AddKey(c.issuer, a.BlockedKeys, key)
	}, nil)
}

// decodeKey reads a key: PEM, a certificate or a JWK as text, or a JWK as an
// object. Without a kid it is called by that of the JWK, or by its thumbprint.
func (a *API) decodeKey(c *call) (registry.Key, error) {
	key := registry.Key{Created: a.Now().UTC()}
	var material, alg string
	err := c.decode(members{
		"kid":        text(&key.Kid),
		"key":        textOrObject(&material),
		"alg":        text(&alg),
		"not_before": moment(&key.NotBefore),
		"not_after":  moment(&key.NotAfter),
	})
	if err != nil {
		return key, err
	}
	if material == "" {
		return key, invalid("key is missing: a public key as PEM, certificate or JWK")
	}
	public, kid, err := jose.ParsePublic([]byte(material), jose.Alg(alg))
	if err != nil {
		return key, refuse("%s", err)
	}
	key.Public = public
	key.Kid = cmp.Or(key.Kid, kid, public.Thumbprint())
	return key, nil
}
