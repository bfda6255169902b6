package tokensource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"moneyer/internal/fetch"
)

const (
	tries       = 4                      // of one exchange
	tryLimit    = 15 * time.Second       // of one try
	firstPause  = 250 * time.Millisecond // before the second try, at most; doubles
	longestWait = 30 * time.Second       // the longest Retry-After that is waited for
	maxAnswer   = 128 << 10              // bytes
	maxDrained  = 4 << 10                // bytes read to keep a connection
	skewNoticed = 10 * time.Second       // the least difference of clocks that is logged
)

// failure is why a try gave no token.
type failure struct {
	err   error
	retry bool          // another try may succeed
	after time.Duration // what Retry-After asks for; 0 when it does not
}

// exchange tries until it has a token, or another try cannot succeed.
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

// pause is how long to wait after try n: what Retry-After says, or an exponentially
// growing time, and a random part so that clients do not come back together.
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

// try makes one request.
func (s *Source) try(ctx context.Context, p *plan) (*Token, *failure) {
	sent := s.now()
	req, err := p.request(ctx, sent)
	if err != nil {
		return nil, &failure{err: fmt.Errorf("tokensource: %w", err)}
	}
	resp, err := fetch.Do(p.client, req, fetch.Limits{Bytes: maxAnswer, Time: tryLimit})
	if errors.Is(err, fetch.ErrTooLarge) {
		return nil, &failure{err: fmt.Errorf("tokensource: %s answered with more than %d bytes", p.url.Host, maxAnswer)}
	}
	if err != nil {
		return nil, p.unreachable(ctx, err)
	}
	skew := s.observe(resp.Header, sent, s.now())
	token, failed := p.read(resp, sent, skew)
	if failed != nil {
		return nil, failed.deny(resp.Status)
	}
	s.log().LogAttrs(ctx, slog.LevelDebug, "got an access token", slog.Any("token", token))
	return token, nil
}

// unreachable is the failure of a connection. It may be tried again, unless ctx has
// ended or the server's certificate is not trusted.
func (p *plan) unreachable(ctx context.Context, err error) *failure {
	if ctx.Err() != nil {
		return &failure{err: fmt.Errorf("tokensource: asking %s: %w", p.url.Host, ctx.Err())}
	}
	var untrusted *tls.CertificateVerificationError
	return &failure{
		err:   fmt.Errorf("tokensource: asking %s: %w", p.url.Host, p.clean(err)),
		retry: !errors.As(err, &untrusted),
	}
}

// observe returns how far the server's clock is ahead of ours: its Date (RFC 9110
// §6.6.1), which is in whole seconds, less the middle of the exchange.
func (s *Source) observe(header http.Header, sent, received time.Time) time.Duration {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	middle := sent.Add(received.Sub(sent) / 2)
	skew := date.Sub(middle).Round(time.Second)
	if skew.Abs() >= skewNoticed {
		s.skewLogged.Do(func() { s.log().Warn("the platform's clock differs from ours", "ahead", skew) })
	}
	return skew
}
