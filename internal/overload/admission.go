package overload

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"moneyer/oauth"
)

// Admission applies Limits to the requests of one listener. Its fields are set
// before first use.
type Admission struct {
	Limits Limits
	// TrustedProxies may tell a caller's address in X-Forwarded-For.
	TrustedProxies Proxies
	// Addresses counts by AddressRate the requests of callers, and Presenters the access
	// tokens that they show: neither spends the other.
	Addresses, Presenters *Limiter[netip.Addr]
	// Readers, AtWork and Checks count those that are inside. Several may share one.
	Readers        *SharedLimit
	AtWork, Checks *ConcurrencyLimit
	// QueueDelay measures how long requests wait to be read. A nil one finds no
	// wait too long.
	QueueDelay *QueueDelay

	good *goodTokens
}

// NewAdmission applies limits, but for the queue delay: that is measured once in a
// process.
func NewAdmission(limits Limits) *Admission {
	return &Admission{
		Limits: limits, Addresses: NewLimiter[netip.Addr](limits.AddressRate, limits.Addresses),
		Presenters: NewLimiter[netip.Addr](limits.AddressRate, limits.Addresses),
		Readers:    NewSharedLimit(limits.Readers), AtWork: NewConcurrencyLimit(limits.AtWork), Checks: NewConcurrencyLimit(limits.Checks),
		good: newGoodTokens(limits.GoodTokens),
	}
}

// Permit is what one request holds of the limits. The zero Permit holds nothing.
type Permit struct {
	admission *Admission
	charged   *Limiter[netip.Addr] // Address has paid for it there
	reading   bool                 // it has a place among the Readers
	working   bool                 // it has one of those AtWork
	checking  bool                 // it has one of the Checks
	token     uint64               // what AdmitToken let in, as a key of Admission.good
	cancel    context.CancelFunc
	// Address is where the request came from.
	Address netip.Addr
}

// Admit lets a request in to be read, or says in an *oauth.Error which limit keeps
// it out. The Permit is to be released in any case.
func (a *Admission) Admit(r *http.Request, now time.Time) (Permit, error) {
	p := Permit{admission: a, Address: a.Address(r)}
	wait, ok := a.Addresses.Take(p.Address, now)
	if !ok {
		return p, oauth.Errorf(oauth.RateLimited, "too many refused requests from this address").After(wait)
	}
	p.charged = a.Addresses
	if a.QueueDelay.TooLong() {
		return p, tooMany(errQueueDelay)
	}
	if p.reading = a.Readers.Acquire(p.Address); !p.reading {
		return p, tooMany(errReaders)
	}
	return p, nil
}

// Work moves the request from those that are read to those at work, until ctx, which
// it bounds by RequestTime, or the Permit ends.
func (p *Permit) Work(ctx context.Context) (context.Context, error) {
	p.leave()
	if err := p.Hold(); err != nil {
		return ctx, err
	}
	ctx, p.cancel = context.WithTimeout(ctx, p.admission.Limits.RequestTime)
	return ctx, nil
}

// Hold counts the request among those at work for as long as it takes.
func (p *Permit) Hold() error {
	if p.working = p.admission.AtWork.Acquire(); !p.working {
		return tooMany(errAtWork)
	}
	return nil
}

// Release gives back what the Permit holds. The address pays for requests that were
// refused for their own fault, and for these alone.
func (p *Permit) Release(ownFault bool) {
	if p.cancel != nil {
		p.cancel()
	}
	p.leave()
	p.leaveChecks()
	if p.charged != nil && !ownFault {
		p.charged.Refund(p.Address)
	}
	p.charged = nil
}

func (p *Permit) leave() {
	if p.reading {
		p.admission.Readers.Release(p.Address)
	}
	if p.working {
		p.admission.AtWork.Release()
	}
	p.reading, p.working = false, false
}

// What the log says of a request that was one too many.
var (
	errQueueDelay = errors.New("requests wait too long before they are read")
	errReaders    = errors.New("too many requests are being read")
	errAtWork     = errors.New("too many requests are at work")
	errChecks     = errors.New("too many access tokens that nobody vouches for are being checked")
)

func tooMany(cause error) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "too many requests at once").After(time.Second).Because(cause)
}
