package admin

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"moneyer/internal/jose"
	"moneyer/internal/keyring"
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
	if err := a.checkOutside(c, from.URI); err != nil {
		return err
	}
	key, err := a.Keyring.Announce(c.r.Context(), c.issuer.Name, c.actor, from)
	if err != nil {
		return err
	}
	return c.created(key.Kid, key)
}

// checkOutside checks a key outside the store before it is added to the keyring. An
// operator who is not on the server must not learn from the answer whether a file
// exists, so every fault of a file has the same text, and the log has the cause.
func (a *API) checkOutside(c *call, uri string) error {
	if uri == "" {
		return nil
	}
	private, err := keyring.Open(uri)
	var file *keyring.FileError
	if err != nil && !errors.As(err, &file) {
		return refuse("%s", err)
	}
	if err == nil {
		_, err = jose.NewPublicKey(private.Public(), jose.Alg(c.issuer.Alg))
	}
	if err == nil {
		return nil
	}
	a.Log.LogAttrs(c.r.Context(), slog.LevelWarn, "private key of a new signing key refused", slog.String("issuer", c.issuer.Name),
		slog.String("actor", c.actor), slog.String("uri", uri), slog.String("error", err.Error()))
	return refuse("the private key at this URI cannot be used: the server needs a regular file that only its own user may read, with a private key for %s; its log says what is wrong", c.issuer.Alg)
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
