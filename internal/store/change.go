package store

import (
	"encoding/hex"

	"moneyer/internal/registry"
)

// Change names what somebody changed, so that those who remember it read it anew.
type Change struct {
	Kind   ChangeKind
	Issuer string
	// ID of the client, account or item, or the digest of an API key in hex.
	ID string
}

// ChangeKind tells what was changed. The database keeps it.
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

// drop forgets what was changed.
func (c *registryCache) drop(changes []Change) {
	for _, change := range changes {
		key := named{change.Issuer, change.ID}
		switch change.Kind {
		case ChangedClient:
			c.clients.drop(key)
		case ChangedAccount:
			c.accounts.drop(key)
		case ChangedItem:
			c.items.drop(key)
		case ChangedAPIKey:
			if digest, err := hex.DecodeString(change.ID); err == nil && len(digest) == len(registry.Digest{}) {
				c.apiKeys.drop(digested{change.Issuer, registry.Digest(digest)})
			}
		}
	}
}

// clear forgets everything.
func (c *registryCache) clear() {
	c.clients.clear()
	c.apiKeys.clear()
	c.accounts.clear()
	c.items.clear()
}
