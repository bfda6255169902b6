// Package tokensource is the client's side of a token endpoint: it gets an
// access token, keeps it, and renews it before it ends. A profile says how the
// platform wants to be asked; there is no code for any platform here.
//
//   - Source.Token is for every call to the platform's API. It answers from
//     memory, and renews in the background while the old token still serves.
//   - Source.TokenFor does the same for several scopes, merchants or subjects.
//   - Transport puts the token on the requests of an http.Client.
//   - Source.Fetch is one exchange without memory: for a command line, or to
//     see what the endpoint says.
//
// It is not for people: it opens no browser, asks for no password and keeps no
// refresh token. It writes nothing to disk. It does not verify what it gets:
// that is the business of the API, with package bearer.
//
// RFC 6749 (§2.3.1, §4.4, §5), RFC 7521, RFC 7523, RFC 10070, RFC 6750 §2.1.
package tokensource

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
	"moneyer/profile"
)

// Source gets, keeps and renews access tokens of one issuer for one client. Set
// the fields before the first use and leave them alone afterwards; the methods
// are safe for concurrent use. A Source must not be copied.
type Source struct {
	// Profile is the platform; nil means the built-in "oauth2".
	Profile *profile.Profile
	// Issuer is the issuer URL, exactly as the platform spells it: it is the
	// audience of assertions (RFC 8414 §2, RFC 10070). It is https, or http on a
	// loopback host, as TokenURL.
	Issuer string
	// TokenURL is the token endpoint; empty means Issuer followed by the
	// profile's path. With it Issuer may be empty where no assertion needs it.
	TokenURL string
	// Credential is what the client shows.
	Credential Credential
	// Scope to ask for; empty asks for none, which gets what the platform gives
	// by default.
	Scope oauth.Scope
	// Params are the platform's own parameters by their names in the profile,
	// such as merchantId and tokens of thales-etp. A string has one value, a list
	// one or more.
	Params url.Values

	// HTTPClient carries the requests; nil means one on http.DefaultTransport.
	// For mutual TLS give it a transport with a client certificate. Redirects are
	// never followed, and each try ends after 15 s, whatever the client says.
	HTTPClient *http.Client
	// CacheSize is how many tokens are kept, one for each distinct Request; 0
	// means 1,000. The one that was not asked for the longest goes first.
	CacheSize int
	// Logger hears of renewals that fail and of clocks that differ; nil means
	// nobody does. No token and no credential is ever logged.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu      sync.Mutex // guards what follows
	entries map[string]*entry
	skew    time.Duration
	warned  bool // that the clocks differ
}

// Request asks for a token other than the Source's usual one. A field with its
// zero value leaves the Source's own in force.
type Request struct {
	// Scope instead of Source.Scope.
	Scope oauth.Scope
	// Subject instead of Credential.Subject, and Audience instead of
	// Credential.Audience: for an assertion that is a grant (RFC 7523 §3).
	Subject, Audience string
	// Params by name instead of those in Source.Params; others stay.
	Params url.Values
	// Correlation names the exchange in the platform's logs, within the limits of
	// the profile; empty means one is made up. Where a kept token answers, there
	// is no exchange and it goes unused.
	Correlation string
}

// Token returns the token for the Source's own scope and parameters; see
// TokenFor.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	return s.TokenFor(ctx, Request{})
}

// Fetch makes one exchange for the Source's own scope and parameters; see
// FetchFor.
func (s *Source) Fetch(ctx context.Context) (*Token, error) {
	return s.FetchFor(ctx, Request{})
}

// FetchFor makes one exchange (RFC 6749 §4.4, RFC 7523 §2.1) and keeps nothing.
// A refusal of the platform is an *oauth.Error in the error's chain. What the
// contract calls retryable (429, 503, and a connection that fails) is tried four
// times in all, each with a new assertion, after the time that Retry-After asks
// for or an exponential one with jitter, as long as ctx lives; a Retry-After
// over 30 s is not waited for but returned.
func (s *Source) FetchFor(ctx context.Context, r Request) (*Token, error) {
	p, err := s.plan(r)
	if err != nil {
		return nil, err
	}
	return s.exchange(ctx, p)
}

// Skew returns how far the platform's clock was ahead of ours in the last
// answer that carried a Date, to a second or so; negative means behind. It is
// for information: assertions are made by our own clock.
func (s *Source) Skew() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skew
}

// now reads the clock.
func (s *Source) now() time.Time {
	if s.Now == nil {
		return time.Now() //nolint:forbidigo // what a nil Now stands for
	}
	return s.Now()
}

// log returns where to log.
func (s *Source) log() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// definition is what the source's profile says.
func (s *Source) definition() (*platform.Profile, error) {
	if s.Profile != nil {
		return s.Profile.Definition(), nil
	}
	return platform.Builtin("oauth2")
}
