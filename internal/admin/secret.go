package admin

import (
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

var secrets = credential[registry.Secret, adminapi.Secret]{
	noun: "secret", path: "secrets",
	action: func(s *registry.Secret) string {
		return map[registry.SecretKind]string{registry.ClientSecret: "secret", registry.APIKey: "api-key"}[s.Kind]
	},
	all: func(c *registry.Client) *[]registry.Secret { return &c.Secrets },
	id:  func(s *registry.Secret) string { return s.ID },
	view: func(_ *API, _ *call, s *registry.Secret, lastUsed time.Time) adminapi.Secret {
		return adminapi.Secret{ID: s.ID, Kind: s.Kind, CredentialState: state(s.NotAfter, s.Disabled, s.Created, lastUsed)}
	},
	disabled: func(s *registry.Secret) *bool { return &s.Disabled },
	members:  func(s *registry.Secret) members { return members{"not_after": moment(&s.NotAfter)} },
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
	var shownOnce string
	return secrets.add(a, c, func(client *registry.Client) (secret registry.Secret, err error) {
		secret, shownOnce, err = client.NewSecret(c.issuer, a.Pepper, kind, notAfter, a.Now().UTC())
		return secret, err
	}, func(made *adminapi.Secret) { made.Text = shownOnce })
}
