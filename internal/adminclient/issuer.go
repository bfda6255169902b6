package adminclient

import (
	"context"
	"net/http"

	"moneyer/internal/adminapi"
	"moneyer/internal/keyring"
	"moneyer/internal/registry"
)

// Issuer is an issuer of the server. Obtain it from Client.At.
type Issuer struct {
	*Client
	Name string
}

// At is the issuer of that name.
func (c *Client) At(issuer string) *Issuer { return &Issuer{c, issuer} }

// url is Client.url below the issuer.
func (i *Issuer) url(segments ...string) string {
	return i.Client.url(append([]string{"issuers", i.Name}, segments...)...)
}

// Clients lists the clients, without their keys and secrets.
func (i *Issuer) Clients(ctx context.Context) ([]adminapi.Client, error) {
	return list[adminapi.Client](ctx, i.Client, i.url("clients"))
}

// ClientIDs lists the first thousand.
func (i *Issuer) ClientIDs(ctx context.Context) ([]string, error) {
	return ids(ctx, i.Client, i.url("clients"))
}

// ShowClient shows a client with its keys and secrets.
func (i *Issuer) ShowClient(ctx context.Context, id string) (adminapi.Client, error) {
	return get[adminapi.Client](ctx, i.Client, i.url("clients", id))
}

// AddClient registers a client.
func (i *Issuer) AddClient(ctx context.Context, c adminapi.NewClient) (adminapi.Client, error) {
	return call[adminapi.Client](ctx, i.Client, http.MethodPost, i.url("clients"), c)
}

// SetClient changes a client.
func (i *Issuer) SetClient(ctx context.Context, id string, c adminapi.ClientChange) (adminapi.Client, error) {
	return call[adminapi.Client](ctx, i.Client, http.MethodPatch, i.url("clients", id), c)
}

// RemoveClient removes a client with its keys and secrets.
func (i *Issuer) RemoveClient(ctx context.Context, id string) error {
	return remove(ctx, i.Client, i.url("clients", id))
}

// Keys lists the keys of a client.
func (i *Issuer) Keys(ctx context.Context, client string) ([]adminapi.Key, error) {
	return list[adminapi.Key](ctx, i.Client, i.url("clients", client, "keys"))
}

// AddKey registers a public key of a client.
func (i *Issuer) AddKey(ctx context.Context, client string, k adminapi.NewKey) (adminapi.Key, error) {
	return call[adminapi.Key](ctx, i.Client, http.MethodPost, i.url("clients", client, "keys"), k)
}

// SetKey changes a key of a client.
func (i *Issuer) SetKey(ctx context.Context, client, kid string, k adminapi.CredentialChange) (adminapi.Key, error) {
	return call[adminapi.Key](ctx, i.Client, http.MethodPatch, i.url("clients", client, "keys", kid), k)
}

// RemoveKey removes a key of a client.
func (i *Issuer) RemoveKey(ctx context.Context, client, kid string) error {
	return remove(ctx, i.Client, i.url("clients", client, "keys", kid))
}

// Secrets lists the secrets and API keys of a client.
func (i *Issuer) Secrets(ctx context.Context, client string) ([]adminapi.Secret, error) {
	return list[adminapi.Secret](ctx, i.Client, i.url("clients", client, "secrets"))
}

// AddSecret makes a secret or an API key of a client.
func (i *Issuer) AddSecret(ctx context.Context, client string, s adminapi.NewSecret) (adminapi.Secret, error) {
	return call[adminapi.Secret](ctx, i.Client, http.MethodPost, i.url("clients", client, "secrets"), s)
}

// SetSecret changes a secret or an API key of a client.
func (i *Issuer) SetSecret(ctx context.Context, client, id string, s adminapi.CredentialChange) (adminapi.Secret, error) {
	return call[adminapi.Secret](ctx, i.Client, http.MethodPatch, i.url("clients", client, "secrets", id), s)
}

// RemoveSecret removes a secret or an API key of a client.
func (i *Issuer) RemoveSecret(ctx context.Context, client, id string) error {
	return remove(ctx, i.Client, i.url("clients", client, "secrets", id))
}

// Merchants lists the merchants.
func (i *Issuer) Merchants(ctx context.Context) ([]registry.Merchant, error) {
	return list[registry.Merchant](ctx, i.Client, i.url("merchants"))
}

// MerchantIDs lists the first thousand.
func (i *Issuer) MerchantIDs(ctx context.Context) ([]string, error) {
	return ids(ctx, i.Client, i.url("merchants"))
}

// PutMerchant registers a merchant, or replaces what is registered of it.
func (i *Issuer) PutMerchant(ctx context.Context, id string, m adminapi.NewMerchant) (registry.Merchant, error) {
	return call[registry.Merchant](ctx, i.Client, http.MethodPut, i.url("merchants", id), m)
}

// RemoveMerchant removes a merchant that has no card tokens.
func (i *Issuer) RemoveMerchant(ctx context.Context, id string) error {
	return remove(ctx, i.Client, i.url("merchants", id))
}

// CardTokens lists the card tokens of a merchant.
func (i *Issuer) CardTokens(ctx context.Context, merchant string) ([]registry.CardToken, error) {
	return list[registry.CardToken](ctx, i.Client, i.url("merchants", merchant, "card-tokens"))
}

// PutCardToken registers a card token, or changes its scheme.
func (i *Issuer) PutCardToken(ctx context.Context, id string, t adminapi.NewCardToken) (registry.CardToken, error) {
	return call[registry.CardToken](ctx, i.Client, http.MethodPut, i.url("card-tokens", id), t)
}

// RemoveCardToken removes a card token.
func (i *Issuer) RemoveCardToken(ctx context.Context, id string) error {
	return remove(ctx, i.Client, i.url("card-tokens", id))
}

// SigningKeys lists the keys that sign access tokens.
func (i *Issuer) SigningKeys(ctx context.Context) ([]keyring.KeyInfo, error) {
	return list[keyring.KeyInfo](ctx, i.Client, i.url("signing-keys"))
}

// AnnounceSigningKey publishes a new key that does not sign yet.
func (i *Issuer) AnnounceSigningKey(ctx context.Context, k adminapi.NewSigningKey) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys"), k)
}

// ActivateSigningKey lets an announced key sign from now on.
func (i *Issuer) ActivateSigningKey(ctx context.Context, kid string, a adminapi.Activation) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys", kid+":activate"), a)
}

// RetireSigningKey takes back an announced key.
func (i *Issuer) RetireSigningKey(ctx context.Context, kid string) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys", kid+":retire"), nil)
}

// RevokeSigningKey takes a compromised key out of the published set.
func (i *Issuer) RevokeSigningKey(ctx context.Context, kid string) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys", kid+":revoke"), nil)
}

// Revocations lists what is revoked.
func (i *Issuer) Revocations(ctx context.Context) ([]adminapi.Revocation, error) {
	return list[adminapi.Revocation](ctx, i.Client, i.url("revocations"))
}

// Revoke revokes access tokens.
func (i *Issuer) Revoke(ctx context.Context, t adminapi.Target) (adminapi.Revocation, error) {
	return call[adminapi.Revocation](ctx, i.Client, http.MethodPost, i.url("revocations"), t)
}

// Explain tests an assertion against every rule.
func (i *Issuer) Explain(ctx context.Context, q adminapi.Question) (adminapi.Findings, error) {
	return call[adminapi.Findings](ctx, i.Client, http.MethodPost, i.url("explain"), q)
}
