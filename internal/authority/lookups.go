package authority

import (
	"context"
	"errors"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// known returns the client of an answer of the registry, nil where there is none. The error is
// that the registry is unavailable.
func known(client *registry.Client, asked bool, err error) (*registry.Client, bool, error) {
	if errors.Is(err, registry.ErrNotFound) {
		return nil, asked, nil
	}
	return client, asked, err
}

// found is known for an attempt, which notes whether the database was asked.
func (t *attempt) found(client *registry.Client, asked bool, err error) (*registry.Client, error) {
	t.asked = t.asked || asked
	if client, _, err = known(client, asked, err); err != nil {
		return nil, unavailable(err)
	}
	return client, nil
}

// nobody is an id that no profile accepts for a client.
const nobody = "nobody\x7f"

// equalizeLookups asks the database for a client that does not exist when a known client
// is refused before it is proven and was found in memory: an unknown one is never found
// there, and neither the time of an answer nor a database that is unavailable may tell
// them apart. The same goes for a token of a trusted issuer, which is looked up only once
// it is verified. A client that is over its rate is told so, and costs nothing more.
func (a *Authority) equalizeLookups(ctx context.Context, from Registry, t *attempt, refused error) error {
	if t.client == nil && !t.showsWorkload() || t.asked || t.proven || oauth.AsError(refused).Code.Retryable() {
		return refused
	}
	if _, _, err := from.FindClient(ctx, t.issuer.Name, nobody); err != nil && !errors.Is(err, registry.ErrNotFound) {
		return unavailable(err)
	}
	return refused
}
