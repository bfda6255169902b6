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
	views := make([]adminapi.Secret, len(client.Secrets))
	for i := range client.Secrets {
		views[i] = viewSecret(&client.Secrets[i], used)
	}
	return views
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
	var set adminapi.Secret
	client, err := a.editClient(c, func(client *registry.Client) (change, error) {
		secret, err := findSecret(c, client)
		if err != nil {
			return change{}, err
		}
		before := secret.Disabled
		if err := c.decode(members{"not_after": moment(&secret.NotAfter), "disabled": flag(&secret.Disabled)}); err != nil {
			return change{}, err
		}
		set = viewSecret(secret, nil)
		return secretChange(verb(before, secret.Disabled), client, secret), nil
	})
	if err != nil {
		return err
	}
	used, err := a.Clients.LastUsed(c.r.Context(), c.issuer.Name, client.ID)
	if err != nil {
		return err
	}
	set.LastUsed = used[set.ID]
	return c.reply(set)
}

func (a *API) removeSecret(c *call) error {
	_, err := a.editClient(c, func(client *registry.Client) (change, error) {
		secret, err := findSecret(c, client)
		if err != nil {
			return change{}, err
		}
		done := secretChange("remove", client, secret)
		id := secret.ID // not of what is deleted under it
		client.Secrets = slices.DeleteFunc(client.Secrets, func(s registry.Secret) bool { return s.ID == id })
		return done, nil
	})
	if err != nil {
		return err
	}
	return c.gone()
}

// findSecret finds the secret that the path names, among secrets that are the
// client's own from now on.
func findSecret(c *call, client *registry.Client) (*registry.Secret, error) {
	client.Secrets = slices.Clone(client.Secrets)
	id := c.r.PathValue("secret")
	for i := range client.Secrets {
		if client.Secrets[i].ID == id {
			return &client.Secrets[i], nil
		}
	}
	return nil, notFound("secret", id)
}

// secretChange names what was done to a secret or an API key.
func secretChange(verb string, client *registry.Client, s *registry.Secret) change {
	what := map[registry.SecretKind]string{registry.ClientSecret: "secret.", registry.APIKey: "api-key."}[s.Kind]
	return change{what + verb, "clients/" + client.ID + "/secrets/" + s.ID, client.ID}
}
