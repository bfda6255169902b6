package authority

import (
	"cmp"
	"context"
	"slices"

	"moneyer/internal/evidence"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// grant checks the evidence that a request of one grant type carries beside client
// authentication (RFC 6749 §1.3). Where the evidence authenticates the client, it notes
// the client in the attempt. Each grant has a file.
type grant func(a *Authority, ctx context.Context, t *attempt) error

// grants are those that the server knows; a profile lists those that it serves.
var grants = map[oauth.GrantType]grant{
	oauth.ClientCredentials: clientCredentials,
	oauth.JWTBearer:         jwtBearer,
}

// Grant is verified evidence (RFC 6749 §1.3): what a token may say.
type Grant struct {
	Client  *registry.Client
	Subject string
	Scope   oauth.Scope
	// Account on whose behalf the client asks; nil where the profile has none.
	Account     *registry.Account
	Params      []Param
	Credential  string
	Correlation string
	// Confirmation is the x5t#S256 of the certificate that the token is bound to (RFC 8705
	// §3.1); empty when it is bound to nothing.
	Confirmation string
	// use is what the ledger consumes with the token.
	use *consumption
}

// verify finds out what the client may have.
func (a *Authority) verify(ctx context.Context, t *attempt) (*Grant, error) {
	req, policy := t.req, &t.issuer.Profile.Policy
	if len(t.client.Grants) > 0 && !slices.Contains(t.client.Grants, req.GrantType) {
		return nil, oauth.Errorf(oauth.UnauthorizedClient, "this client may not use this grant_type").
			Because(&evidence.Refusal{Rule: "client's grants", Expected: "a grant that the client is registered for", Found: string(req.GrantType)})
	}
	scope, err := grantScope(&policy.Scope, t.client, req.Scope)
	if err != nil {
		return nil, err
	}
	g := &Grant{Client: t.client, Subject: cmp.Or(t.subject, t.client.ID), Scope: scope, Params: req.Params,
		Credential: recorded(t.credentials), Correlation: req.Correlation, use: &t.use}
	if g.Confirmation, err = t.confirmation(); err != nil {
		return nil, err
	}
	if policy.Account.Param != "" {
		if g.Account, err = a.verifyAccount(ctx, t); err != nil {
			return nil, err
		}
		g.Subject = g.Account.ID
	}
	return g, nil
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
		return nil, oauth.AsError(err).Because(&evidence.Refusal{Rule: "scope", Expected: "words of RFC 6749 section 3.3", Found: "malformed ones"})
	}
	if policy.Unknown == platform.UnknownIgnore {
		scope = slices.DeleteFunc(scope, func(word string) bool { return !slices.Contains(policy.Words, word) })
	}
	if word := scope.Missing(client.Scope); word != "" {
		return nil, oauth.Errorf(oauth.InvalidScope, "the client is not registered for all of this scope").
			Because(&evidence.Refusal{Rule: "scope", Expected: client.Scope.String(), Found: registry.Excerpt(word)})
	}
	return scope, nil
}
