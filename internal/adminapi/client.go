package adminapi

import (
	"time"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Issuer is an issuer as the API shows it.
type Issuer struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Profile     string `json:"profile"`
	Environment string `json:"environment,omitempty"`
	Disabled    bool   `json:"disabled"`
}

// Client is a client as the API shows it.
type Client struct {
	Issuer   string            `json:"issuer"`
	ID       string            `json:"id"`
	Name     string            `json:"name,omitempty"`
	Revision int64             `json:"revision"`
	Disabled bool              `json:"disabled"`
	Grants   []oauth.GrantType `json:"grants,omitempty"`
	Scope    string            `json:"scope,omitempty"`
	// Introspects is whether it may introspect tokens of other clients.
	Introspects bool                          `json:"introspects,omitempty"`
	Attributes  map[string]registry.Attribute `json:"attributes,omitempty"`
	JWKSURI     string                        `json:"jwks_uri,omitempty"`
	// Subjects that its assertions may name beside the client itself.
	Subjects []string `json:"subjects,omitempty"`
	// BoundTokens is what its tokens are bound to, and AssertionAudience what the aud of its
	// client assertions may be, where that is not the issuer alone.
	BoundTokens       registry.Binding           `json:"bound_tokens,omitempty"`
	AssertionAudience registry.AssertionAudience `json:"client_assertion_audience,omitempty"`
	Created           time.Time                  `json:"created"`
	// Warnings are what the profile wants of the client and does not find: it is registered, but its
	// tokens lack a claim, or it gets none. Lists have none.
	Warnings []string `json:"warnings,omitempty"`
	// Unverified is whether the client in the store does not verify under the master key, so
	// that nothing but its ID is known.
	Unverified bool `json:"unverified,omitempty"`
	// Credentials are shown of a single client, not in lists.
	Keys         []Key         `json:"keys,omitempty"`
	Secrets      []Secret      `json:"secrets,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Identities   []Identity    `json:"identities,omitempty"`
}

// CredentialState is what the API shows of every credential.
type CredentialState struct {
	NotAfter time.Time `json:"not_after,omitzero"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	// LastUsed is absent for one that never was.
	LastUsed time.Time `json:"last_used,omitzero"`
}

// State returns it.
func (s CredentialState) State() CredentialState { return s }

// Key is a key of a client as the API shows it.
type Key struct {
	Kid         string    `json:"kid"`
	Alg         string    `json:"alg"`
	Thumbprint  string    `json:"thumbprint"`
	Environment string    `json:"environment,omitempty"`
	NotBefore   time.Time `json:"not_before,omitzero"`
	CredentialState
}

// Secret is a client secret or an API key as the API shows it. Only the response to
// its creation has the text.
type Secret struct {
	ID   string              `json:"id"`
	Kind registry.SecretKind `json:"kind"`
	CredentialState
	// Text is the secret itself. Only the response that creates the secret has it.
	Text string `json:"text,omitempty"`
}

// Certificate is a certificate of a client, or a name of its certificates, as the API shows
// it.
type Certificate struct {
	ID string `json:"id"`
	// Match is what of a certificate is compared with Value.
	Match       registry.CertificateMatch `json:"match"`
	Value       string                    `json:"value"`
	Environment string                    `json:"environment,omitempty"`
	CredentialState
}

// Identity is what a client is called by a trusted issuer, as the API shows it.
type Identity struct {
	ID string `json:"id"`
	// Trusted is the name of the trusted issuer.
	Trusted string            `json:"trusted"`
	Claims  map[string]string `json:"claims"`
	CredentialState
	// Unused says why no JWT can have it while the configuration is as it is.
	Unused string `json:"unused,omitempty"`
}

// ClientChange changes a client. A nil member is unchanged.
type ClientChange struct {
	Name   *string            `json:"name,omitempty"`
	Scope  *string            `json:"scope,omitempty"`
	Grants *[]oauth.GrantType `json:"grants,omitempty"`
	// Attributes by name; nil removes one.
	Attributes  map[string]*registry.Attribute `json:"attributes,omitempty"`
	JWKSURI     *string                        `json:"jwks_uri,omitempty"`
	Introspects *bool                          `json:"introspects,omitempty"`
	Disabled    *bool                          `json:"disabled,omitempty"`

	Subjects          *[]string                   `json:"subjects,omitempty"`
	BoundTokens       *registry.Binding           `json:"bound_tokens,omitempty"`
	AssertionAudience *registry.AssertionAudience `json:"client_assertion_audience,omitempty"`
}

// NewClient registers a client.
type NewClient struct {
	ID string `json:"id"`
	ClientChange
}

// CredentialChange changes a key, a secret, an API key, a certificate or an identity. A nil member is unchanged.
type CredentialChange struct {
	// NotBefore is for keys only.
	NotBefore *Moment `json:"not_before,omitempty"`
	NotAfter  *Moment `json:"not_after,omitempty"`
	Disabled  *bool   `json:"disabled,omitempty"`
}

// NewKey registers a public key.
type NewKey struct {
	// Key is PEM, a certificate or a JWK.
	Key string `json:"key"`
	// Kid is by default that of the JWK, or the thumbprint.
	Kid       string  `json:"kid,omitempty"`
	Alg       string  `json:"alg,omitempty"`
	NotBefore *Moment `json:"not_before,omitempty"`
	NotAfter  *Moment `json:"not_after,omitempty"`
}

// NewSecret makes a secret or an API key.
type NewSecret struct {
	Kind     registry.SecretKind `json:"kind"`
	NotAfter *Moment             `json:"not_after,omitempty"`
}

// NewCertificate registers a certificate, or a name of certificates: one of its texts is
// given.
type NewCertificate struct {
	// Certificate is PEM, or a JWK with x5c.
	Certificate string `json:"certificate,omitempty"`
	SubjectDN   string `json:"subject_dn,omitempty"`
	SANDNS      string `json:"san_dns,omitempty"`
	SANURI      string `json:"san_uri,omitempty"`
	SANIP       string `json:"san_ip,omitempty"`
	SANEmail    string `json:"san_email,omitempty"`
	// Disabled registers it disabled, which revokes it where the client is registered by a name.
	Disabled bool    `json:"disabled,omitempty"`
	NotAfter *Moment `json:"not_after,omitempty"`
}

// NewIdentity registers what a client is called by a trusted issuer.
type NewIdentity struct {
	Trusted  string            `json:"trusted"`
	Claims   map[string]string `json:"claims"`
	NotAfter *Moment           `json:"not_after,omitempty"`
}

// NewAccount registers or replaces an account.
type NewAccount struct {
	Client     string                         `json:"client"`
	Disabled   bool                           `json:"disabled"`
	Attributes map[string]*registry.Attribute `json:"attributes,omitempty"`
}

// NewItem registers or replaces an item.
type NewItem struct {
	Account string `json:"account"`
	Kind    string `json:"kind"`
}

// Progress is a line of the answer to an import. Rows are stored in their order:
// at any time the first Done rows are stored.
type Progress struct {
	Done int64 `json:"done"`
	// Finished is on the last line of an import that stored every row.
	Finished bool `json:"finished,omitempty"`
	// Line is the invalid line, counted from 1, and Error what is wrong with it.
	// They are on the last line of an import that ended there. The rows before it
	// are stored.
	Line  int64  `json:"line,omitempty"`
	Error string `json:"error,omitempty"`
}
