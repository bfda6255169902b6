package admin

import (
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

func viewSecret(s *registry.Secret, used map[string]time.Time) adminapi.Secret {
	return adminapi.Secret{ID: s.ID, Kind: s.Kind, NotAfter: s.NotAfter, Disabled: s.Disabled, Created: s.Created, LastUsed: used[s.ID]}
}

func viewSecrets(client *registry.Client, used map[string]time.Time) []adminapi.Secret {
	return views(client.Secrets, func(s *registry.Secret) adminapi.Secret { return viewSecret(s, used) })
}

func (a *API) listSecrets(c *call) error {
	client, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	return replyCut(c, viewSecrets(client, used), func(s *adminapi.Secret) string { return s.ID })
}

func (a *API) addSecret(c *call) error {
	var kind registry.SecretKind
	var notAfter time.Time
	if err := c.decode(members{"kind": text(&kind), "not_after": moment(&notAfter)}); err != nil {
		return err
	}
	if kind != registry.ClientSecret && kind != registry.APIKey {
		return invalid("kind is %s or %s", registry.ClientSecret, registry.APIKey)
	}
	var made adminapi.Secret
	_, err := a.editClient(c, func(client *registry.Client) (change, error) {
		secret, secretText, err := client.NewSecret(c.issuer, a.Pepper, kind, notAfter, a.Now().UTC())
		made = viewSecret(&secret, nil)
		made.Text = secretText
		return secretChange("add", client, &secret), err
	})
	if err != nil {
		return err
	}
	return c.created(made.ID, made)
}

func (a *API) setSecret(c *call) error {
	_, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	var set adminapi.Secret
	_, err = a.editClient(c, func(client *registry.Client) (change, error) {
		i, err := findSecret(c, client)
		if err != nil {
			return change{}, err
		}
		secret := &client.Secrets[i]
		before := secret.Disabled
		err = c.decode(members{"not_after": moment(&secret.NotAfter), "disabled": flag(&secret.Disabled)})
		set = viewSecret(secret, used)
		return secretChange(verb(before, secret.Disabled), client, secret), err
	})
	return c.outcome(set, err)
}

func (a *API) removeSecret(c *call) error {
	return a.removeCredential(c, func(client *registry.Client) (change, error) {
		i, err := findSecret(c, client)
		if err != nil {
			return change{}, err
		}
		done := secretChange("remove", client, &client.Secrets[i])
		client.Secrets = slices.Delete(client.Secrets, i, i+1)
		return done, nil
	})
}

func findSecret(c *call, client *registry.Client) (int, error) {
	return find(&client.Secrets, "secret", c.r.PathValue("secret"), func(s *registry.Secret) string { return s.ID })
}

// secretChange names the change of a secret or an API key.
func secretChange(verb string, client *registry.Client, s *registry.Secret) change {
	what := map[registry.SecretKind]string{registry.ClientSecret: "secret.", registry.APIKey: "api-key."}[s.Kind]
	return change{what + verb, "clients/" + client.ID + "/secrets/" + s.ID, client.ID}
}
