package authority

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Authority gives tokens. Its fields are set before first use.
type Authority struct {
	Registry Registry
	// Stale answers from memory, at once, when Registry is unavailable: what it knew
	// last (RFC 5861 §4, stale-if-error). Introspection, the check endpoint and client
	// authentication by secret or API key there use it; nothing is minted or changed by
	// it. nil means none. Its ErrNotFound means that there was no such thing; what it
	// does not have in memory is another error.
	Stale Registry
	// Staleness reports whether all changes made anywhere are known, revocations
	// included, and the time until which they are; nil means always, until now.
	Staleness func() (until time.Time, fresh bool)
	Ledger    Ledger
	Keyring   Keyring
	// KeySource reads clients' jwks_uri; nil means that none is read.
	KeySource KeySource
	// TrustedKeys has the keys of the issuers' trusted issuers; nil where there are none.
	TrustedKeys TrustedKeys
	// BlockedKeys are thumbprints of keys that may not be used, beside those that
	// registry.Blocked knows.
	BlockedKeys []string
	Pepper      registry.Pepper
	// ClientRate bounds what one client may ask for, after authentication.
	ClientRate *overload.Limiter[ClientName]
	// Penalty holds clients that were over ClientRate, with the address from which they
	// were: their next assertions from there are refused before the signature is
	// checked. nil means none.
	Penalty *overload.Penalty[ClientAt]
	// Replayed holds consumed assertions that were presented again, until they have
	// ended: whoever repeats one once more is refused without the ledger and without
	// ClientRate. nil means none.
	Replayed *overload.Penalty[[32]byte]
	// EndpointAudience is called each time that a client was authenticated by a JWT whose
	// aud is the token endpoint, which is deprecated; nil means that nobody wants to know.
	EndpointAudience func(context.Context, EndpointAudience)
	// Refusals records refusals at a bounded rate.
	Refusals *Refusals
	// Revocations are the tokens that were revoked.
	Revocations *Revocations
	Now         func() time.Time

	drafts sync.Pool // of *draft
}

// EndpointAudience is the use of a deprecated aud (RFC 10070 §4) by a client that is
// registered for it.
type EndpointAudience struct {
	Issuer, Client, Correlation string
	// Found is the aud that it sent, and Expected what it should send.
	Found, Expected string
}

// ClientName names a client within the process.
type ClientName struct{ Issuer, Client string }

// ClientAt is a client at the address of its requests.
type ClientAt struct {
	ClientName
	Address netip.Addr
}

// AccessToken is what was minted (RFC 6749 §5.1).
type AccessToken struct {
	Token   string
	Type    oauth.TokenType
	JTI     string
	Client  string
	Expires time.Time
	// ExpiresIn is the rest of its lifetime when it is returned, in seconds.
	ExpiresIn int64
	Scope     oauth.Scope
}

// Exchange gives an access token for a request, or refuses with an *oauth.Error
// whose chain may hold a *Refusal for the log. When it returns a token, the token is
// in the ledger, and what may be shown only once to get it is consumed. A refusal is
// recorded.
func (a *Authority) Exchange(ctx context.Context, issuer *registry.Issuer, req *Request) (token *AccessToken, err error) {
	t := &attempt{issuer: issuer, req: req, now: a.Now()}
	defer func() {
		if err != nil {
			a.refund(ctx, t, err)
			token, err = nil, a.refuse(ctx, t, a.equalizeLookups(ctx, a.Registry, t, err))
		}
	}()
	if err := a.authenticate(ctx, t); err != nil {
		return nil, err
	}
	if err := grants[req.GrantType](a, ctx, t); err != nil {
		return nil, err
	}
	if err := a.checkCertificate(ctx, a.Registry, t); err != nil {
		return nil, err
	}
	if err := a.admit(t); err != nil {
		return nil, err
	}
	grant, err := a.verify(ctx, t)
	if err != nil {
		return nil, err
	}
	if token, err = a.mint(ctx, issuer, grant, t.now); err != nil {
		return nil, err
	}
	a.touch(ctx, t)
	return token, nil
}

// touch notes the use of each credential that was shown.
func (a *Authority) touch(ctx context.Context, t *attempt) {
	if p := t.clientAssertion; p != nil && p.NamesEndpoint() && a.EndpointAudience != nil {
		a.EndpointAudience(ctx, EndpointAudience{Issuer: t.issuer.Name, Client: t.client.ID, Correlation: t.req.Correlation,
			Found: p.Claims.Audience[0], Expected: t.issuer.URL})
	}
	for _, credential := range t.credentials {
		a.Registry.Touch(t.issuer.Name, t.client.ID, credential, t.now)
	}
}

// admit refuses what is over the client's rate. It comes after authentication, so
// that naming a client does not spend its budget, and before anything is consumed, so
// that the same request can be repeated.
func (a *Authority) admit(t *attempt) error {
	t.proven = true
	t.use = consumptionOf(t.grantAssertion, t.clientAssertion)
	if i := a.replayedAgain(&t.use, t.now); i >= 0 {
		return t.use.replayed(i)
	}
	name := ClientName{t.issuer.Name, t.client.ID}
	wait, ok := a.ClientRate.Take(name, t.now)
	if ok {
		t.admitted = true
		return nil
	}
	if a.Penalty != nil {
		a.Penalty.Impose(ClientAt{name, t.req.Address}, t.now.Add(wait), t.now)
	}
	return overRate(wait)
}

// refund gives the client's rate back for a request that was admitted and refused, or
// whose caller hung up, if an assertion proved it: anybody who saw the assertion can
// present it, used or with a scope that is refused, and must not keep its owner out. The
// caller's address pays for refusals. A secret or an API key is never seen by others.
func (a *Authority) refund(ctx context.Context, t *attempt, refused error) {
	if t.admitted && t.showsAssertion() && (!oauth.AsError(refused).Code.Retryable() || ctx.Err() != nil) {
		a.ClientRate.Refund(ClientName{t.issuer.Name, t.client.ID})
	}
}

// replayedAgain finds a value that the ledger has refused before, by its index, or -1.
// Where the same assertion gives the same token, the ledger is always asked. An assertion
// that is both the grant and the client's authentication is used twice by that.
func (a *Authority) replayedAgain(use *consumption, now time.Time) int {
	values := use.values()
	if len(values) == maxAssertions && values[0].Value == values[1].Value {
		return 1
	}
	if a.Replayed == nil || use.signature != nil {
		return -1
	}
	return slices.IndexFunc(values, func(c ledger.Consumed) bool { return a.Replayed.Remaining(c.Value, now) > 0 })
}

// noteReplay is called when the ledger has refused a value as consumed.
func (a *Authority) noteReplay(consumed ledger.Consumed, now time.Time) {
	if a.Replayed != nil {
		a.Replayed.Impose(consumed.Value, consumed.Until, now)
	}
}

// penalized refuses a request that names a client which was over its rate a moment ago
// at the same address: checking its signature would only take the processor from other
// requests. Other callers at that address could learn that the client is busy.
func (a *Authority) penalized(t *attempt) error {
	if a.Penalty == nil || t.client == nil {
		return nil
	}
	wait := a.Penalty.Remaining(ClientAt{ClientName{t.issuer.Name, t.client.ID}, t.req.Address}, t.now)
	if wait == 0 {
		return nil
	}
	return overRate(wait)
}

func overRate(wait time.Duration) error {
	return oauth.Errorf(oauth.RateLimited, "too many requests of this client").After(wait).
		Because(&evidence.Refusal{Rule: "client rate", Expected: "at most the configured rate", Found: "more"})
}

// retryAfter is how long a caller should wait after a failure that is not its own.
const retryAfter = time.Second

// unavailable is a failure of ours: the same request may succeed later.
func unavailable(cause error) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "try again shortly").After(retryAfter).Because(cause)
}
