package authority

import (
	"context"
	"errors"
	"slices"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// verifyMerchant holds a request to a merchant of the client and to card tokens
// of that merchant.
func (a *Authority) verifyMerchant(ctx context.Context, t *attempt) (*registry.Merchant, error) {
	policy := &t.issuer.Profile.Policy.Merchant
	id := t.req.Param(policy.Param).Text
	merchant, err := a.Registry.Merchant(ctx, t.issuer.Name, id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, unavailable(err)
	}
	if err != nil || merchant.Client != t.client.ID || merchant.Disabled {
		return nil, oauth.Errorf(oauth.NotFound, "no such merchant").
			Because(&Refusal{Rule: "merchant", Expected: "an enabled merchant of this client", Found: registry.Excerpt(id)})
	}
	if policy.Cards == "" {
		return merchant, nil
	}
	return merchant, a.verifyCards(ctx, t.issuer, merchant, t.req.Param(policy.Cards).List)
}

func (a *Authority) verifyCards(ctx context.Context, issuer *registry.Issuer, merchant *registry.Merchant, ids []string) error {
	found, err := a.Registry.CardTokens(ctx, issuer.Name, ids)
	if err != nil {
		return unavailable(err)
	}
	for _, card := range found {
		switch {
		case card.Merchant != merchant.ID:
			return oauth.Errorf(oauth.InvalidRequest, "a card token belongs to another merchant").
				Because(&Refusal{Rule: "card token's merchant", Expected: merchant.ID, Found: card.Merchant})
		case !slices.Contains(issuer.Profile.Policy.Merchant.Schemes, card.Scheme):
			return oauth.Errorf(oauth.InvalidRequest, "a card token is of another scheme").
				Because(&Refusal{Rule: "card token's scheme", Expected: "one of the profile's schemes", Found: card.Scheme})
		}
	}
	if len(found) != len(ids) {
		return oauth.Errorf(oauth.NotFound, "no such card token").
			Because(&Refusal{Rule: "card token", Expected: "registered card tokens", Found: "one that is not"})
	}
	return nil
}
