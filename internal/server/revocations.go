package server

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/revocation"
)

// revocationsPath is where package bearer's RevocationList polls.
const revocationsPath = "/revocations"

const (
	// A list is signed again at most this often, however much is revoked (but at once
	// for a signing key, which only an administrator revokes),
	minListAge = time.Second
	// and at least this often, so that its iat and exp move on.
	maxListAge = time.Hour
	// listStep is in which steps its iat moves on where there are replicas: those that
	// know the same publish the same, so that who polls now one, now the other, is not
	// given a list that is older than the one at hand, nor one anew that it has.
	listStep = time.Minute
)

// signedList is an issuer's revocation list as it was last signed.
type signedList struct {
	mu      sync.Mutex
	version int64
	kid     string
	// revoked are the kids of the revoked signing keys on it.
	revoked []string
	made    time.Time
	// complete is until when it surely names all that was revoked.
	complete time.Time
	body     []byte
	etag     string
	// last is body and etag for those that come while another signs.
	last atomic.Pointer[publishedList]
}

type publishedList struct {
	body []byte
	etag string
}

// revocations publishes what the issuer revoked, for everybody, from memory: nobody waits for the
// store, nor for another's signature.
func (e *endpoint) revocations(list *signedList) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, etag, err := list.now(e, w.Header())
		if err != nil {
			e.unavailable(w, r, err)
			return
		}
		publish(w, r, "application/"+revocation.ListType, body, etag, 0)
	}
}

// listEndpoint is where clients get a list that is not public: by GET with a credential
// in the header, or by POST with one in a form.
func (e *endpoint) listEndpoint() *endpoint {
	of := e.clientEndpoint("revocations")
	of.wire.takesGet = true
	return of
}

// privateRevocations answers a client that may introspect.
func (e *endpoint) privateRevocations(list *signedList) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := e.newCall(w, r)
		defer c.end()
		ctx, err := c.begin()
		if err == nil {
			err = e.Authority.MayReadRevocations(ctx, e.issuer, c.req)
		}
		var body []byte
		var etag string
		if err == nil {
			if body, etag, err = list.now(e, w.Header()); err != nil {
				err = tryAgain(err)
			}
		}
		if err != nil {
			c.fail(err)
			return
		}
		c.decided("")
		w.Header().Set("Cache-Control", "private, max-age=0")
		serve(w, r, "application/"+revocation.ListType, body, etag)
	}
}

// now returns the list with its ETag. While the store cannot be asked, it is what was
// known last; Age (RFC 9111 §5.1), which is set in h, tells since when it is.
func (l *signedList) now(e *endpoint, h http.Header) (body []byte, etag string, err error) {
	now := e.Now()
	complete, err := e.Authority.KnownUntil(now)
	if err != nil {
		return nil, "", err
	}
	if body, etag, err = l.current(e, now, complete); err != nil {
		return nil, "", err
	}
	if age := now.Sub(complete) / time.Second; age > 0 {
		h.Set("Age", strconv.Itoa(int(age)))
	}
	return body, etag, nil
}

// current returns the list, and signs it again where that is due. While one caller does
// that the others get the last one.
func (l *signedList) current(e *endpoint, now, complete time.Time) ([]byte, string, error) {
	signer, err := e.Keyring.Signer(e.issuer.Name, now)
	if err != nil {
		return nil, "", err
	}
	if !l.mu.TryLock() {
		if last := l.last.Load(); last != nil {
			return last.body, last.etag, nil
		}
		l.mu.Lock() // there is none yet
	}
	defer l.mu.Unlock()
	version := e.Authority.Revocations.Version(e.issuer.Name)
	age := now.Sub(l.made)
	if age < 0 { // the clock was set back
		age = maxListAge
	}
	changed := l.version != version && age >= minListAge
	if e.Authority.Staleness != nil { // there are replicas
		complete = complete.Truncate(listStep)
		changed = changed || complete.After(l.complete)
	}
	// Readers refuse a list of the future.
	changed = changed || complete.Unix() < l.complete.Unix() && age >= minListAge
	revoked := e.Keyring.Revoked(e.issuer.Name, complete)
	if l.body != nil && l.kid == signer.Kid() && slices.Equal(l.revoked, revoked) && !changed && age < maxListAge {
		return l.body, l.etag, nil
	}
	claims := e.Authority.Revocations.AppendList(nil, e.issuer, complete, revoked...)
	body, err := signer.As(revocation.ListType).SignDocument(claims)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(append(claims, signer.Kid()...)) // no two signatures are alike
	l.body, l.version, l.kid, l.revoked, l.made, l.complete = body, version, signer.Kid(), revoked, now, complete
	l.etag = `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	l.last.Store(&publishedList{l.body, l.etag})
	return l.body, l.etag, nil
}
