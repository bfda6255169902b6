package authority

import (
	"context"
	"errors"
	"slices"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// verify finds out what the caller may have.
func (a *Authority) verify(ctx context.Context, issuer *registry.Issuer, req *Request, c *caller) (*Grant, error) {
	if len(c.client.Grants) > 0 && !slices.Contains(c.client.Grants, req.GrantType) {
		return nil, oauth.Errorf(oauth.UnauthorizedClient, "this client may not use this grant_type").
			Because(&Refusal{Rule: "client's grants", Expected: "a grant that the client is registered for", Found: string(req.GrantType)})
	}
	scope, err := grantScope(&issuer.Profile.Policy.Scope, c.client, req.Scope)
	if err != nil {
		return nil, err
	}
	grant := &Grant{Client: c.client, Subject: c.client.ID, Scope: scope, Params: req.Params,
		Credential: c.credential, Correlation: req.Correlation}
	if c.assertion != nil {
		c.assertion.bind(grant)
	}
	if issuer.Profile.Policy.Merchant.Param != "" {
		grant.Merchant, err = a.verifyMerchant(ctx, issuer, req, c.client)
		if err != nil {
			return nil, err
		}
		grant.Subject = grant.Merchant.ID
	}
	return grant, nil
}

// grantScope narrows what was asked for to what the client is registered for
// (RFC 6749 §3.3).
func grantScope(policy *platform.Scope, client *registry.Client, asked string) (oauth.Scope, error) {
	if asked == "" {
		if policy.Default == platform.DefaultRegistered {
			return client.Scope, nil
		}
		return nil, nil
	}
	scope, err := oauth.ParseScope(asked)
	if err != nil {
		return nil, oauth.AsError(err).Because(&Refusal{Rule: "scope", Expected: "words of RFC 6749 section 3.3", Found: "malformed ones"})
	}
	if policy.Unknown == platform.UnknownIgnore {
		scope = slices.DeleteFunc(scope, func(word string) bool { return !slices.Contains(policy.Words, word) })
	}
	if word := scope.Missing(client.Scope); word != "" {
		return nil, oauth.Errorf(oauth.InvalidScope, "the client is not registered for all of this scope").
			Because(&Refusal{Rule: "scope", Expected: client.Scope.String(), Found: registry.Excerpt(word)})
	}
	return scope, nil
}

// verifyMerchant holds a request to a merchant of the client and to card tokens
// of that merchant.
func (a *Authority) verifyMerchant(ctx context.Context, issuer *registry.Issuer, req *Request, client *registry.Client) (*registry.Merchant, error) {
	policy := &issuer.Profile.Policy.Merchant
	id := req.Param(policy.Param).Text
	merchant, err := a.Registry.Merchant(ctx, issuer.Name, id)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, unavailable(err)
	}
	if err != nil || merchant.Client != client.ID || merchant.Disabled {
		return nil, oauth.Errorf(oauth.NotFound, "no such merchant").
			Because(&Refusal{Rule: "merchant", Expected: "an enabled merchant of this client", Found: registry.Excerpt(id)})
	}
	if policy.Cards == "" {
		return merchant, nil
	}
	return merchant, a.verifyCards(ctx, issuer, merchant, req.Param(policy.Cards).List)
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

// Param finds a parameter of the platform's own; absent ones are empty.
func (r *Request) Param(name string) registry.Attribute {
	for i := range r.Params {
		if r.Params[i].Name == name {
			return r.Params[i].Value
		}
	}
	return registry.Attribute{}
}
