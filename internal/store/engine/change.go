package engine

// Change names what somebody changed, so that those who remember it read it anew.
type Change struct {
	Kind   ChangeKind
	Issuer string
	// ID of the client, merchant or card token, or the digest of an API key in hex.
	ID string
}

// ChangeKind is what was changed. The database keeps it.
type ChangeKind string

// What can be changed.
const (
	ChangedClient      ChangeKind = "client"
	ChangedAPIKey      ChangeKind = "api-key"
	ChangedMerchant    ChangeKind = "merchant"
	ChangedCardToken   ChangeKind = "card-token"
	ChangedSigningKeys ChangeKind = "signing-keys"
	ChangedRevocations ChangeKind = "revocations"
)
