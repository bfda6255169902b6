package admin

import (
	"cmp"
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

func viewKey(k *registry.Key, used map[string]time.Time) adminapi.Key {
	return adminapi.Key{Kid: k.Kid, Alg: string(k.Public.Alg()), Thumbprint: k.Public.Thumbprint(), Environment: k.Environment,
		NotBefore: k.NotBefore, NotAfter: k.NotAfter, Disabled: k.Disabled, Created: k.Created, LastUsed: used[k.Kid]}
}

func viewKeys(client *registry.Client, used map[string]time.Time) []adminapi.Key {
	return views(client.Keys, func(k *registry.Key) adminapi.Key { return viewKey(k, used) })
}

func (a *API) listKeys(c *call) error {
	client, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	return replyCut(c, viewKeys(client, used), func(k *adminapi.Key) string { return k.Kid })
}

func (a *API) addKey(c *call) error {
	key, err := a.decodeKey(c)
	if err != nil {
		return err
	}
	client, err := a.editClient(c, func(client *registry.Client) (change, error) {
		return keyChange("add", client, key.Kid), client.AddKey(c.issuer, a.BlockedKeys, key)
	})
	if err != nil {
		return err
	}
	return c.created(key.Kid, viewKey(&client.Keys[len(client.Keys)-1], nil))
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

func (a *API) setKey(c *call) error {
	_, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	var set adminapi.Key
	_, err = a.editClient(c, func(client *registry.Client) (change, error) {
		i, err := findKey(c, client)
		if err != nil {
			return change{}, err
		}
		key := &client.Keys[i]
		before := key.Disabled
		err = c.decode(members{
			"not_before": moment(&key.NotBefore),
			"not_after":  moment(&key.NotAfter),
			"disabled":   flag(&key.Disabled),
		})
		if err == nil && !key.NotAfter.IsZero() && !key.NotBefore.Before(key.NotAfter) {
			err = refuse("not-after must be later than not-before")
		}
		set = viewKey(key, used)
		return keyChange(verb(before, key.Disabled), client, key.Kid), err
	})
	return c.outcome(set, err)
}

func (a *API) removeKey(c *call) error {
	return a.removeCredential(c, func(client *registry.Client) (change, error) {
		i, err := findKey(c, client)
		if err != nil {
			return change{}, err
		}
		done := keyChange("remove", client, client.Keys[i].Kid)
		client.Keys = slices.Delete(client.Keys, i, i+1)
		return done, nil
	})
}

func findKey(c *call, client *registry.Client) (int, error) {
	return find(&client.Keys, "key", c.r.PathValue("kid"), func(k *registry.Key) string { return k.Kid })
}

func keyChange(verb string, client *registry.Client, kid string) change {
	return change{"key." + verb, "clients/" + client.ID + "/keys/" + kid, client.ID}
}
