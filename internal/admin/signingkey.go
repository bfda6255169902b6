package admin

import (
	"context"
	"slices"
	"strings"

	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

func (a *API) listSigningKeys(c *call) error {
	keys, err := a.Keyring.Keys(c.r.Context(), c.issuer.Name)
	if err != nil {
		return err
	}
	return replyCut(c, keys, func(k *keyring.KeyInfo) string { return k.Kid })
}

func (a *API) announceSigningKey(c *call) error {
	var from keyring.NewKey
	if err := c.decode(members{"uri": text(&from.URI), "active_at": moment(&from.ActiveAt)}); err != nil {
		return err
	}
	if !from.ActiveAt.IsZero() && !from.ActiveAt.After(a.Now()) {
		return refuse("active_at must be in the future; to let a key sign at once, announce it and activate it")
	}
	if err := checkOutside(from.URI, c.issuer); err != nil {
		return err
	}
	key, err := a.Keyring.Announce(c.r.Context(), c.issuer.Name, c.actor, from)
	if err != nil {
		return err
	}
	return c.created(key.Kid, key)
}

// checkOutside checks a key outside the store before it is added to the keyring, and
// reports its error to the operator.
func checkOutside(uri string, issuer *registry.Issuer) error {
	if uri == "" {
		return nil
	}
	private, err := keyring.Open(uri)
	if err == nil {
		_, err = jose.NewPublicKey(private.Public(), jose.Alg(issuer.Alg))
	}
	if err != nil {
		return refuse("%s", err)
	}
	return nil
}

// changeSigningKey serves {kid}:activate, which may come with {"at_once": true},
// {kid}:retire and {kid}:revoke.
func (a *API) changeSigningKey(c *call) error {
	kid, verb, _ := strings.Cut(c.r.PathValue("key"), ":")
	atOnce := false
	if verb == "activate" && c.r.ContentLength != 0 {
		if err := c.decode(members{"at_once": flag(&atOnce)}); err != nil {
			return err
		}
	}
	change, known := map[string]func(ctx context.Context, issuer, actor, kid string) error{
		"activate": a.Keyring.Activate,
		"retire":   a.Keyring.Retire,
		"revoke":   a.Keyring.Revoke,
	}[verb]
	if atOnce {
		change = a.Keyring.ActivateAtOnce
	}
	if !known {
		return oauth.Errorf(oauth.NotFound, "a signing key takes :activate, :retire or :revoke")
	}
	if err := change(c.r.Context(), c.issuer.Name, c.actor, kid); err != nil {
		return err
	}
	key, err := a.signingKey(c, kid)
	return c.outcome(key, err)
}

// signingKey finds a key of the issuer in the path.
func (a *API) signingKey(c *call, kid string) (keyring.KeyInfo, error) {
	keys, err := a.Keyring.Keys(c.r.Context(), c.issuer.Name)
	if err != nil {
		return keyring.KeyInfo{}, err
	}
	i := slices.IndexFunc(keys, func(k keyring.KeyInfo) bool { return k.Kid == kid })
	if i < 0 {
		return keyring.KeyInfo{}, notFound("signing key", kid)
	}
	return keys[i], nil
}
