package tokensource

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"moneyer/oauth"
)

// DefaultLifetime is how long a token is taken to live when neither the answer
// nor the token itself says.
const DefaultLifetime = time.Minute

const (
	maxLifetime = 365 * 24 * time.Hour // a longer life is cut to this one
	reserve     = 10 * time.Second     // see Token.left
)

// Token is an access token as the platform gave it. It is shared by all who ask
// for it: read it only. Printing or logging a Token, or writing it as JSON, never
// shows the token itself.
type Token struct {
	// AccessToken is the token.
	AccessToken string `json:"-"`
	// Type is the scheme of the Authorization header that carries the token. A
	// platform may leave it out or write it in another case; a type that package
	// oauth does not know is refused.
	Type oauth.TokenType
	// Expiry is the end of the token by our clock: from expires_in, counted from
	// the moment of asking; else from expires_at; else from the exp of a token
	// that is a JWT; else DefaultLifetime after asking.
	Expiry time.Time
	// Scope that was granted; what was asked for when the answer does not say
	// (RFC 6749 §5.1).
	Scope oauth.Scope
	// Correlation is the identifier under which the platform logged the exchange.
	Correlation string
	// Skew is how far the platform's clock is ahead of ours, to a second or so;
	// 0 when the answer had no Date.
	Skew time.Duration
	// Extra holds the members of the answer that have no field here, as JSON. It
	// may hold secrets.
	Extra map[string]json.RawMessage `json:"-"`

	obtained time.Time // when it was asked for
	key      string    // of its entry in the cache; empty when it is not kept
}

// left tells whether the token has enough of its life left to be handed out:
// more than 10 s, or more than a tenth of a life of less than 100 s.
func (t *Token) left(now time.Time) bool {
	life := t.Expiry.Sub(t.obtained)
	return t.Expiry.Sub(now) > min(reserve, life/10)
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
