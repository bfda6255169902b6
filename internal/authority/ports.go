package authority

import (
	"context"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// Registry reads clients and what belongs to them. Every answer reflects each change
// that was acknowledged before the question: disabled takes effect at once. Answers are shared and must not be changed. What does not exist is
// ErrNotFound; every other error means that the registry is unavailable.
type Registry interface {
	//
	// asked reports whether the answer took a question to the database, and not to memory
	// alone: what does not exist is always asked for.
	FindClient(ctx context.Context, issuer, id string) (c *registry.Client, asked bool, err error)
	// FindClientByDigest finds the client that holds an API key or an identity with that
	// digest.
	FindClientByDigest(ctx context.Context, issuer string, key registry.Digest) (c *registry.Client, asked bool, err error)
	Account(ctx context.Context, issuer, id string) (*registry.Account, error)
	// Items finds those of ids that exist, in no particular order.
	Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error)
	// Touch notes when a key or secret of a client was last used. It never waits
	// and may lose the last few seconds when the process dies.
	Touch(issuer, client, credential string, at time.Time)
}

// Ledger is the append-only record of every token minted and every change made.
type Ledger interface {
	// Append records e; when it returns nil, e is durable and chained, and the same
	// atomic step consumed every value: of all callers with one value, on any replica
	// and through any crash, exactly one succeeds. If any of the values was consumed
	// before, the error is a *ledger.ReplayedError that says which, nothing is recorded
	// and none of the others is consumed. The values of one call must differ. Any other
	// error means that the outcome is unknown to the caller, who must then return no token.
	Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error
	// Expect says that n more entries are about to be appended, or, if n is negative, that many
	// fewer. Their commit may wait for them, a few milliseconds at most.
	Expect(n int)
}

// Keyring provides the keys of issuers.
type Keyring interface {
	// Signer returns the issuer's signing key at that instant.
	Signer(issuer string, at time.Time) (*jose.Signer, error)
	// Public returns the key that is published for the issuer at that instant
	// under that kid, or ErrNotFound.
	Public(issuer, kid string, at time.Time) (*jose.PublicKey, error)
}

// TrustedKeys has the keys of trusted issuers.
type TrustedKeys interface {
	// Key returns the trusted issuer's key for a signature with that kid and alg, without a kid
	// its only key, or ErrNotFound. Every other error means that nobody can tell now.
	Key(ctx context.Context, t *registry.TrustedIssuer, kid, alg string) (*jose.PublicKey, error)
	// Newer is Key after a signature did not verify with the key was; nil when there is no
	// other one by now.
	Newer(ctx context.Context, t *registry.TrustedIssuer, kid, alg string, was *jose.PublicKey) *jose.PublicKey
}

// KeySource reads the keys that a client publishes at its jwks_uri.
type KeySource interface {
	// Key returns the client's published key for a signature with that kid and alg, or
	// ErrNotFound. Any other error means that nobody can tell now.
	Key(ctx context.Context, uri, kid, alg string) (*jose.PublicKey, error)
	// Newer is Key after a signature did not verify with the key was; nil when the client
	// has no other one by now.
	Newer(ctx context.Context, uri, kid, alg string, was *jose.PublicKey) *jose.PublicKey
	// Certificate returns the client's published key whose x5c begins with the certificate of that
	// SHA-256, with its kid, or its thumbprint if it has none; or ErrNotFound.
	Certificate(ctx context.Context, uri string, digest [32]byte) (*registry.Key, error)
	// Elsewhere returns a *registry.KeyTakenError if such a key may not be used for an issuer of
	// that environment, because it is registered or in use for another one. Any other
	// error means that the registry is unavailable.
	Elsewhere(ctx context.Context, key *jose.PublicKey, environment string) error
	// Claim binds the key to that environment: it is in use there. Errors are those of
	// Elsewhere. It is called when an assertion for that environment was verified.
	Claim(ctx context.Context, key *jose.PublicKey, client *registry.Client, environment, kid string) error
}
