package admin

import (
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/authority"
	"moneyer/oauth"
)

func viewSecret(s *authority.Secret, used map[string]time.Time) adminapi.Secret {
	return adminapi.Secret{ID: s.ID, Kind: s.Kind, NotAfter: s.NotAfter, Disabled: s.Disabled, Created: s.Created, LastUsed: used[s.ID]}
}

func viewSecrets(client *authority.Client, used map[string]time.Time) []adminapi.Secret {
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
	var kind authority.SecretKind
	var notAfter time.Time
	if err := c.decode(members{"kind": text(&kind), "not_after": moment(&notAfter)}); err != nil {
		return err
	}
	if err := checkKind(kind, c.issuer); err != nil {
		return err
	}
	var made adminapi.Secret
	_, err := a.editClient(c, func(client *authority.Client) (change, error) {
		secret, secretText, err := client.NewSecret(a.Pepper, kind, notAfter, a.Now().UTC())
		made = viewSecret(&secret, nil)
		made.Text = secretText
		return secretChange("add", client, &secret), err
	})
	if err != nil {
		return err
	}
	return c.created(made.ID, made)
}

// checkKind refuses a kind of secret with which no client of the issuer could
// authenticate.
func checkKind(kind authority.SecretKind, issuer *authority.Issuer) error {
	policy := &issuer.Profile.Policy
	switch kind {
	case authority.ClientSecret:
		if !policy.Uses(oauth.AuthBasic) && !policy.Uses(oauth.AuthPost) {
			return refuse("profile %s uses no client secrets", issuer.Profile.Name)
		}
	case authority.APIKey:
		if !policy.Uses(oauth.AuthAPIKey) {
			return refuse("profile %s uses no API keys", issuer.Profile.Name)
		}
	default:
		return invalid("kind is %s or %s", authority.ClientSecret, authority.APIKey)
	}
	return nil
}

func (a *API) setSecret(c *call) error {
	var set adminapi.Secret
	client, err := a.editClient(c, func(client *authority.Client) (change, error) {
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
	_, err := a.editClient(c, func(client *authority.Client) (change, error) {
		secret, err := findSecret(c, client)
		if err != nil {
			return change{}, err
		}
		done := secretChange("remove", client, secret)
		id := secret.ID // not of what is deleted under it
		client.Secrets = slices.DeleteFunc(client.Secrets, func(s authority.Secret) bool { return s.ID == id })
		return done, nil
	})
	if err != nil {
		return err
	}
	return c.gone()
}

// findSecret finds the secret that the path names, among secrets that are the
// client's own from now on.
func findSecret(c *call, client *authority.Client) (*authority.Secret, error) {
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
func secretChange(verb string, client *authority.Client, s *authority.Secret) change {
	what := map[authority.SecretKind]string{authority.ClientSecret: "secret.", authority.APIKey: "api-key."}[s.Kind]
	return change{what + verb, "clients/" + client.ID + "/secrets/" + s.ID, client.ID}
}
