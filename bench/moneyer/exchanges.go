package moneyer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"moneyer/bench/subject"
)

// exchanges returns the exchanges of every profile, or with many clients, with which only these are
// registered, and on PostgreSQL only those of plain OAuth 2.0.
func (o *Options) exchanges(base string) []subject.Exchange {
	p, plainIssuer := NewPartners(o.Clients), base+"/oauth2"
	if o.Apart {
		first, others := NewPartners(1), NewPartners(o.Clients)
		others.First = 1
		return []subject.Exchange{
			exchange(base, subject.JWTBearerES256, "the first client", "/oauth2", "/oauth2/token", first.grant(plainIssuer)),
			exchange(base, subject.JWTBearerES256, "the others", "/oauth2", "/oauth2/token", others.grant(plainIssuer)),
		}
	}
	byGrant, byCredentials := plainExchanges(base, p)
	if o.Clients > 1 || o.Entries > 0 || o.Postgres {
		return []subject.Exchange{byGrant, byCredentials}
	}
	return []subject.Exchange{
		exchange(base, subject.JWTBearerES256, "thales-d1", "/d1/authz/v1", "/oauth2/token", p.grant(audienceName)),
		exchange(base, subject.JWTBearerES256, "thales-d1-banking", "/d1-banking/authz/v1", "/oauth2/token", p.grant(audienceName)),
		exchange(base, subject.PrivateKeyJWTES256, "oauth2", "/oauth2", "/oauth2/token", p.clientAssertion(plainIssuer)),
		exchange(base, subject.ClientCredentialsRS256, "boltpay", "/boltpay", "/auth/token", p.secretPost(bolt, boltScope)),
		merchant(base),
		byGrant,
		byCredentials,
		reuse(base, p),
		check(&byCredentials, plainIssuer),
		byCredentials.Introspect(plainIssuer+"/introspect", url.Values{"client_id": {id(0)}, "client_secret": {secret(plain, 0)}}),
	}
}

// plainExchanges returns jwt-bearer and client_credentials of plain OAuth 2.0.
func plainExchanges(base string, p *Partners) (byGrant, byCredentials subject.Exchange) {
	return exchange(base, subject.JWTBearerES256, "oauth2", "/oauth2", "/oauth2/token", p.grant(base+"/oauth2")),
		exchange(base, subject.ClientCredentialsES256, "oauth2", "/oauth2", "/oauth2/token", p.secretPost(plain, ""))
}

// exchange returns an exchange of the issuer at a path, of which endpoint is the token endpoint.
func exchange(base string, kind subject.Kind, variant, path, endpoint string, body func(int) ([]byte, error)) subject.Exchange {
	alg := "ES256"
	if kind == subject.ClientCredentialsRS256 {
		alg = "RS256"
	}
	return subject.Exchange{Kind: kind, Variant: variant, URL: base + path + endpoint, Header: formHeader(), Body: body,
		Keys: base + path + "/.well-known/jwks.json", Alg: alg}
}

// merchant returns the exchange of thales-etp: JSON, an API key, a merchant and its items.
func merchant(base string) subject.Exchange {
	e := exchange(base, subject.ClientCredentialsES256, "thales-etp", "/tsh-cof", "/auth/accessToken", func(int) ([]byte, error) {
		return []byte(`{"merchantId":"` + merchantID + `","tokens":["` + cardToken + `"],"scope":"` + etpScope + `"}`), nil
	})
	e.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"APIKEY " + secret(etp, 0)}, "X-Correlation-Id": {"bench-1"}}
	e.Token = etpToken
	return e
}

func etpToken(body []byte) (string, error) {
	var answer struct {
		Token string `json:"accessToken"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", errors.New("no accessToken")
	}
	return answer.Token, nil
}

// reuse returns the exchange of an issuer that hands out tokens again. Each time is recorded in the
// ledger.
func reuse(base string, p *Partners) subject.Exchange {
	e := exchange(base, subject.ReusedES256, "oauth2", "/reuse", "/oauth2/token", p.secretPost(reusing, ""))
	e.Reused, e.Note = true, "not signed again"
	return e
}

// check returns the question of a proxy about a live token of another exchange.
func check(from *subject.Exchange, issuer string) subject.Exchange {
	header := http.Header{}
	return subject.Exchange{Kind: subject.Check, URL: issuer + "/check", Header: header, Note: "one token a round",
		Before: func(ctx context.Context) error {
			token, err := from.Ask(ctx)
			header.Set("Authorization", "Bearer "+token)
			return err
		},
		Body: func(int) ([]byte, error) { return nil, nil },
	}
}
