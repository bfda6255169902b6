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

// Clients lists the clients, without their credentials.
func (i *Issuer) Clients(ctx context.Context) ([]adminapi.Client, error) {
	return list[adminapi.Client](ctx, i.Client, i.url("clients"))
}

// ClientIDs lists the first thousand.
func (i *Issuer) ClientIDs(ctx context.Context) ([]string, error) {
	return ids(ctx, i.Client, i.url("clients"))
}

// ShowClient shows a client with its credentials.
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

// RemoveClient removes a client with its credentials.
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

// Certificates lists the certificates of a client.
func (i *Issuer) Certificates(ctx context.Context, client string) ([]adminapi.Certificate, error) {
	return list[adminapi.Certificate](ctx, i.Client, i.url("clients", client, "certificates"))
}

// AddCertificate registers a certificate of a client, or a name of its certificates.
func (i *Issuer) AddCertificate(ctx context.Context, client string, c adminapi.NewCertificate) (adminapi.Certificate, error) {
	return call[adminapi.Certificate](ctx, i.Client, http.MethodPost, i.url("clients", client, "certificates"), c)
}

// SetCertificate changes a certificate of a client.
func (i *Issuer) SetCertificate(ctx context.Context, client, id string, c adminapi.CredentialChange) (adminapi.Certificate, error) {
	return call[adminapi.Certificate](ctx, i.Client, http.MethodPatch, i.url("clients", client, "certificates", id), c)
}

// RemoveCertificate removes a certificate of a client.
func (i *Issuer) RemoveCertificate(ctx context.Context, client, id string) error {
	return remove(ctx, i.Client, i.url("clients", client, "certificates", id))
}

// Identities lists the identities of a client.
func (i *Issuer) Identities(ctx context.Context, client string) ([]adminapi.Identity, error) {
	return list[adminapi.Identity](ctx, i.Client, i.url("clients", client, "identities"))
}

// AddIdentity registers what a client is called by a trusted issuer.
func (i *Issuer) AddIdentity(ctx context.Context, client string, n adminapi.NewIdentity) (adminapi.Identity, error) {
	return call[adminapi.Identity](ctx, i.Client, http.MethodPost, i.url("clients", client, "identities"), n)
}

// SetIdentity changes an identity of a client.
func (i *Issuer) SetIdentity(ctx context.Context, client, id string, c adminapi.CredentialChange) (adminapi.Identity, error) {
	return call[adminapi.Identity](ctx, i.Client, http.MethodPatch, i.url("clients", client, "identities", id), c)
}

// RemoveIdentity removes an identity of a client.
func (i *Issuer) RemoveIdentity(ctx context.Context, client, id string) error {
	return remove(ctx, i.Client, i.url("clients", client, "identities", id))
}

// Accounts lists the accounts.
func (i *Issuer) Accounts(ctx context.Context) ([]registry.Account, error) {
	return list[registry.Account](ctx, i.Client, i.url("accounts"))
}

// AccountIDs lists the first thousand.
func (i *Issuer) AccountIDs(ctx context.Context) ([]string, error) {
	return ids(ctx, i.Client, i.url("accounts"))
}

// PutAccount registers or replaces an account.
func (i *Issuer) PutAccount(ctx context.Context, id string, account adminapi.NewAccount) (registry.Account, error) {
	return call[registry.Account](ctx, i.Client, http.MethodPut, i.url("accounts", id), account)
}

// RemoveAccount removes an account that has no items.
func (i *Issuer) RemoveAccount(ctx context.Context, id string) error {
	return remove(ctx, i.Client, i.url("accounts", id))
}

// Items lists the items of an account.
func (i *Issuer) Items(ctx context.Context, account string) ([]registry.Item, error) {
	return list[registry.Item](ctx, i.Client, i.url("accounts", account, "items"))
}

// PutItem registers an item, or changes its kind.
func (i *Issuer) PutItem(ctx context.Context, id string, item adminapi.NewItem) (registry.Item, error) {
	return call[registry.Item](ctx, i.Client, http.MethodPut, i.url("items", id), item)
}

// RemoveItem removes an item.
func (i *Issuer) RemoveItem(ctx context.Context, id string) error {
	return remove(ctx, i.Client, i.url("items", id))
}

// SigningKeys lists the keys that sign access tokens.
func (i *Issuer) SigningKeys(ctx context.Context) ([]keyring.KeyInfo, error) {
	return list[keyring.KeyInfo](ctx, i.Client, i.url("signing-keys"))
}

// AnnounceSigningKey publishes a new key that does not sign yet.
func (i *Issuer) AnnounceSigningKey(ctx context.Context, k adminapi.NewSigningKey) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys"), k)
}

// ActivateSigningKey makes an announced key the signing key.
func (i *Issuer) ActivateSigningKey(ctx context.Context, kid string, a adminapi.Activation) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys", kid+":activate"), a)
}

// RetireSigningKey retires an announced key.
func (i *Issuer) RetireSigningKey(ctx context.Context, kid string) (keyring.KeyInfo, error) {
	return call[keyring.KeyInfo](ctx, i.Client, http.MethodPost, i.url("signing-keys", kid+":retire"), nil)
}

// RevokeSigningKey removes a compromised key from the published set.
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

// Explain checks an assertion against every rule.
func (i *Issuer) Explain(ctx context.Context, q adminapi.Question) (adminapi.Findings, error) {
	return call[adminapi.Findings](ctx, i.Client, http.MethodPost, i.url("explain"), q)
}
