package overload

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// budgetPart is the part of a Budget that one key may spend before it is kept out of the half
// that is for the others.
const budgetPart = 20

// budgetKeys is how many keys a Budget remembers.
const budgetKeys = 1 << 14

// Budget bounds how many events of many keys (addresses, clients) are written down. It
// holds Burst of them and refills at PerSecond. Half of it is kept for keys that have not
// spent their share, a twentieth: one key that has endless events takes no more than the
// other half, and hides no others. It is safe for concurrent use, and its memory is
// bounded as that of a [Limiter] is.
type Budget[K comparable] struct {
	all    *Limiter[struct{}]
	shares *Limiter[K]
}

// NewBudget makes a full budget. A zero PerSecond means no limit.
func NewBudget[K comparable](rate Rate) *Budget[K] {
	share := Rate{PerSecond: rate.PerSecond / budgetPart, Burst: max(rate.Burst/budgetPart, 1)}
	return &Budget[K]{NewLimiter[struct{}](rate, 1), NewLimiter[K](share, budgetKeys)}
}

// Take reports whether there is budget for an event of key at now, and spends it.
func (b *Budget[K]) Take(key K, now time.Time) bool {
	within := b.all.slack
	if _, ok := b.shares.Take(key, now); !ok {
		within /= 2
	}
	_, ok := b.all.take(struct{}{}, now, within)
	return ok
}

// Refusals has the budgets within which the refusals of each issuer are written down one
// by one, and counts the others. Callers that did not prove to be a client, and clients,
// have separate budgets: without a credential one cannot hide what a client did.
type Refusals struct {
	rate     Rate
	byIssuer sync.Map // name -> *issuerRefusals; the names are those of the configuration
}

type issuerRefusals struct {
	unproven *Budget[netip.Addr]
	proven   *Budget[string]
	counted  atomic.Int64
}

// NewRefusals makes full budgets, each of that rate.
func NewRefusals(rate Rate) *Refusals { return &Refusals{rate: rate} }

func (r *Refusals) of(issuer string) *issuerRefusals {
	found, ok := r.byIssuer.Load(issuer)
	if !ok {
		found, _ = r.byIssuer.LoadOrStore(issuer, &issuerRefusals{unproven: NewBudget[netip.Addr](r.rate), proven: NewBudget[string](r.rate)})
	}
	of, _ := found.(*issuerRefusals) // nothing else is stored
	return of
}

// Take reports whether a refusal is to be written down. Otherwise it is counted. client is
// who proved to be it, and "" for a caller that proved nothing.
func (r *Refusals) Take(issuer, client string, address netip.Addr, now time.Time) bool {
	of := r.of(issuer)
	var ok bool
	if client == "" {
		ok = of.unproven.Take(address, now)
	} else {
		ok = of.proven.Take(client, now)
	}
	if !ok {
		of.counted.Add(1)
	}
	return ok
}

// Count adds n refusals of an issuer to those that are only counted.
func (r *Refusals) Count(issuer string, n int64) { r.of(issuer).counted.Add(n) }

// Counted returns how many refusals of an issuer were only counted since the last call.
func (r *Refusals) Counted(issuer string) int64 { return r.of(issuer).counted.Swap(0) }

// EachCounted calls f for each issuer with refusals that were only counted since the last
// call.
func (r *Refusals) EachCounted(f func(issuer string, n int64)) {
	r.byIssuer.Range(func(name, _ any) bool {
		issuer, _ := name.(string)
		if n := r.Counted(issuer); n > 0 {
			f(issuer, n)
		}
		return true
	})
}
