package tokensource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	tries       = 4                      // of one exchange
	tryLimit    = 15 * time.Second       // of one try
	firstPause  = 250 * time.Millisecond // before the second try, at most; doubles
	longestWait = 30 * time.Second       // that a Retry-After may ask for
	maxAnswer   = 128 << 10              // octets
	maxDrained  = 4 << 10                // octets read to keep a connection
	skewNoticed = 10 * time.Second       // from here on a difference of clocks is logged
)

// failure is why a try gave no token.
type failure struct {
	err   error
	retry bool          // another try may succeed
	after time.Duration // what Retry-After asks for; 0 when it does not
}

// exchange tries until it has a token or there is no point in trying on.
func (s *Source) exchange(ctx context.Context, p *plan) (*Token, error) {
	for n := 0; ; n++ {
		token, failed := s.try(ctx, p)
		if failed == nil {
			return token, nil
		}
		if !failed.retry || n+1 == tries || failed.after > longestWait {
			return nil, failed.err
		}
		if err := wait(ctx, pause(n, failed.after)); err != nil {
			return nil, fmt.Errorf("tokensource: %w; before that: %w", err, failed.err)
		}
	}
}

// pause is how long to wait after try n: what the platform asks for, or an
// exponentially growing time, and a random part so that clients spread.
func pause(n int, after time.Duration) time.Duration {
	limit := firstPause << n
	return max(after, limit/2) + rand.N(limit/2)
}

// wait sleeps, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try asks once.
func (s *Source) try(ctx context.Context, p *plan) (*Token, *failure) {
	limited, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	sent := s.now()
	req, err := p.request(limited, sent)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("tokensource: %w", err)}
	}
	resp, err := s.client().Do(req)
	if err != nil {
		return nil, p.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read in full, or given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, p.unreachable(ctx, err)
	}
	skew := s.observe(resp.Header, sent, s.now())
	if len(body) > maxAnswer {
		return nil, &failure{err: fmt.Errorf("tokensource: %s answered with more than %d octets", p.url.Host, maxAnswer)}
	}
	token, failed := p.read(resp, body, sent, skew)
	if failed != nil {
		return nil, failed
	}
	s.log().LogAttrs(ctx, slog.LevelDebug, "got an access token", slog.Any("token", token))
	return token, nil
}

// unreachable is the failure of a connection. It may be tried again, unless the
// caller has gone or the server is not who it should be.
func (p *plan) unreachable(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		return &failure{err: fmt.Errorf("tokensource: asking %s: %w", p.url.Host, ctx.Err())}
	}
	var unproven *tls.CertificateVerificationError
	return &failure{
		err:   fmt.Errorf("tokensource: asking %s: %w", p.url.Host, err),
		retry: !errors.As(err, &unproven),
	}
}

// client is the HTTPClient without redirects: a credential goes to the URL that
// was configured and nowhere else.
func (s *Source) client() *http.Client {
	var client http.Client
	if s.HTTPClient != nil {
		client = *s.HTTPClient
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// observe compares the clocks: the server's Date (RFC 9110 §6.6.1), which is in
// whole seconds, and the middle of the exchange by ours.
func (s *Source) observe(header http.Header, sent, received time.Time) time.Duration {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	middle := sent.Add(received.Sub(sent) / 2)
	skew := date.Sub(middle).Round(time.Second)
	if s.note(skew) {
		s.log().Warn("the platform's clock differs from ours", "ahead", skew)
	}
	return skew
}

// note keeps the difference of clocks, and tells whether it is the first that is
// worth a line in the log.
func (s *Source) note(skew time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = skew
	first := skew.Abs() >= skewNoticed && !s.warned
	s.warned = s.warned || first
	return first
}
