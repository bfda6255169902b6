package bearer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/revocation"
)

// RevocationSource tells whether an issuer withdrew a token before its end. An
// error means that it cannot tell, and the token does not pass for now.
type RevocationSource interface {
	Revoked(ctx context.Context, c *Claims) (bool, error)
}

// RevokedFunc is a RevocationSource made of a function that always can tell, for
// an API in the issuer's own process.
type RevokedFunc func(c *Claims) bool

// Revoked calls f.
func (f RevokedFunc) Revoked(_ context.Context, c *Claims) (bool, error) { return f(c), nil }

const (
	defaultInterval     = 10 * time.Second
	defaultListMaxStale = 5 * time.Minute
	retryListAfter      = time.Second
	// knownDown is how long after a failure no call waits for the issuer. It is
	// longer than a pause and a fetch that ends by its limit, so that a busy API
	// waits for an issuer that hangs but once.
	knownDown = 2 * fetchLimit
)

// errOutdated is why a list that came does not serve.
var errOutdated = errors.New("the last one is too old")

// RevocationList is a RevocationSource that polls the signed list that an issuer
// of ours publishes at {issuer}/revocations. Set the fields before the first use
// and leave them alone afterwards. A RevocationList must not be copied.
//
// It needs no goroutine of its own: a call that finds the list older than
// Interval asks for it anew, by ETag, and waits; one that finds it older than
// half of that asks without waiting. So a revocation holds in this process no
// later than Interval, the time that the issuer takes to answer, and the second
// for which it may keep a signed list, after it was made. After a failure the issuer is asked once a second, for 20 s no call waits
// for it, and the last list goes on serving until MaxStale after it was last
// confirmed, or its own exp; from then on no token passes. An issuer that has lost
// its store says in Age how old that makes its answer, which counts.
//
// A list is only ever replaced by one that the issuer made no earlier. A token
// without iat counts as issued in 1970.
type RevocationList struct {
	// Issuer is the issuer URL, which iss of the list must be. It has no default.
	Issuer string
	// URL of the list; empty means Issuer + "/revocations". It is https, or http on
	// a loopback host.
	URL string
	// Keys finds the issuer's keys; nil means a RemoteKeys for Issuer. Give it the
	// RemoteKeys of the Verifier, and they are fetched once for both.
	Keys KeySource
	// Interval between two polls; 0 means 10 s.
	Interval time.Duration
	// MaxStale bounds how long an unconfirmed list serves; 0 means 5 minutes.
	MaxStale time.Duration
	// HTTPClient fetches; nil means one on http.DefaultTransport. Redirects are not
	// followed and a fetch ends after 10 s, whatever the client says.
	HTTPClient *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	setup sync.Once
	keys  KeySource

	mu        sync.Mutex       // guards what follows
	list      *revocation.List // nil before the first fetch; never changed, only replaced
	etag      string           // of list
	confirmed time.Time        // when the issuer last said that list is the newest
	age       time.Duration    // how old it said that its knowledge was then
	failed    time.Time        // when the last fetch failed; zero after a success
	err       error            // of the last fetch; nil after a success
	flight    <-chan struct{}  // closed when the fetch under way ends; nil without one
}

// Revoked implements RevocationSource.
func (l *RevocationList) Revoked(ctx context.Context, c *Claims) (bool, error) {
	if flight := l.refresh(ctx); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	now := clock(l.Now)
	l.mu.Lock()
	list, usable, err := l.list, l.usable(now), l.err
	l.mu.Unlock()
	if !usable {
		return false, fmt.Errorf("no revocation list of the issuer: %w", cmp.Or(err, errOutdated))
	}
	t := revocation.Token{ID: c.ID, KeyID: c.KeyID, Payload: c.Payload}
	if !c.IssuedAt.IsZero() {
		t.IssuedAt = c.IssuedAt.Unix()
	}
	return list.Matches(t)
}

// usable tells whether there is a list that may serve. Caller holds mu.
func (l *RevocationList) usable(now time.Time) bool {
	return l.list != nil && now.Before(l.list.Expiry) && now.Before(l.confirmed.Add(orDefault(l.MaxStale, defaultListMaxStale)-l.age))
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// refresh begins a fetch where one is due, and returns what to wait for when the
// list is too old to answer by.
func (l *RevocationList) refresh(ctx context.Context) <-chan struct{} {
	l.setup.Do(func() {
		if l.keys = l.Keys; l.keys == nil {
			l.keys = &RemoteKeys{Issuer: l.Issuer, HTTPClient: l.HTTPClient, Now: l.Now}
		}
	})
	now, interval := clock(l.Now), orDefault(l.Interval, defaultInterval)
	l.mu.Lock()
	defer l.mu.Unlock()
	usable, age := l.usable(now), now.Sub(l.confirmed)
	if usable && age < interval/2 {
		return nil
	}
	if l.flight == nil && !now.Before(l.failed.Add(retryListAfter)) {
		l.begin(ctx, now, interval)
	}
	if !usable || age >= interval && !now.Before(l.failed.Add(knownDown)) {
		return l.flight
	}
	return nil
}

// begin starts a fetch that no caller's end can stop. Caller holds mu. The list
// counts as confirmed from when it was asked for, not from when it came. One that
// ends within the interval is asked for without ETag: that it is unchanged would
// be of no help.
func (l *RevocationList) begin(ctx context.Context, asked time.Time, interval time.Duration) {
	done := make(chan struct{})
	l.flight = done
	known, etag := l.list, l.etag
	if known != nil && !asked.Add(interval).Before(known.Expiry) {
		etag = ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	go func() {
		defer cancel()
		defer close(done)
		list, newTag, age, err := l.fetch(ctx, known, etag)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.flight, l.err = nil, err
		if err != nil {
			l.failed = clock(l.Now)
			return
		}
		l.list, l.etag, l.confirmed, l.age, l.failed = list, newTag, asked, age, time.Time{}
	}()
}

// fetch gets the list and its ETag, known and etag when that is unchanged, and the
// age of the answer.
func (l *RevocationList) fetch(ctx context.Context, known *revocation.List, etag string) (*revocation.List, string, time.Duration, error) {
	if l.Issuer == "" {
		return nil, "", 0, errors.New("bearer: RevocationList.Issuer is not set")
	}
	location := l.URL
	if location == "" {
		location = strings.TrimSuffix(l.Issuer, "/") + "/revocations"
	}
	d, err := fetch(ctx, l.HTTPClient, location, "application/"+revocation.ListType, etag, jose.MaxDocument)
	if err != nil {
		return nil, "", 0, err
	}
	if d.unchanged {
		return known, etag, ageOf(d.header), nil
	}
	list, err := l.open(ctx, string(d.body))
	if err != nil {
		return nil, "", 0, fmt.Errorf("bearer: revocation list: %w", err)
	}
	if known != nil && list.IssuedAt < known.IssuedAt {
		return nil, "", 0, errors.New("bearer: the revocation list is older than the one at hand")
	}
	return list, d.header.Get("ETag"), ageOf(d.header), nil
}

// ageOf is how old an answer says that it is (RFC 9111 §5.1).
func ageOf(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// open verifies a list and reads it.
func (l *RevocationList) open(ctx context.Context, compact string) (*revocation.List, error) {
	jws, err := jose.ParseDocument(compact)
	if err != nil {
		return nil, err
	}
	key, err := l.keys.Key(ctx, jws.Header.Kid)
	if err != nil {
		return nil, err
	}
	if key.public == nil {
		return nil, errors.New("the key source returned the zero Key")
	}
	if err := jws.Verify(key.public); err != nil {
		return nil, err
	}
	if jws.Header.Typ != revocation.ListType {
		return nil, fmt.Errorf("typ is %.100q", jws.Header.Typ)
	}
	list, err := revocation.ParseList(jws.Payload)
	switch {
	case err != nil:
		return nil, err
	case list.Issuer != l.Issuer:
		return nil, fmt.Errorf("iss is %.100q", list.Issuer)
	case !clock(l.Now).Before(list.Expiry):
		return nil, errors.New("it has expired")
	}
	return list, nil
}
