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

// Credentials are the credentials of one kind of the issuer's clients: V as the API shows one, N what
// registers one.
type Credentials[N, V any] struct {
	issuer *Issuer
	path   string
}

// Keys are the public keys of clients.
func (i *Issuer) Keys() Credentials[adminapi.NewKey, adminapi.Key] {
	return Credentials[adminapi.NewKey, adminapi.Key]{i, "keys"}
}

// Secrets are the secrets and API keys of clients.
func (i *Issuer) Secrets() Credentials[adminapi.NewSecret, adminapi.Secret] {
	return Credentials[adminapi.NewSecret, adminapi.Secret]{i, "secrets"}
}

// Certificates are the certificates of clients, and names of their certificates.
func (i *Issuer) Certificates() Credentials[adminapi.NewCertificate, adminapi.Certificate] {
	return Credentials[adminapi.NewCertificate, adminapi.Certificate]{i, "certificates"}
}

// Identities are what trusted issuers call clients.
func (i *Issuer) Identities() Credentials[adminapi.NewIdentity, adminapi.Identity] {
	return Credentials[adminapi.NewIdentity, adminapi.Identity]{i, "identities"}
}

// List lists those of a client.
func (c Credentials[N, V]) List(ctx context.Context, client string) ([]V, error) {
	return list[V](ctx, c.issuer.Client, c.url(client))
}

// Add registers or makes one.
func (c Credentials[N, V]) Add(ctx context.Context, client string, n N) (V, error) {
	return call[V](ctx, c.issuer.Client, http.MethodPost, c.url(client), n)
}

// Set changes one.
func (c Credentials[N, V]) Set(ctx context.Context, client, id string, change adminapi.CredentialChange) (V, error) {
	return call[V](ctx, c.issuer.Client, http.MethodPatch, c.url(client, id), change)
}

// Remove removes one.
func (c Credentials[N, V]) Remove(ctx context.Context, client, id string) error {
	return remove(ctx, c.issuer.Client, c.url(client, id))
}

func (c Credentials[N, V]) url(client string, id ...string) string {
	return c.issuer.url(append([]string{"clients", client, c.path}, id...)...)
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
