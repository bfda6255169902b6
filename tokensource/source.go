// Package tokensource gets access tokens from a token endpoint, caches them, and
// renews them before they expire. A profile says what the requests and answers of
// a platform look like; there is no code for any platform here.
//
//   - Source.Client returns an http.Client that adds a token to each request.
//     Transport is the http.RoundTripper that does it.
//   - Source.Token returns the token for a call to the platform's API. It is
//     cached, and renewed in the background while the old one is still good.
//   - Source.TokenFor does the same for several scopes, subjects or parameters.
//   - Source.Fetch makes one exchange and caches nothing: for a command line, or
//     to see what the endpoint answers.
//   - CertificateFiles, AssertionFile and CredentialFiles read what a Credential may be
//     made of; WithCertificate shows a client certificate to an API.
//
// It is for machines: it opens no browser, asks for no password and keeps no
// refresh token. It writes nothing to disk. It does not verify the tokens that it
// gets, as the API does with package bearer.
//
// RFC 6749 (§2.3.1, §4.4, §5), RFC 7521, RFC 7523, RFC 10070, RFC 6750 §2.1, RFC 8414,
// RFC 8705.
package tokensource

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/platform"
	"moneyer/oauth"
	"moneyer/profile"
)

// Source gets, caches and renews access tokens of one issuer for one client. Set
// the fields before the first use and do not change them afterwards. The methods
// are safe for concurrent use. A Source must not be copied.
type Source struct {
	// Profile is the platform; nil means the built-in "oauth2".
	Profile *profile.Profile
	// Issuer is the issuer URL, exactly as the platform writes it: it is the
	// audience of assertions (RFC 8414 §2, RFC 10070). Issuer and TokenURL are
	// https URLs, or http URLs of a loopback host.
	Issuer string
	// TokenURL is the token endpoint; empty means Issuer followed by the
	// profile's path. With a TokenURL, Issuer may be empty unless an assertion
	// needs it.
	TokenURL string
	// Discover takes the token endpoint from the metadata of Issuer (RFC 8414), which
	// must name exactly that issuer; TokenURL is then empty. Where a client certificate
	// is used, it is the endpoint for mutual TLS, if the metadata have one (RFC 8705 §5).
	// The metadata are fetched every 10 minutes when a token is needed; while that fails
	// those of the last day are used. They say nothing else: what a request looks like
	// is in the profile, and the aud of assertions does not change.
	Discover bool
	// Credential authenticates the client.
	Credential Credential
	// Rotated, if it is set, is called when the platform refuses the credential
	// (invalid_client, status 401 and the like). If it returns another credential and
	// true, the exchange is made once more with that. It stays in use once the platform
	// has accepted it. It replaces Secret, APIKey, Key, Kid and Alg; its other fields
	// must be those of the refused one. It is called from many goroutines. See
	// CredentialFiles.
	Rotated func(ctx context.Context, refused Credential) (Credential, bool)
	// Scope is the scope to request. When it is empty, the request has none, and
	// the platform decides.
	Scope oauth.Scope
	// Params are the platform's own parameters, by their names in the profile. A
	// parameter of type string has one value, a list one or more.
	Params url.Values

	// HTTPClient sends the requests to the token endpoint. Without a Transport it uses a copy of
	// http.DefaultTransport that resumes TLS sessions; set ClientSessionCache in the TLSClientConfig of yours. With Credential.Certificate, copies of its Transport show
	// the certificate, if that is an *http.Transport; any other has to show the same
	// certificate by itself. Redirects are never followed, and each try ends after 15 s,
	// whatever the client's own settings.
	HTTPClient *http.Client
	// CacheSize is the number of tokens to cache, one for each distinct Request; 0
	// means 1,000. The least recently used one is evicted first.
	CacheSize int
	// Logger logs renewals that fail, and clocks that differ; nil means no log. No
	// token and no credential is ever logged.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	skewLogged sync.Once // the clocks that differ
	setup      sync.Once // makes resumes, certified and found
	resumes    *http.Transport
	certified  *certified // nil without Credential.Certificate
	found      found

	rotated atomic.Pointer[Credential] // takes the place of Credential; nil before a rotation

	mu          sync.Mutex // guards what follows
	entries     map[string]*entry
	certificate fingerprint // for which the entries are
}

// Request describes a token other than the Source's default one. A field with its
// zero value means the Source's own setting.
type Request struct {
	// Scope replaces Source.Scope.
	Scope oauth.Scope
	// Subject replaces Credential.Subject, and Audience replaces
	// Credential.Audience: for an assertion that is a grant (RFC 7523 §3).
	Subject, Audience string
	// Params replace those of Source.Params that have the same names.
	Params url.Values
	// Correlation identifies the exchange in the platform's logs, within the
	// limits of the profile; empty means a random one. It has no effect when the
	// token comes from the cache, or where the profile has no header for it.
	Correlation string
}

// Client returns an http.Client that adds the Source's default token to each
// request, as a Transport without Hosts does. It sends with the transport of
// HTTPClient and the certificate of the Credential, so that they are the same for
// the token endpoint and the API; use a Transport of your own where they differ.
//
// The client may be used for as long as the Source. A request, and its wait for a
// token, end with the context of the request: the client has no timeout unless
// you set one. The timeout and cookies of HTTPClient have no effect.
func (s *Source) Client() *http.Client {
	t := &Transport{Source: s}
	if s.makeReady(); s.certified != nil {
		t.Base = s.certified
	} else if s.HTTPClient != nil {
		t.Base = s.HTTPClient.Transport
	}
	return &http.Client{Transport: t}
}

// makeReady sets up what the first use needs.
func (s *Source) makeReady() {
	s.setup.Do(func() {
		s.found.turn = make(chan struct{}, 1)
		if s.Credential.Certificate == nil {
			s.resumes, _ = resuming(nil) // nil where http.DefaultTransport was replaced, which then serves as it is
			return
		}
		c := &certified{certificate: s.Credential.Certificate}
		if s.HTTPClient != nil && s.HTTPClient.Transport != nil {
			var ok bool
			if c.base, ok = s.HTTPClient.Transport.(*http.Transport); !ok {
				return
			}
		}
		s.certified = c
	})
}

// asking returns HTTPClient, or where it has no Transport one that resumes TLS sessions.
func (s *Source) asking() *http.Client {
	if s.resumes == nil || s.HTTPClient != nil && s.HTTPClient.Transport != nil {
		return s.HTTPClient
	}
	client := http.Client{}
	if s.HTTPClient != nil {
		client = *s.HTTPClient
	}
	client.Transport = s.resumes
	return &client
}

// identity is the client certificate and the credential of an exchange.
type identity struct {
	client      *http.Client // shows it; may be nil
	certificate fingerprint  // zero for none, and for that of HTTPClient
	credential  *Credential  // beside it
}

// identify returns the certificate as it is now.
func (s *Source) identify(ctx context.Context) (*identity, error) {
	s.makeReady()
	with := &identity{client: s.asking(), credential: s.credential()}
	if s.Credential.Certificate == nil {
		return with, nil
	}
	pair, print, err := load(ctx, s.Credential.Certificate)
	if err != nil {
		return nil, err
	}
	with.certificate = print
	if s.certified == nil {
		return with, nil
	}
	transport, err := s.certified.with(pair, print)
	if err != nil {
		return nil, err
	}
	with.client = &http.Client{}
	if s.HTTPClient != nil {
		*with.client = *s.HTTPClient
	}
	with.client.Transport = transport
	return with, nil
}

// Token returns the token for the Source's own scope and parameters, as TokenFor
// does.
func (s *Source) Token(ctx context.Context) (*Token, error) {
	return s.TokenFor(ctx, Request{})
}

// Fetch makes one exchange for the Source's own scope and parameters, as FetchFor
// does.
func (s *Source) Fetch(ctx context.Context) (*Token, error) {
	return s.FetchFor(ctx, Request{})
}

// FetchFor makes one exchange (RFC 6749 §4.4, RFC 7523 §2.1) and caches nothing.
// When the platform refuses, an *oauth.Error is in the error's chain.
//
// Status 429, 502, 503 or 504 and a failed connection are tried again, up to four times
// in all and each time with a new assertion. The pause is what Retry-After says,
// or grows exponentially with jitter. A Retry-After over 30 s is not waited for but
// returned. The end of ctx ends it all.
func (s *Source) FetchFor(ctx context.Context, r Request) (*Token, error) {
	with, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	return s.fetch(ctx, r, with)
}

// fetchOnce makes one exchange with a certificate and credential.
func (s *Source) fetchOnce(ctx context.Context, r Request, with *identity) (*Token, error) {
	p, err := s.plan(ctx, r, with)
	if err != nil {
		return nil, err
	}
	token, err := s.exchange(ctx, p)
	if err == nil {
		token.certificate = with.certificate
	}
	return token, err
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
	p, err := profile.Builtin("oauth2")
	return p.Definition(), err
}
