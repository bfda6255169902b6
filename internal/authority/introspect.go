package authority

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
	"moneyer/profile"
)

// ActiveToken is an access token of ours that is good now (RFC 7662 §2.2).
type ActiveToken struct {
	// Kid of the signing key.
	Kid    string
	Claims *jose.Claims
	// Payload is the whole claim set, as it was signed.
	Payload []byte
	// Client that it was minted for; empty where the profile's tokens do not say.
	Client string
}

// Introspect judges an access token of the issuer as things stand at now: its
// form and signature, its time, issuer and typ, whether it was revoked, and
// whether issuer, client and merchant are still enabled. A token that is not good
// is an *oauth.Error with invalid_token, whose cause is for the log; what cannot
// be judged is temporarily_unavailable.
func (a *Authority) Introspect(ctx context.Context, issuer *Issuer, token string, now time.Time) (*ActiveToken, error) {
	t, err := a.ownToken(issuer, token, now)
	if err != nil {
		return nil, inactive(err)
	}
	if a.Revocations.names(issuer.Name, t) {
		return nil, inactive(errors.New("it was revoked"))
	}
	switch err := a.stillEnabled(ctx, issuer, t); {
	case errors.Is(err, errDisabled):
		return nil, inactive(err)
	case err != nil:
		return nil, unavailable(err)
	}
	return t, nil
}

func inactive(cause error) error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is not valid here").Because(cause)
}

// ownToken checks what does not change while the token lives, and its time.
func (a *Authority) ownToken(issuer *Issuer, token string, now time.Time) (*ActiveToken, error) {
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
		return nil, fmt.Errorf("iss is %s", quote(claims.Issuer))
	case !strings.EqualFold(jws.Header.Typ, issuer.Profile.Policy.Token.Typ):
		return nil, fmt.Errorf("typ is %s", quote(jws.Header.Typ))
	case !now.Before(time.Unix(claims.Expiry, 0)):
		return nil, errors.New("it has expired")
	}
	t := &ActiveToken{Kid: jws.Header.Kid, Claims: claims, Payload: jws.Payload}
	t.Client = t.text(clientClaim(issuer.Profile))
	return t, nil
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

var errDisabled = errors.New("what it was minted for is disabled or gone")

// stillEnabled holds a live token to the registry: disabled is disabled on every
// path.
func (a *Authority) stillEnabled(ctx context.Context, issuer *Issuer, t *ActiveToken) error {
	if issuer.Disabled {
		return errDisabled
	}
	client := t.Client
	if issuer.Profile.Policy.Merchant.Param != "" {
		merchant, err := a.Registry.Merchant(ctx, issuer.Name, t.text(merchantClaim(issuer.Profile)))
		if errors.Is(err, ErrNotFound) || err == nil && merchant.Disabled {
			return errDisabled
		}
		if err != nil {
			return err
		}
		client, t.Client = merchant.Client, merchant.Client
	}
	if client == "" {
		return nil // the profile's tokens do not say
	}
	registered, err := a.Registry.Client(ctx, issuer.Name, client)
	if errors.Is(err, ErrNotFound) || err == nil && registered.Disabled {
		return errDisabled
	}
	return err
}

// merchantClaim is the claim that holds the merchant in a profile's tokens, or "".
func merchantClaim(p *profile.Profile) string {
	for i := range p.Policy.Token.Claims {
		if claim := &p.Policy.Token.Claims[i]; claim.From == profile.SourceMerchant {
			return claim.Name
		}
	}
	return ""
}
