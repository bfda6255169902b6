package authority

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// ActiveToken is an access token of ours that is good now (RFC 7662 §2.2).
type ActiveToken struct {
	Type oauth.TokenType
	// Kid of the signing key.
	Kid    string
	Claims *jose.Claims
	// Payload is the whole claim set, as it was signed.
	Payload []byte
	// Client that it was minted for; empty where the profile's tokens do not say.
	Client string
	// AsOf is the time until which it is surely good: while the store is unavailable it
	// is judged by what was known last. Zero means now.
	AsOf time.Time
}

// Introspect judges an access token of the issuer as things stand at now: its
// form and signature, its time, issuer and typ, whether it was revoked, and
// whether issuer, client and account are still enabled. A token that is not good
// is an *oauth.Error with invalid_token, whose cause is for the log; what cannot be
// judged is temporarily_unavailable. While the registry is unavailable, the judgement
// rests on what was known last.
func (a *Authority) Introspect(ctx context.Context, issuer *registry.Issuer, token string, now time.Time) (*ActiveToken, error) {
	return a.introspect(ctx, a.staleIfError(now), issuer, token)
}

func (a *Authority) introspect(ctx context.Context, from *snapshot, issuer *registry.Issuer, token string) (*ActiveToken, error) {
	t, err := a.ownToken(issuer, token, from.now)
	if err != nil {
		return nil, inactive(err)
	}
	switch err := a.standing(ctx, from, issuer, t); {
	case errors.Is(err, errInactive):
		return nil, inactive(err)
	case err != nil:
		return nil, unavailable(err)
	}
	if t.AsOf, err = a.asOf(from); err != nil {
		return nil, unavailable(err)
	}
	return t, nil
}

// Revoked reports whether a token that is otherwise good was revoked, or what it was
// minted for was disabled, or its signing key is not published any more. kid and payload are those of a verified token. The current
// state of the registry is asked: the caller may be about to change something.
func (a *Authority) Revoked(ctx context.Context, issuer *registry.Issuer, kid string, payload []byte) (bool, error) {
	claims, err := jose.ParseClaims(payload)
	if err != nil {
		return false, err
	}
	from := a.current(a.Now())
	switch _, err := a.Keyring.Public(issuer.Name, kid, from.now); {
	case errors.Is(err, registry.ErrNotFound):
		return true, nil // the caller may have verified it when the key was not revoked yet
	case err != nil:
		return false, err
	}
	err = a.standing(ctx, from, issuer, &ActiveToken{Kid: kid, Claims: claims, Payload: payload})
	if errors.Is(err, errInactive) {
		return true, nil
	}
	if err == nil {
		_, err = a.asOf(from)
	}
	return false, err
}

// errInactive: the token was good once.
var errInactive = errors.New("inactive")

// standing looks at what can change while a token lives, and finds out its
// client. The error is errInactive, or that the registry is unavailable.
func (a *Authority) standing(ctx context.Context, from *snapshot, issuer *registry.Issuer, t *ActiveToken) error {
	if err := findClient(ctx, from, issuer, t); err != nil {
		return err
	}
	switch {
	case a.Revocations.matches(issuer.Name, t):
		return fmt.Errorf("%w: it was revoked", errInactive)
	case issuer.Disabled:
		return fmt.Errorf("%w: the issuer is disabled", errInactive)
	case t.Client == "":
		return nil // the profile's tokens do not say
	}
	client, _, err := from.FindClient(ctx, issuer.Name, t.Client)
	if errors.Is(err, registry.ErrNotFound) || err == nil && client.Disabled {
		return fmt.Errorf("%w: client %s is disabled or gone", errInactive, registry.Excerpt(t.Client))
	}
	if subject := t.subject(issuer.Profile); err == nil && subject != "" && subject != client.ID && !slices.Contains(client.Subjects, subject) {
		return fmt.Errorf("%w: client %s may not name subject %s any more", errInactive, client.ID, registry.Excerpt(subject))
	}
	return err
}

// findClient finds out for whom a token was minted: its client, or the one that
// acts for its account. It fills in the client of a disabled account, too.
func findClient(ctx context.Context, from *snapshot, issuer *registry.Issuer, t *ActiveToken) error {
	if issuer.Profile.Policy.Account.Param == "" {
		t.Client = t.text(claimFrom(issuer.Profile, platform.SourceClient))
		return nil
	}
	id := t.text(claimFrom(issuer.Profile, platform.SourceAccount))
	account, err := from.Account(ctx, issuer.Name, id)
	if err == nil {
		t.Client = account.Client
	}
	if errors.Is(err, registry.ErrNotFound) || err == nil && account.Disabled {
		return fmt.Errorf("%w: %s %s is disabled or gone", errInactive, issuer.Profile.Policy.Account.Name, registry.Excerpt(id))
	}
	return err
}

// subject is the sub of the token where it may be one that is registered with the client,
// else "".
func (t *ActiveToken) subject(p *platform.Profile) string {
	if p.Policy.Assertion.Subject != platform.SubjectRegistered || p.Policy.Account.Param != "" {
		return ""
	}
	return t.text(claimFrom(p, platform.SourceSubject))
}

// claimFrom is the claim that always holds a source in a profile's tokens, or "".
func claimFrom(p *platform.Profile, source platform.Source) string {
	for i := range p.Policy.Token.Claims {
		if claim := &p.Policy.Token.Claims[i]; claim.From == source && claim.Release == "" {
			return claim.Name
		}
	}
	return ""
}

func inactive(cause error) error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is not valid here").Because(cause)
}

// ownToken checks what does not change while the token lives, and its time.
func (a *Authority) ownToken(issuer *registry.Issuer, token string, now time.Time) (*ActiveToken, error) {
	jws, err := jose.Parse(token)
	if err != nil {
		return nil, err
	}
	public, err := a.Keyring.Public(issuer.Name, jws.Header.Kid, now)
	if err != nil {
		return nil, err
	}
	if err := jws.Verify(public); err != nil {
		return nil, err
	}
	claims, err := jose.ParseClaims(jws.Payload)
	switch {
	case err != nil:
		return nil, err
	case claims.Issuer != issuer.URL:
		return nil, fmt.Errorf("iss is %s", evidence.Quote(claims.Issuer))
	case !strings.EqualFold(jws.Header.Typ, issuer.Profile.Policy.Token.Typ):
		return nil, fmt.Errorf("typ is %s", evidence.Quote(jws.Header.Typ))
	case !now.Before(time.Unix(claims.Expiry, 0)):
		return nil, errors.New("it has expired")
	}
	return &ActiveToken{Type: oauth.TokenTypeBearer, Kid: jws.Header.Kid, Claims: claims, Payload: jws.Payload}, nil
}

// text is a claim that is a string, or "".
func (t *ActiveToken) text(claim string) (text string) {
	_ = strictjson.Object(t.Payload, strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
		if name == claim {
			text, err = v.Text()
		}
		return err
	})
	return text
}
