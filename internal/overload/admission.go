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
	TrustedProxies []netip.Prefix
	// Addresses counts by AddressRate, and Readers and AtWork those that are inside.
	// Several may share one.
	Addresses       *Limiter[netip.Addr]
	Readers, AtWork *ConcurrencyLimit
	// QueueDelay measures how long requests wait to be read. A nil one finds no
	// wait too long.
	QueueDelay *QueueDelay
}

// NewAdmission applies limits, but for the queue delay: that is measured once in a
// process.
func NewAdmission(limits Limits) *Admission {
	return &Admission{
		Limits: limits, Addresses: NewLimiter[netip.Addr](limits.AddressRate, limits.Addresses),
		Readers: NewConcurrencyLimit(limits.Readers), AtWork: NewConcurrencyLimit(limits.AtWork),
	}
}

// Permit is what one request holds of the limits. The zero Permit holds nothing.
type Permit struct {
	admission *Admission
	charged   bool              // Address has paid for it
	place     *ConcurrencyLimit // Readers, then AtWork
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
	p.charged = true
	if a.QueueDelay.TooLong() {
		return p, tooMany(errQueueDelay)
	}
	return p, p.take(a.Readers, errReaders)
}

// AdmitUnread lets in a request that has nothing to be read: it counts only among
// those at work.
func (a *Admission) AdmitUnread() Permit { return Permit{admission: a} }

// Work moves the request from those that are read to those at work, until ctx, which
// it bounds by RequestTime, or the Permit ends.
func (p *Permit) Work(ctx context.Context) (context.Context, error) {
	p.leave()
	if err := p.take(p.admission.AtWork, errAtWork); err != nil {
		return ctx, err
	}
	ctx, p.cancel = context.WithTimeout(ctx, p.admission.Limits.RequestTime)
	return ctx, nil
}

// Release gives back what the Permit holds. The address pays for requests that were
// refused for their own fault, and for these alone.
func (p *Permit) Release(ownFault bool) {
	if p.cancel != nil {
		p.cancel()
	}
	p.leave()
	if p.charged && !ownFault {
		p.admission.Addresses.Refund(p.Address)
	}
	p.charged = false
}

func (p *Permit) take(place *ConcurrencyLimit, full error) error {
	if !place.Acquire() {
		return tooMany(full)
	}
	p.place = place
	return nil
}

func (p *Permit) leave() {
	if p.place != nil {
		p.place.Release()
		p.place = nil
	}
}

// What the log says of a request that was one too many.
var (
	errQueueDelay = errors.New("requests wait too long before they are read")
	errReaders    = errors.New("too many requests are being read")
	errAtWork     = errors.New("too many requests are at work")
)

func tooMany(cause error) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "too many requests at once").After(time.Second).Because(cause)
}
