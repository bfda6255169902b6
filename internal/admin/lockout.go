package admin

import (
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// This file prevents administrators from locking themselves out by mistake: such a
// change must be made by another administrator.

// isSelf reports whether a client of the path's issuer is the caller.
func (a *API) isSelf(c *call, client string) bool {
	return c.issuer.URL == a.Verifier.Issuer && client == c.actor
}

// checkSelf refuses a change that the calling client could not undo.
func (a *API) checkSelf(c *call, before, after *registry.Client) error {
	if !a.isSelf(c, after.ID) {
		return nil
	}
	now := a.Now()
	switch {
	case after.Disabled:
		return lockout("it would disable the client that asks")
	case hasLiveKey(before, now) && !hasLiveKey(after, now):
		return lockout("it would leave the client that asks without a key active: add the next key first")
	case before.BoundTokens == registry.BoundToNothing && after.BoundTokens != registry.BoundToNothing:
		return lockout("it would bind the tokens of the client that asks to a certificate")
	case before.Scope.Has(adminapi.ScopeWrite) && !after.Scope.Has(adminapi.ScopeWrite):
		return lockout("it would take " + adminapi.ScopeWrite + " from the client that asks")
	}
	return nil
}

func hasLiveKey(client *registry.Client, now time.Time) bool {
	return client.JWKSURI != "" || slices.ContainsFunc(client.Keys, func(k registry.Key) bool { return k.LiveAt(now) })
}

// lockout is the error for a change that would lock out the caller.
func lockout(how string) error {
	return oauth.Errorf(adminapi.CodeConflict, "%s; another administrator can do that", how)
}
