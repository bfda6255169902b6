package tokensource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"moneyer/internal/deadline"
	"moneyer/internal/discovery"
)

const (
	metadataFresh = 10 * time.Minute // after a fetch
	metadataStale = 24 * time.Hour   // after a fetch, while newer ones cannot be had
	metadataRetry = time.Minute      // from a fetch that failed to the next, while there are older ones
)

// found is the metadata of the issuer.
type found struct {
	turn     chan struct{} // has one place, for who reads or writes what follows
	metadata *discovery.Metadata
	fetched  time.Time
	fresh    time.Time // until when they are not fetched again
}

// locate sets where the request of a plan goes.
func (s *Source) locate(ctx context.Context, p *plan) (err error) {
	if !s.Discover {
		p.url, err = endpoint(cmp.Or(s.TokenURL, strings.TrimSuffix(s.Issuer, "/")+p.profile.Wire.Path))
		if err == nil {
			p.endpoint = p.url.String()
		}
		return err
	}
	if s.TokenURL != "" {
		return errors.New("tokensource: Discover and TokenURL exclude each other")
	}
	m, err := s.metadata(ctx, p.client)
	if err != nil {
		return fmt.Errorf("tokensource: %w", err)
	}
	p.endpoint = m.TokenEndpoint
	if p.url, err = s.discovered(m.TokenEndpoint); err != nil {
		return err
	}
	certificate := s.Credential.Certificate != nil || p.auth.TLSMethod() != ""
	if certificate && m.TokenEndpointMTLS != "" { // preferred by RFC 8705 §5
		p.url, err = s.discovered(m.TokenEndpointMTLS)
	}
	return err
}

// discovered parses an endpoint of the metadata. An issuer that is https has no endpoint
// without TLS, not even on this machine.
func (s *Source) discovered(text string) (*url.URL, error) {
	u, err := endpoint(text)
	if err != nil {
		return nil, fmt.Errorf("%w (from the metadata of %s)", err, s.Issuer)
	}
	if u.Scheme != "https" && !strings.HasPrefix(s.Issuer, "http://") {
		return nil, fmt.Errorf("tokensource: the metadata of %s name the token endpoint %q, which is not https", s.Issuer, u.Redacted())
	}
	return u, nil
}

// metadata returns the issuer's metadata: those at hand while they are fresh, or while
// there are no newer ones.
func (s *Source) metadata(ctx context.Context, client *http.Client) (*discovery.Metadata, error) {
	f := &s.found
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-f.turn }()
	now := s.now()
	if f.metadata != nil && !deadline.Passed(f.fresh, now) {
		return f.metadata, nil
	}
	m, err := discovery.Get(ctx, client, s.Issuer)
	if err == nil && m.TokenEndpoint == "" {
		err = fmt.Errorf("the metadata of %s name no token_endpoint", s.Issuer)
	}
	if err == nil {
		f.metadata, f.fetched, f.fresh = m, now, now.Add(metadataFresh)
		return m, nil
	}
	if f.metadata == nil || deadline.Passed(f.fetched.Add(metadataStale), now) || ctx.Err() != nil {
		return nil, err
	}
	f.fresh = now.Add(metadataRetry)
	s.log().Warn("no new metadata of the issuer; the old ones are used", "error", err)
	return f.metadata, nil
}
