package tokensource

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"moneyer/oauth"
)

// denied is the error of a refusal for which the credential may be the reason.
type denied struct{ error }

// Unwrap returns the refusal.
func (d denied) Unwrap() error { return d.error }

// deny marks the failure of an answer for which the credential may be the reason: an assertion as
// the grant is refused as invalid_grant (RFC 7521 §4.1.1), and platforms have codes of their own.
func (f *failure) deny(status int) *failure {
	switch code := oauth.AsError(f.err).Code; {
	case f.retry:
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		code == oauth.InvalidClient, code == oauth.InvalidGrant, code == oauth.UnauthorizedClient:
		f.err = denied{f.err}
	}
	return f
}

// fetch makes one exchange with a certificate. When the credential is refused and was rotated, it
// makes a second one.
func (s *Source) fetch(ctx context.Context, r Request, with *identity) (*Token, error) {
	token, err := s.fetchOnce(ctx, r, with)
	if s.Rotated == nil || !errors.As(err, new(denied)) {
		return token, err
	}
	next, differs := s.Rotated(ctx, *with.credential)
	if !differs {
		return token, err
	}
	s.log().Info("the platform refused the credential; trying the one that has replaced it", "error", err)
	again := *with
	again.credential = &next
	if token, err = s.fetchOnce(ctx, r, &again); err != nil {
		return nil, fmt.Errorf("%w (after the old credential was refused, with the one that has replaced it)", err)
	}
	s.rotated.Store(&next)
	return token, nil
}

// credential returns the credential in use.
func (s *Source) credential() *Credential {
	if c := s.rotated.Load(); c != nil {
		return c
	}
	return &s.Credential
}
