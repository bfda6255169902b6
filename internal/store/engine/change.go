package engine

// Change identifies what was changed, so that replicas invalidate their caches.
type Change struct {
	Kind   ChangeKind
	Issuer string
	// ID of the client, account or item, or the digest of an API key or identity in hex.
	ID string
}

// ChangeKind is the kind of the changed object. The database stores it.
type ChangeKind string

// The kinds of changes.
const (
	ChangedClient      ChangeKind = "client"
	ChangedDigest      ChangeKind = "digest"
	ChangedAccount     ChangeKind = "account"
	ChangedItem        ChangeKind = "item"
	ChangedSigningKeys ChangeKind = "signing-keys"
	ChangedRevocations ChangeKind = "revocations"
)
