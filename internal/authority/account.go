package authority

import (
	"context"
	"errors"
	"slices"

	"moneyer/internal/evidence"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// verifyAccount holds a request to an account of the client and to items of that
// account. Callers and operators read of both by the profile's names.
func (a *Authority) verifyAccount(ctx context.Context, t *attempt) (*registry.Account, error) {
	policy := &t.issuer.Profile.Policy.Account
	id := t.req.Param(policy.Param).Text
	account, err := a.Registry.Account(ctx, t.issuer.Name, id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, unavailable(err)
	}
	if err != nil || account.Client != t.client.ID || account.Disabled {
		return nil, oauth.Errorf(oauth.NotFound, "no such %s", policy.Name).
			Because(&evidence.Refusal{Rule: "account", Expected: "an enabled " + policy.Name + " of this client", Found: registry.Excerpt(id)})
	}
	if policy.Items == "" {
		return account, nil
	}
	return account, a.verifyItems(ctx, t.issuer, account, t.req.Param(policy.Items).List)
}

func (a *Authority) verifyItems(ctx context.Context, issuer *registry.Issuer, account *registry.Account, ids []string) error {
	found, err := a.Registry.Items(ctx, issuer.Name, ids)
	if err != nil {
		return unavailable(err)
	}
	policy := &issuer.Profile.Policy.Account
	for _, item := range found {
		switch {
		case item.Account != account.ID:
			return oauth.Errorf(oauth.InvalidRequest, "one %s belongs to another %s", policy.ItemName, policy.Name).
				Because(&evidence.Refusal{Rule: "item's account", Expected: account.ID, Found: item.Account})
		case !slices.Contains(policy.Kinds, item.Kind):
			return oauth.Errorf(oauth.InvalidRequest, "one %s is of another kind", policy.ItemName).
				Because(&evidence.Refusal{Rule: "item's kind", Expected: "one of the profile's kinds", Found: item.Kind})
		}
	}
	if len(found) != len(ids) {
		return oauth.Errorf(oauth.NotFound, "no such %s", policy.ItemName).
			Because(&evidence.Refusal{Rule: "item", Expected: "a registered " + policy.ItemName, Found: "one that is not"})
	}
	return nil
}
