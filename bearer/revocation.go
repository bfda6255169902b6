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

	"moneyer/internal/deadline"
	"moneyer/internal/jose"
	"moneyer/internal/revocation"
)

// RevocationSource knows which tokens an issuer has revoked.
type RevocationSource interface {
	// Revoked reports whether the token with these claims is revoked. On an error
	// the token is not accepted for now. Revoked is called from many goroutines.
	Revoked(ctx context.Context, c *Claims) (bool, error)
}

// RevokedFunc is a RevocationSource made of a function that has no errors.
type RevokedFunc func(c *Claims) bool

// Revoked calls f.
func (f RevokedFunc) Revoked(_ context.Context, c *Claims) (bool, error) { return f(c), nil }

const (
	defaultInterval     = 10 * time.Second
	defaultListMaxStale = 5 * time.Minute
	retryListAfter      = time.Second
	// failurePause is how long after a failed fetch no call waits for another one. It
	// is longer than the longest fetch and the pause before it, so that the calls of
	// a busy API wait only once for an issuer that does not answer.
	failurePause = 2 * fetchLimit
	// defaultListLeeway is far more than synchronized clocks differ by, and less than
	// defaultListMaxStale: a clock that is right again is followed in time.
	defaultListLeeway = time.Minute
)

// errOutdated is why a list that was fetched cannot be used.
var errOutdated = errors.New("the last one is too old")

// RevocationList is a RevocationSource that polls the signed list that a Moneyer
// issuer publishes at {issuer}/revocations. Set the fields before the first use and
// do not change them afterwards. A RevocationList must not be copied.
//
// It has no goroutine that runs all the time. A call that finds the list older than
// Interval fetches it again, with its ETag, and waits; a call that finds it older
// than half of Interval starts a fetch and does not wait. So a revocation takes
// effect in this process after at most Interval, the time that the issuer takes to
// answer, and the second for which the issuer may reuse a signed list.
//
// After a failed fetch there is another one each second, and for 20 s no call waits.
// The last list is used until MaxStale after it was last confirmed, or until its own
// exp; after that no token is accepted. When the issuer cannot reach its store, Age
// in its answer says how old the answer is, and that counts toward MaxStale.
//
// A list whose iat is ahead of Now by more than Leeway is refused. A list is never
// replaced by an older one, unless its own iat turns out to be ahead by more than
// Leeway: then both clocks were wrong when it was fetched, and any list that is good
// now replaces it. A token without iat counts as issued in 1970.
type RevocationList struct {
	// Issuer is the issuer URL, which iss of the list must be. It is required.
	Issuer string
	// URL of the list, https or http on a loopback host. Empty means Issuer +
	// "/revocations".
	URL string
	// Keys provides the issuer's keys; nil means a RemoteKeys for Issuer. With the
	// Keys of the Verifier, they are fetched once for both.
	Keys KeySource
	// Credential authenticates this API where the issuer shows its list to
	// authenticated clients alone; the zero Credential is for a public list.
	Credential Credential
	// Interval between two polls; 0 means 10 s.
	Interval time.Duration
	// MaxStale is how long a list is used without being confirmed; 0 means 5
	// minutes.
	MaxStale time.Duration
	// Leeway is how far iat of a list may be ahead of Now; 0 means a minute. It should
	// be less than MaxStale.
	Leeway time.Duration
	// HTTPClient sends the requests; nil means one with http.DefaultTransport.
	// Redirects are never followed, and a fetch ends after 10 s, whatever the
	// client's own settings.
	HTTPClient *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	setup sync.Once
	keys  KeySource

	mu        sync.Mutex       // guards what follows
	list      *revocation.List // nil before the first fetch; never changed, only replaced
	etag      string           // of list
	confirmed time.Time        // when the issuer last said that list is the newest
	expires   time.Time        // exp of list, with the monotonic reading of confirmed
	age       time.Duration    // how old it said that its answer was
	failed    time.Time        // when the last fetch failed; zero after a success
	err       error            // of the last fetch; nil after a success
	flight    <-chan struct{}  // closed when the fetch in progress ends; nil without one
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

// usable reports whether there is a list that may be used. The caller holds mu.
func (l *RevocationList) usable(now time.Time) bool {
	return l.list != nil && !deadline.Passed(l.expires, now) && !deadline.Passed(l.confirmed.Add(orDefault(l.MaxStale, defaultListMaxStale)-l.age), now)
}

// since returns the time from then to now, by the clock that says more: a suspend counts.
func since(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// source returns the keys, and sets the default.
func (l *RevocationList) source() KeySource {
	l.setup.Do(func() {
		if l.keys = l.Keys; l.keys == nil {
			l.keys = &RemoteKeys{Issuer: l.Issuer, HTTPClient: l.HTTPClient, Now: l.Now}
		}
	})
	return l.keys
}

// refresh starts a fetch if one is due. It returns the channel to wait on when the
// list is too old to answer with.
func (l *RevocationList) refresh(ctx context.Context) <-chan struct{} {
	l.source()
	now, interval := clock(l.Now), orDefault(l.Interval, defaultInterval)
	l.mu.Lock()
	defer l.mu.Unlock()
	usable, age := l.usable(now), since(l.confirmed, now)
	if age < 0 { // Now has no monotonic reading, and was set back
		age = interval
	}
	if usable && age < interval/2 {
		return nil
	}
	pause := since(l.failed, now)
	if pause < 0 {
		pause = failurePause
	}
	if l.flight == nil && pause >= retryListAfter {
		l.begin(ctx, now, interval)
	}
	if !usable || age >= interval && pause >= failurePause {
		return l.flight
	}
	return nil
}

// begin starts a fetch that goes on when the ctx of its caller ends. The caller
// holds mu. The list counts as confirmed from when its request was sent. A list that
// expires within the interval is requested without ETag, for a new one is needed.
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
		l.expires = asked.Add(list.Expiry.Sub(asked))
	}()
}

// fetch returns the list, its ETag and the age of the answer: known and etag when
// the issuer says that the list is unchanged.
func (l *RevocationList) fetch(ctx context.Context, known *revocation.List, etag string) (*revocation.List, string, time.Duration, error) {
	if l.Issuer == "" {
		return nil, "", 0, errors.New("bearer: RevocationList.Issuer is not set")
	}
	location := l.URL
	if location == "" {
		location = strings.TrimSuffix(l.Issuer, "/") + "/revocations"
	}
	header := http.Header{"Accept": {"application/" + revocation.ListType}}
	if etag != "" {
		header.Set("If-None-Match", etag)
	}
	req, err := l.Credential.request(ctx, location, header)
	if err != nil {
		return nil, "", 0, err
	}
	answer, err := document(l.HTTPClient, req, jose.MaxDocument)
	if err != nil {
		return nil, "", 0, err
	}
	if answer.Status == http.StatusNotModified {
		return known, etag, ageOf(answer.Header), nil
	}
	list, err := l.open(ctx, string(answer.Body), known)
	if err != nil {
		return nil, "", 0, fmt.Errorf("bearer: revocation list: %w", err)
	}
	if known != nil && list.IssuedAt < known.IssuedAt && !l.ahead(known) {
		return nil, "", 0, errors.New("bearer: the revocation list is older than the one at hand")
	}
	return list, answer.Header.Get("ETag"), ageOf(answer.Header), nil
}

// ageOf returns the Age of an answer (RFC 9111 §5.1).
func ageOf(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Age"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// verify verifies the signature of a list. Right after a signing key was revoked, the next list is signed
// by a new key, which must not wait until a minute after the last fetch of the keys.
func (l *RevocationList) verify(ctx context.Context, jws *jose.JWS) error {
	key, err := keyOf(ctx, l.keys, &jws.Header, retryListAfter)
	if err != nil {
		return err
	}
	if key.public == nil {
		return errors.New("the key source returned the zero Key")
	}
	if err = jws.Verify(key.public); err == nil {
		return nil
	}
	if newer := newerKey(ctx, l.keys, &jws.Header, retryListAfter, key); newer.public != nil {
		return jws.Verify(newer.public)
	}
	return err
}

// open verifies and reads a list. known is the one at hand, or nil: it is not replaced
// by one that a revoked key signed.
func (l *RevocationList) open(ctx context.Context, compact string, known *revocation.List) (*revocation.List, error) {
	jws, err := jose.ParseDocument(compact)
	if err != nil {
		return nil, err
	}
	if known != nil && known.MatchesKey(jws.Header.Kid) {
		return nil, fmt.Errorf("it is signed by the revoked key %.64q", jws.Header.Kid)
	}
	if err := l.verify(ctx, jws); err != nil {
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
	case l.ahead(list):
		return nil, fmt.Errorf("its iat %s is in the future: the issuer's clock is ahead, or this one is behind", time.Unix(list.IssuedAt, 0).UTC().Format(time.RFC3339))
	}
	return list, nil
}

// ahead reports whether a list was made in the future.
func (l *RevocationList) ahead(list *revocation.List) bool {
	return time.Unix(list.IssuedAt, 0).After(clock(l.Now).Add(orDefault(l.Leeway, defaultListLeeway)))
}
