package authority

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Authority gives tokens. Its fields are set before first use.
type Authority struct {
	Registry Registry
	// LastKnown answers from memory, at once, what was known last where Registry
	// cannot tell: for introspection, the check endpoint, and who asks there by secret
	// or API key; nil for none. Nothing is minted or changed by it. Its ErrNotFound
	// means that there was no such thing; of what it does not have in memory it cannot
	// tell.
	LastKnown Registry
	// Fresh tells whether all that changed anywhere is known, revocations included,
	// and else since when it is not; nil means always. While it is, since is a moment
	// ago.
	Fresh   func() (since time.Time, fresh bool)
	Ledger  Ledger
	Keyring Keyring
	// KeySource reads clients' jwks_uri; nil means that nobody may use one.
	KeySource KeySource
	// RefusedKeys are thumbprints of keys that may not be used, beside the
	// published ones.
	RefusedKeys []string
	Pepper      registry.Pepper
	// ClientRate bounds what one client may ask for, once it is known who asks.
	ClientRate *overload.Limiter[ClientName]
	// Penalty is for clients that were over ClientRate, at the address from which they
	// were: their next assertions from there need no check of a signature to be
	// refused. nil is for nobody.
	Penalty *overload.Penalty[ClientAt]
	// Refusals records refusals of known clients at a bounded rate.
	Refusals *Refusals
	// Revocations knows which tokens were withdrawn.
	Revocations *Revocations
	Now         func() time.Time

	drafts sync.Pool // of *draft
}

// ClientName names a client within the process.
type ClientName struct{ Issuer, Client string }

// ClientAt is a client at the address of its requests.
type ClientAt struct {
	ClientName
	Address netip.Addr
}

// Request is a token request with the wire shape removed.
type Request struct {
	GrantType oauth.GrantType
	// Auth is how the client showed who it is; exactly the fields of that way are set.
	Auth            oauth.ClientAuth
	ClientID        string
	Secret          string // client secret or API key
	ClientAssertion string
	// Assertion is the grant of RFC 7523 §2.1.
	Assertion string
	// Scope as asked for; empty means none was.
	Scope string
	// Params are the platform's own parameters.
	Params []Param
	// Correlation ties what is logged and recorded to the request.
	Correlation string
	// Address is where the request came from.
	Address netip.Addr
}

// Param is a parameter of the platform's own.
type Param struct {
	Name  string
	Value registry.Attribute
}

// AccessToken is what was minted (RFC 6749 §5.1).
type AccessToken struct {
	Token   string
	Type    oauth.TokenType
	JTI     string
	Client  string
	Expires time.Time
	// ExpiresIn is what is left of its life when it is handed out, in seconds.
	ExpiresIn int64
	Scope     oauth.Scope
}

// retryAfter is how long a caller should wait after trouble of ours.
const retryAfter = time.Second

// Exchange gives an access token for a request, or refuses with an *oauth.Error
// whose chain may hold a *Refusal for the log. When it returns a token, the
// token is in the ledger, and the assertion that bought it is used up.
func (a *Authority) Exchange(ctx context.Context, issuer *registry.Issuer, req *Request) (*AccessToken, error) {
	now := a.Now()
	caller, err := a.authenticate(ctx, issuer, req, now)
	if err == nil {
		err = a.admit(issuer, req, caller, now)
	}
	var grant *Grant
	if err == nil {
		grant, err = a.verify(ctx, issuer, req, caller)
	}
	var token *AccessToken
	if err == nil {
		token, err = a.mint(ctx, issuer, grant, now)
	}
	if err != nil {
		return nil, a.refuse(ctx, issuer, req, caller, now, err)
	}
	a.Registry.Touch(issuer.Name, caller.client.ID, caller.credential, now)
	return token, nil
}

// caller is who asks, once that is proven; before, only who is named.
type caller struct {
	client *registry.Client
	// credential is the kid or the secret's ID that proved it.
	credential string
	// assertion is what was presented, when one was.
	assertion *presented
}

// name is the client's identifier, or "" when no known client was named.
func (c *caller) name() string {
	if c == nil || c.client == nil {
		return ""
	}
	return c.client.ID
}

// Grant is verified evidence (RFC 6749 §1.3): what a token may say.
type Grant struct {
	Client  *registry.Client
	Subject string
	Scope   oauth.Scope
	// Merchant on whose behalf the client asks; nil where the profile has none.
	Merchant    *registry.Merchant
	Params      []Param
	Credential  string
	Correlation string
	// assertion is used up by use; both are nil when there is none to use up.
	assertion *presented
	use       []ledger.Consumed
	// seal hides a token so that only the same assertion finds it again; nil
	// unless the issuer answers the same assertion with the same token.
	seal *tokenSeal
}

// admit refuses what is over the client's rate. It comes after authentication,
// so that nobody uses up another's budget by naming it, and before anything is
// used up, so that the same request may come again.
func (a *Authority) admit(issuer *registry.Issuer, req *Request, c *caller, now time.Time) error {
	name := ClientName{issuer.Name, c.client.ID}
	wait, ok := a.ClientRate.Take(name, now)
	if ok {
		return nil
	}
	if a.Penalty != nil {
		a.Penalty.Impose(ClientAt{name, req.Address}, now.Add(wait), now)
	}
	return overRate(wait)
}

// admitUnproven refuses whoever names a client that was over its rate a moment
// ago, at the same address. There the check of a signature would only keep a
// processor from the requests of others. Who shares the address could learn that
// the client is busy.
func (a *Authority) admitUnproven(p *presented) error {
	if a.Penalty == nil || p.client == nil {
		return nil
	}
	wait := a.Penalty.Remaining(ClientAt{ClientName{p.issuer.Name, p.client.ID}, p.address}, p.now)
	if wait == 0 {
		return nil
	}
	return overRate(wait)
}

func overRate(wait time.Duration) error {
	return oauth.Errorf(oauth.RateLimited, "too many requests of this client").After(wait).
		Because(&Refusal{Rule: "client rate", Expected: "at most the configured rate", Found: "more"})
}

// unavailable is trouble of ours: the same request may succeed later.
func unavailable(cause error) error {
	return oauth.Errorf(oauth.TemporarilyUnavailable, "try again shortly").After(retryAfter).Because(cause)
}

// mint makes the token and records it in one durable step. Until that step has
// succeeded the token leaves this function on no path.
func (a *Authority) mint(ctx context.Context, issuer *registry.Issuer, grant *Grant, now time.Time) (*AccessToken, error) {
	if _, err := a.KnownUntil(now); err != nil {
		return nil, unavailable(err) // the key that signs here may be gone everywhere else
	}
	signer, err := a.Keyring.Signer(issuer.Name, now)
	if err != nil {
		return nil, unavailable(err)
	}
	token := newToken(issuer, grant, now)
	if token.Token, err = a.sign(signer, issuer, grant, token, now); err != nil {
		return nil, err
	}
	if grant.seal != nil {
		grant.use[0].Sealed = grant.seal.hide(token)
	}
	err = a.Ledger.Append(ctx, &ledger.Entry{
		Kind: ledger.KindToken, Time: now.UTC(), Issuer: issuer.Name, Client: grant.Client.ID, Correlation: grant.Correlation,
		JTI: token.JTI, Credential: grant.Credential, SigningKid: signer.Kid(), Subject: grant.Subject,
		Scope: grant.Scope.String(), Expires: token.Expires.UTC(),
	}, grant.use...)
	var used *ledger.ReplayedError
	switch {
	case err == nil:
		return token, nil
	case errors.As(err, &used):
		return a.mintedBefore(ctx, issuer, grant, used, now)
	default:
		return nil, unavailable(err)
	}
}

// draft is where a token is composed before it is a string of its own.
type draft struct{ claims, compact []byte }

// sign composes the claims of token and signs them.
func (a *Authority) sign(signer *jose.Signer, issuer *registry.Issuer, grant *Grant, token *AccessToken, now time.Time) (compact string, err error) {
	d, ok := a.drafts.Get().(*draft)
	if !ok {
		d = &draft{}
	}
	defer a.drafts.Put(d)
	if d.claims, err = appendClaims(d.claims[:0], issuer, grant, token, now); err != nil {
		return "", err
	}
	if d.compact, err = signer.Sign(d.compact[:0], d.claims); err != nil {
		return "", unavailable(err)
	}
	return string(d.compact), nil
}

// mintedBefore answers an assertion that was used up: with the token that it
// gave, where the issuer does that, else with a refusal.
func (a *Authority) mintedBefore(ctx context.Context, issuer *registry.Issuer, grant *Grant, used *ledger.ReplayedError, now time.Time) (*AccessToken, error) {
	if grant.seal == nil {
		return nil, grant.assertion.refuseUsed()
	}
	token, err := grant.seal.find(used.Sealed)
	if err != nil {
		return nil, grant.assertion.refuseUsed()
	}
	if _, err := a.introspect(ctx, a.strictView(now), issuer, token.Token); err != nil {
		if trouble := unlessRetryable(err); trouble != nil {
			return nil, trouble
		}
		return nil, grant.assertion.refuseUsed() // it was revoked meanwhile
	}
	token.Client = grant.Client.ID
	if token.ExpiresIn = int64(token.Expires.Sub(now) / time.Second); token.ExpiresIn <= 0 {
		return nil, grant.assertion.refuseUsed()
	}
	return token, nil
}

// replayOf is the issuer's replay mode for a grant; client authentication is
// always good for one use.
func replayOf(issuer *registry.Issuer, isGrant bool) platform.Replay {
	if !isGrant {
		return platform.ReplayOnce
	}
	return issuer.Replay
}
