package admin

import (
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
)

var identities = credential[registry.Identity, adminapi.Identity]{
	noun: "identity", path: "identities", action: itself[registry.Identity]("identity"),
	all: func(c *registry.Client) *[]registry.Identity { return &c.Identities },
	id:  func(i *registry.Identity) string { return i.ID },
	view: func(a *API, c *call, i *registry.Identity, lastUsed time.Time) adminapi.Identity {
		return adminapi.Identity{ID: i.ID, Trusted: i.Trusted, Claims: i.Claims, CredentialState: state(i.NotAfter, i.Disabled, i.Created, lastUsed),
			Unused: i.Unused(c.issuer, a.Pepper)}
	},
	disabled: func(i *registry.Identity) *bool { return &i.Disabled },
	members:  func(i *registry.Identity) members { return members{"not_after": moment(&i.NotAfter)} },
}

func (a *API) addIdentity(c *call) error {
	var trusted string
	var claims map[string]string
	var notAfter time.Time
	err := c.decode(members{"trusted": text(&trusted), "claims": claimValues(&claims), "not_after": moment(&notAfter)})
	if err != nil {
		return err
	}
	if trusted == "" || len(claims) == 0 {
		return invalid("trusted, the name of a trusted issuer, and claims are needed")
	}
	return identities.add(a, c, func(client *registry.Client) (registry.Identity, error) {
		return client.AddIdentity(c.issuer, a.Pepper, trusted, claims, notAfter, a.Now().UTC())
	}, nil)
}

// claimValues reads an object of strings.
func claimValues(to *map[string]string) func(strictjson.Value) error {
	return orNull(to, func(v strictjson.Value) (map[string]string, error) {
		claims := map[string]string{}
		return claims, v.Members(func(name string, v strictjson.Value) (err error) {
			claims[name], err = v.Text()
			return err
		})
	})
}
