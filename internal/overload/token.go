package overload

import (
	"net/http"
	"time"
)

// AdmitToken lets in a request that proves itself by an access token alone, or says in an
// *oauth.Error which limit keeps it out. The Permit is to be released in any case.
//
// Refusals of others cost a good token nothing. So they count only against an address that a
// trusted proxy names (any other peer may be a proxy with many callers behind it), they count
// apart from those of other requests, and where the address is over its rate its tokens are
// still judged, among the Checks. A token that was found good needs no place there,
// however many others come.
func (a *Admission) AdmitToken(r *http.Request, token string, now time.Time) (Permit, error) {
	address, named := a.caller(r)
	p := Permit{admission: a, Address: address, token: a.good.key(token)}
	if named {
		if _, within := a.Presenters.Take(address, now); within {
			p.charged = a.Presenters
			return p, nil
		}
	}
	if a.good.has(p.token, now) {
		return p, nil
	}
	if a.QueueDelay.TooLong() {
		return p, tooMany(errQueueDelay)
	}
	if p.checking = a.Checks.Acquire(); !p.checking {
		return p, tooMany(errChecks)
	}
	return p, nil
}

// Good says that the token was found good. It is remembered until it expires, or until it is
// Bad.
func (p *Permit) Good(expires, now time.Time) {
	p.admission.good.add(p.token, expires, now)
	p.leaveChecks()
}

// Bad says that the token is not good, or not any more.
func (p *Permit) Bad(now time.Time) { p.admission.good.remove(p.token, now) }

func (p *Permit) leaveChecks() {
	if p.checking {
		p.admission.Checks.Release()
		p.checking = false
	}
}
