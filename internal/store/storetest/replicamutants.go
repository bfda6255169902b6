package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

// ReplicaMutant is a replica with one fault, and the part that must find it.
type ReplicaMutant struct {
	Name string
	Part string
	// Break wraps each of the sound stores.
	Break func(Store) Store
}

// ReplicaMutants are the faults that [ReplicaParts] are known to find.
func ReplicaMutants() []ReplicaMutant {
	return []ReplicaMutant{
		{"knows its own uses alone", "use once on any replica", func(s Store) Store { return &ignoresOthers{Store: s} }},
		{"consumes the first value alone", "several values on any replica", func(s Store) Store { return &consumesFirst{s} }},
		{"consumes the first though the second was replayed", "several values on any replica", func(s Store) Store { return &consumesDespiteReplay{Store: s} }},
		{"forgets what was sealed", "used is used everywhere", func(s Store) Store { return &forgetsSealed{s} }},
		{"grants what may be forgotten", "forget while others use", func(s Store) Store { return &grantsForgotten{s} }},
		{"grants what may be forgotten", "forget everywhere at once", func(s Store) Store { return &grantsForgotten{s} }},
		{"forgets keys that are needed", "forget everywhere at once", func(s Store) Store { return &removesEarly{s} }},
		{"overwrites clients", "clients of one revision", func(s Store) Store { return &overwrites{s} }},
		{"says nothing of taken keys", "keys of two clients", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of taken certificates", "certificates of two clients", func(s Store) Store { return &ignoresConflicts{s} }},
		{"knows certificates of its issuer alone", "certificates of two clients", func(s Store) Store { return &ignoresEnvironments{s} }},
		{"says nothing of taken identities", "identities of two clients", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of taken API keys", "API keys of two clients", func(s Store) Store { return &ignoresConflicts{s} }},
		{"overwrites signing keys", "signing keys of one revision", func(s Store) Store { return &overwrites{s} }},
		{"never invalidates clients", "changed clients", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"never invalidates API keys", "changed API keys", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"never invalidates identities", "changed identities", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"never invalidates clients", "disabled certificates and identities", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"keeps who has an identity", "disabled certificates and identities", func(s Store) Store { return &staleIdentities{Store: s} }},
		{"never invalidates accounts", "changed accounts", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"never invalidates items", "changed items", func(s Store) Store { return &neverInvalidates{Store: s} }},
		{"loses revocations", "new revocations", func(s Store) Store { return &losesRevocations{Store: s} }},
		{"loses entries", "a chain for each", func(s Store) Store { return &losesEntries{Store: s} }},
	}
}

// RunReplicaMutants proves that each mutant fails the part that is to find it.
func RunReplicaMutants(t *testing.T, open func(t testing.TB, n int) []Store) {
	for _, m := range ReplicaMutants() {
		t.Run(m.Part+" finds a replica that "+m.Name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(ReplicaParts(), func(p ReplicaPart) bool { return p.Name == m.Part })
			broken := open(t, replicas)
			for i, s := range broken {
				broken[i] = m.Break(s)
			}
			if !fails(t, func(t testing.TB) { ReplicaParts()[i].Test(t, broken) }) {
				t.Error("the suite did not notice")
			}
		})
	}
}

// ignoresOthers checks only the values that this replica consumed.
type ignoresOthers struct {
	Store
	mu    sync.Mutex
	marks marks
}

func (s *ignoresOthers) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if len(consumed) == 0 {
		return s.Store.Append(ctx, e, consumed...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.marks.check(consumed); err != nil {
		return err
	}
	s.marks.mark(consumed)
	return s.Store.Append(ctx, e)
}

// grantsForgotten accepts an assertion whose consumed value may have been deleted.
type grantsForgotten struct{ Store }

func (s *grantsForgotten) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	err := s.Store.Append(ctx, e, consumed...)
	var used *ledger.ReplayedError
	if err == nil || errors.As(err, &used) || ctx.Err() != nil {
		return err
	}
	return s.Store.Append(ctx, e)
}

// neverInvalidates caches everything it read, and drops only what it changed itself.
type neverInvalidates struct {
	Store
	clients  syncMap[string, *registry.Client]
	digests  syncMap[registry.Digest, *registry.Client]
	accounts syncMap[string, *registry.Account]
	items    syncMap[string, []registry.Item]
}

func remembered[K comparable, V any](k *syncMap[K, V], key K, read func() (V, error)) (V, error) {
	if v, ok := k.load(key); ok {
		return v, nil
	}
	v, err := read()
	if err == nil {
		k.store(key, v)
	}
	return v, err
}

func (s *neverInvalidates) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	return remembered(&s.clients, id, func() (*registry.Client, error) { return s.Store.Client(ctx, issuer, id) })
}

func (s *neverInvalidates) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	defer s.clients.drop(c.ID)
	return s.Store.PutClient(ctx, c, e)
}

func (s *neverInvalidates) ClientByDigest(ctx context.Context, issuer string, d registry.Digest) (*registry.Client, error) {
	return remembered(&s.digests, d, func() (*registry.Client, error) { return s.Store.ClientByDigest(ctx, issuer, d) })
}

func (s *neverInvalidates) Account(ctx context.Context, issuer, id string) (*registry.Account, error) {
	return remembered(&s.accounts, id, func() (*registry.Account, error) { return s.Store.Account(ctx, issuer, id) })
}

func (s *neverInvalidates) PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error {
	defer func() {
		for i := range accounts {
			s.accounts.drop(accounts[i].ID)
		}
	}()
	return s.Store.PutAccounts(ctx, accounts, e)
}

func (s *neverInvalidates) Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error) {
	return remembered(&s.items, ids[0], func() ([]registry.Item, error) { return s.Store.Items(ctx, issuer, ids) })
}
