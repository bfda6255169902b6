package engine

// Change names what somebody changed, so that those who remember it read it anew.
type Change struct {
	Kind   ChangeKind
	Issuer string
	// ID of the client, account or item, or the digest of an API key in hex.
	ID string
}

// ChangeKind is what was changed. The database keeps it.
type ChangeKind string

// What can be changed.
const (
	ChangedClient      ChangeKind = "client"
	ChangedAPIKey      ChangeKind = "api-key"
	ChangedAccount     ChangeKind = "account"
	ChangedItem        ChangeKind = "item"
	ChangedSigningKeys ChangeKind = "signing-keys"
	ChangedRevocations ChangeKind = "revocations"
)
