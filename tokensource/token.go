package tokensource

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"moneyer/internal/deadline"
	"moneyer/oauth"
)

const (
	defaultLifetime = time.Minute          // when neither the answer nor the token says
	maxLifetime     = 365 * 24 * time.Hour // a longer life is cut to this one
	reserve         = 10 * time.Second     // see Token.usable
)

// Token is an access token. Callers share it and must not change it. Printing or
// logging a Token, or encoding it as JSON, does not show the token itself.
type Token struct {
	// AccessToken is the token itself.
	AccessToken string `json:"-"`
	// Type is the scheme of the Authorization header that carries the token. A
	// platform may leave it out or write it in another case; a type that package
	// oauth does not know is refused.
	Type oauth.TokenType
	// Expiry is when the token expires, by the local clock: expires_in after the
	// request was sent; else expires_at; else the exp of a token that is a JWT;
	// else the lifetime of the profile. What cannot be read counts as absent.
	Expiry time.Time
	// Scope is the scope that was granted, or that was requested when the answer
	// does not say (RFC 6749 §5.1).
	Scope oauth.Scope
	// Correlation identifies the exchange in the platform's logs; empty where the profile has no header for it.
	Correlation string
	// Skew is how far the platform's clock is ahead of the local one, to a second
	// or so; 0 when the answer has no Date. Assertions are made by the local clock.
	Skew time.Duration
	// Extra holds the members of the answer that have no field here, as JSON. They
	// may be secret.
	Extra map[string]json.RawMessage `json:"-"`

	obtained    time.Time   // when its request was sent
	key         string      // of its entry in the cache; empty when it is not cached
	certificate fingerprint // with which it was obtained
}

// usable reports whether the token has enough of its life left to be handed out:
// more than 10 s, or more than a tenth of a life of less than 100 s.
func (t *Token) usable(now time.Time) bool {
	life := t.Expiry.Sub(t.obtained)
	return deadline.Left(t.Expiry, now) > min(reserve, life/10)
}

// String describes the token without showing it.
func (t Token) String() string {
	return fmt.Sprintf("%s token until %s, scope %q, correlation %q", t.Type, t.Expiry.UTC().Format(time.RFC3339), t.Scope, t.Correlation)
}

// Format writes String for every verb, so that none shows the token.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue describes the token without showing it.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Time("expiry", t.Expiry),
		slog.String("scope", t.Scope.String()),
		slog.String("correlation", t.Correlation),
	)
}
