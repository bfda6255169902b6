package storetest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// Mutant is a store with one fault, and the part that must find it.
type Mutant struct {
	Name string
	Part string
	// Break wraps a sound store.
	Break func(Store) Store
}

// Mutants are the faults that the suite is known to find.
func Mutants() []Mutant {
	return []Mutant{
		{"checks, appends, then marks", "use once", func(s Store) Store { return &checkThenMark{Store: s} }},
		{"yields between check and mark", "use once", func(s Store) Store { return &yieldBetween{Store: s} }},
		{"forgets what was sealed", "used stays used", func(s Store) Store { return &forgetsSealed{s} }},
		{"consumes the first value alone", "several values", func(s Store) Store { return &consumesFirst{s} }},
		{"consumes the first value alone", "several values in a race", func(s Store) Store { return &consumesFirst{s} }},
		{"consumes the first though the second was replayed", "several values", func(s Store) Store { return &consumesDespiteReplay{Store: s} }},
		{"consumes the first though the second was replayed", "several values in a race", func(s Store) Store { return &consumesDespiteReplay{Store: s} }},
		{"says of no value which it was", "several values", func(s Store) Store { return &omitsIndex{s} }},
		{"records losers", "use once", func(s Store) Store { return &recordsLosers{s} }},
		{"acknowledges before the commit", "acknowledged is recorded", func(s Store) Store { return &acknowledgesEarly{Store: s} }},
		{"loses entries", "acknowledged is recorded", func(s Store) Store { return &losesEntries{Store: s} }},
		{"ignores gone callers", "gone callers record nothing", func(s Store) Store { return &ignoresGone{s} }},
		{"serves stale clients", "client coherence", func(s Store) Store { return &staleClients{Store: s} }},
		{"puts stale clients back", "client coherence", func(s Store) Store { return &putsBack{Store: s} }},
		{"serves stale API keys", "API key coherence", func(s Store) Store { return &staleDigests{Store: s} }},
		{"serves stale identities", "identity coherence", func(s Store) Store { return &staleDigests{Store: s} }},
		{"serves removed identities", "identities are registered once", func(s Store) Store { return &staleDigests{Store: s} }},
		{"serves stale accounts", "account coherence", func(s Store) Store { return &staleAccounts{Store: s} }},
		{"serves stale items", "item coherence", func(s Store) Store { return &staleItems{Store: s} }},
		{"overwrites clients", "client revisions", func(s Store) Store { return &overwrites{s} }},
		{"overwrites clients", "client revisions in a race", func(s Store) Store { return &overwrites{s} }},
		{"overwrites signing keys", "signing keys", func(s Store) Store { return &overwrites{s} }},
		{"loses revocations", "revocations", func(s Store) Store { return &losesRevocations{Store: s} }},
		{"forgets revocations that are needed", "revocations", func(s Store) Store { return &removesEarly{s} }},
		{"says nothing of taken keys", "keys are registered once", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of taken certificates", "certificates are registered once", func(s Store) Store { return &ignoresConflicts{s} }},
		{"knows certificates without their keys", "certificates are registered once", func(s Store) Store { return &ignoresCertificateKeys{s} }},
		{"refuses to revoke", "certificates are revoked anywhere", func(s Store) Store { return &ignoresDisabled{s} }},
		{"says nothing of revoked certificates", "certificates are revoked anywhere", func(s Store) Store { return &ignoresConflicts{s} }},
		{"knows certificates of its issuer alone", "certificates are registered once", func(s Store) Store { return &ignoresEnvironments{s} }},
		{"says nothing of taken identities", "identities are registered once", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of taken API keys", "API keys are registered once", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of a taken jwks_uri", "a jwks_uri is of one environment", func(s Store) Store { return &ignoresConflicts{s} }},
		{"says nothing of orphans", "removed clients", func(s Store) Store { return &ignoresConflicts{s} }},
		{"puts clients one by one", "clients in bulk", func(s Store) Store { return &notAtomic{s} }},
		{"puts accounts one by one", "accounts", func(s Store) Store { return &notAtomic{s} }},
		{"puts items one by one", "items", func(s Store) Store { return &notAtomic{s} }},
		{"lists from the start", "client pages", func(s Store) Store { return &ignoresPage{s} }},
		{"answers any query with all", "entries by query", func(s Store) Store { return &ignoresQuery{s} }},
		{"visits backwards", "entries by query", func(s Store) Store { return &reversesEntries{s} }},
		{"prunes what is young", "prune", func(s Store) Store { return &removesEarly{s} }},
		{"prunes by no retention", "prune", func(s Store) Store { return &ignoresRetention{s} }},
		{"prunes unsigned", "prune", func(s Store) Store { return &prunesUnsigned{s} }},
		{"makes no checkpoints", "checkpoint", func(s Store) Store { return &noCheckpoints{s} }},
		{"makes a checkpoint of nothing new", "checkpoint", func(s Store) Store { return &alwaysCheckpoints{s} }},
		{"signs something else", "checkpoint", func(s Store) Store { return &signsElse{s} }},
		{"ignores noted heads", "checkpoint", func(s Store) Store { return &ignoresHeads{s} }},
		{"believes any signature", "checkpoint", func(s Store) Store { return &ignoresSignatures{s} }},
		{"forgets keys that are needed", "forget", func(s Store) Store { return &removesEarly{s} }},
		{"records another change", "changes are recorded", func(s Store) Store { return &misrecords{s} }},
		{"believes rows", "altered clients", func(s Store) Store { return &believesRows{s} }},
		{"believes rows", "altered accounts and items", func(s Store) Store { return &believesRows{s} }},
		{"believes rows", "altered signing keys", func(s Store) Store { return &believesRows{s} }},
		{"believes rows", "altered revocations", func(s Store) Store { return &believesRows{s} }},
		{"believes the index", "altered clients", func(s Store) Store { return &believesIndex{s} }},
		{"takes altered clients for unknown", "altered clients", func(s Store) Store { return &sayingUnknown{s} }},
		{"lists nothing beside an altered client", "altered clients", func(s Store) Store { return &stopsAtRows{s} }},
		{"forgets revocations by a column", "altered revocations", func(s Store) Store { return &forgetsByColumn{s} }},
		{"never notes a use", "last use", func(s Store) Store { return &ignoresTouch{s} }},
	}
}

// RunMutants proves that each mutant fails the part that is to find it.
func RunMutants(t *testing.T, open func(testing.TB) Store) {
	for _, m := range Mutants() {
		t.Run(m.Part+" finds a store that "+m.Name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(Parts(), func(p Part) bool { return p.Name == m.Part })
			broken := m.Break(open(t))
			if !fails(t, func(t testing.TB) { Parts()[i].Test(t, broken) }) {
				t.Error("the suite did not notice")
			}
		})
	}
}

type checkThenMark struct {
	Store
	marks marks
}

func (s *checkThenMark) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := s.marks.check(consumed); err != nil {
		return err
	}
	defer s.marks.mark(consumed)
	return s.Store.Append(ctx, e)
}

type yieldBetween struct {
	Store
	marks marks
}

func (s *yieldBetween) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := s.marks.check(consumed); err != nil {
		return err
	}
	runtime.Gosched()
	s.marks.mark(consumed)
	return s.Store.Append(ctx, e)
}

type forgetsSealed struct{ Store }

func (s *forgetsSealed) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	err := s.Store.Append(ctx, e, consumed...)
	if used := (*ledger.ReplayedError)(nil); errors.As(err, &used) {
		return &ledger.ReplayedError{Index: used.Index}
	}
	return err
}

type recordsLosers struct{ Store }

func (s *recordsLosers) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	err := s.Store.Append(ctx, e, consumed...)
	if err != nil {
		_ = s.Store.Append(ctx, e)
	}
	return err
}

// acknowledgesEarly commits an entry when the next one comes.
type acknowledgesEarly struct {
	Store
	mu   sync.Mutex
	held []*ledger.Entry
}

func (s *acknowledgesEarly) Append(ctx context.Context, e *ledger.Entry, _ ...ledger.Consumed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, e)
	if len(s.held) == 1 {
		return nil
	}
	e, s.held = s.held[0], s.held[1:]
	return s.Store.Append(ctx, e)
}

type losesEntries struct {
	Store
	mu    sync.Mutex
	count int
}

func (s *losesEntries) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	s.mu.Lock()
	s.count++
	lost := s.count%50 == 0
	s.mu.Unlock()
	if lost {
		return nil
	}
	return s.Store.Append(ctx, e, consumed...)
}

type ignoresGone struct{ Store }

func (s *ignoresGone) Append(ctx context.Context, e *ledger.Entry, consumed ...ledger.Consumed) error {
	if err := s.Store.Append(context.WithoutCancel(ctx), e, consumed...); err != nil {
		return err
	}
	return ctx.Err()
}

// staleClients keeps each client as it was first read.
type staleClients struct {
	Store
	kept syncMap[string, *registry.Client]
}

func (s *staleClients) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	if c, ok := s.kept.load(id); ok {
		return c, nil
	}
	c, err := s.Store.Client(ctx, issuer, id)
	if err == nil {
		s.kept.store(id, c)
	}
	return c, err
}

// putsBack drops a client when it is changed, but lets a read that began before
// put it back.
type putsBack struct {
	Store
	kept syncMap[string, *registry.Client]
}

func (s *putsBack) Client(ctx context.Context, issuer, id string) (*registry.Client, error) {
	if c, ok := s.kept.load(id); ok {
		return c, nil
	}
	c, err := s.Store.Client(ctx, issuer, id)
	for range 50 {
		runtime.Gosched()
	}
	if err == nil {
		s.kept.store(id, c)
	}
	return c, err
}

func (s *putsBack) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	defer s.kept.drop(c.ID)
	return s.Store.PutClient(ctx, c, e)
}

type staleDigests struct {
	Store
	kept syncMap[registry.Digest, string]
}

func (s *staleDigests) ClientByDigest(ctx context.Context, issuer string, d registry.Digest) (*registry.Client, error) {
	if id, ok := s.kept.load(d); ok {
		return s.Store.Client(ctx, issuer, id)
	}
	c, err := s.Store.ClientByDigest(ctx, issuer, d)
	if err == nil {
		s.kept.store(d, c.ID)
	}
	return c, err
}

// staleIdentities keeps each client as it was first found by a digest.
type staleIdentities struct {
	Store
	kept syncMap[registry.Digest, *registry.Client]
}

func (s *staleIdentities) ClientByDigest(ctx context.Context, issuer string, d registry.Digest) (*registry.Client, error) {
	return remembered(&s.kept, d, func() (*registry.Client, error) { return s.Store.ClientByDigest(ctx, issuer, d) })
}

type staleAccounts struct {
	Store
	kept syncMap[string, *registry.Account]
}

func (s *staleAccounts) Account(ctx context.Context, issuer, id string) (*registry.Account, error) {
	if a, ok := s.kept.load(id); ok {
		return a, nil
	}
	a, err := s.Store.Account(ctx, issuer, id)
	if err == nil {
		s.kept.store(id, a)
	}
	return a, err
}

type staleItems struct {
	Store
	kept syncMap[string, []registry.Item]
}

func (s *staleItems) Items(ctx context.Context, issuer string, ids []string) ([]registry.Item, error) {
	if kept, ok := s.kept.load(ids[0]); ok {
		return kept, nil
	}
	found, err := s.Store.Items(ctx, issuer, ids)
	if err == nil && len(found) > 0 {
		s.kept.store(ids[0], found)
	}
	return found, err
}

// overwrites puts on top of whatever is stored.
type overwrites struct{ Store }

func (s *overwrites) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	for {
		fresh := *c
		fresh.Revision = 0
		if current, err := s.Store.Client(ctx, c.Issuer, c.ID); err == nil {
			fresh.Revision = current.Revision
		}
		if err := s.Store.PutClient(ctx, &fresh, e); !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
}

func (s *overwrites) PutSigningKeys(ctx context.Context, keys registry.SigningKeys, e *ledger.Entry) error {
	current, err := s.Store.SigningKeys(ctx, keys.Issuer)
	if err != nil {
		return err
	}
	keys.Revision = current.Revision
	return s.Store.PutSigningKeys(ctx, keys, e)
}

// ignoresConflicts acknowledges what the store refused.
type ignoresConflicts struct{ Store }

func (s *ignoresConflicts) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	err := s.Store.PutClient(ctx, c, e)
	if taken := (*registry.KeyTakenError)(nil); errors.As(err, &taken) || errors.Is(err, registry.ErrConflict) {
		return nil
	}
	return err
}

// putCertificates puts a client with changed certificates.
func putCertificates(ctx context.Context, s Store, c *registry.Client, e *ledger.Entry, change func(*registry.Certificate)) error {
	changed := *c
	changed.Certificates = slices.Clone(c.Certificates)
	for i := range changed.Certificates {
		change(&changed.Certificates[i])
	}
	return s.PutClient(ctx, &changed, e)
}

// ignoresCertificateKeys has certificates of any key.
type ignoresCertificateKeys struct{ Store }

func (s *ignoresCertificateKeys) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	return putCertificates(ctx, s.Store, c, e, func(k *registry.Certificate) { k.Key = "" })
}

// ignoresDisabled holds a certificate to one client also where it is revoked.
type ignoresDisabled struct{ Store }

func (s *ignoresDisabled) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	return putCertificates(ctx, s.Store, c, e, func(k *registry.Certificate) { k.Disabled = false })
}

// ignoresEnvironments holds a certificate to one client of an issuer, and not to one
// environment.
type ignoresEnvironments struct{ Store }

func (s *ignoresEnvironments) PutClient(ctx context.Context, c *registry.Client, e *ledger.Entry) error {
	return putCertificates(ctx, s.Store, c, e, func(k *registry.Certificate) { k.Environment = "" })
}

func (s *ignoresConflicts) RemoveClient(ctx context.Context, issuer, id string, e *ledger.Entry) error {
	if err := s.Store.RemoveClient(ctx, issuer, id, e); !errors.Is(err, registry.ErrConflict) {
		return err
	}
	return nil
}

// notAtomic makes bulk changes one by one.
type notAtomic struct{ Store }

func (s *notAtomic) PutClients(ctx context.Context, clients []*registry.Client, e *ledger.Entry) error {
	for _, c := range clients {
		if err := s.Store.PutClient(ctx, c, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *notAtomic) PutAccounts(ctx context.Context, accounts []registry.Account, e *ledger.Entry) error {
	for i := range accounts {
		if err := s.Store.PutAccounts(ctx, accounts[i:i+1], e); err != nil {
			return err
		}
	}
	return nil
}

func (s *notAtomic) PutItems(ctx context.Context, items []registry.Item, e *ledger.Entry) error {
	for i := range items {
		if err := s.Store.PutItems(ctx, items[i:i+1], e); err != nil {
			return err
		}
	}
	return nil
}

type ignoresPage struct{ Store }

func (s *ignoresPage) Clients(ctx context.Context, issuer, _ string, limit int) ([]*registry.Client, error) {
	return s.Store.Clients(ctx, issuer, "", limit)
}

type ignoresQuery struct{ Store }

func (s *ignoresQuery) Entries(ctx context.Context, _ ledger.Query, visit func(*ledger.Record) error) error {
	return s.Store.Entries(ctx, ledger.Query{}, visit)
}

type reversesEntries struct{ Store }

func (s *reversesEntries) Entries(ctx context.Context, q ledger.Query, visit func(*ledger.Record) error) error {
	var found []*ledger.Record
	err := s.Store.Entries(ctx, q, func(r *ledger.Record) error { found = append(found, r); return nil })
	for _, r := range slices.Backward(found) {
		if err == nil {
			err = visit(r)
		}
	}
	return err
}

// removesEarly removes what expires a minute later.
type removesEarly struct{ Store }

func (s *removesEarly) Prune(ctx context.Context, before time.Time, retention time.Duration, sign ledger.Signer) (int64, error) {
	return s.Store.Prune(ctx, before.Add(time.Minute), retention, sign)
}

func (s *removesEarly) Forget(ctx context.Context, now time.Time) (int64, error) {
	return s.Store.Forget(ctx, now.Add(time.Minute))
}

type misrecords struct{ Store }

func (s *misrecords) RemoveClient(ctx context.Context, issuer, id string, _ *ledger.Entry) error {
	return s.Store.RemoveClient(ctx, issuer, id, change("something"))
}

type ignoresTouch struct{ Store }

func (s *ignoresTouch) Touch(string, string, string, time.Time) {}

// losesRevocations records that something was revoked, and nothing else.
type losesRevocations struct{ Store }

func (m *losesRevocations) PutRevocation(ctx context.Context, _ *revocation.Revocation, e *ledger.Entry) error {
	return m.Append(ctx, e)
}
