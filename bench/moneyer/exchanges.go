package moneyer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"moneyer/bench/subject"
)

// tokens returns an exchange that requests tokens of an issuer.
func tokens(kind subject.Kind, variant, issuer, endpoint string, body func(int) ([]byte, error)) subject.Exchange {
	alg := "ES256"
	if kind == subject.ClientCredentialsRS256 {
		alg = "RS256"
	}
	return subject.Exchange{Kind: kind, Variant: variant, URL: issuer + endpoint, Header: formHeader(), Body: body,
		Keys: issuer + "/.well-known/jwks.json", Alg: alg}
}

// exchanges returns the exchanges of every profile, or with many clients only those of plain OAuth
// 2.0, with which these are registered.
func (o *Options) exchanges(base string) []subject.Exchange {
	p := NewPartners(o.Clients)
	plainIssuer := base + "/oauth2"
	if o.Apart {
		first, others := NewPartners(1), NewPartners(o.Clients)
		others.First = 1
		return []subject.Exchange{
			tokens(subject.JWTBearerES256, "the first client", plainIssuer, "/oauth2/token", first.grant(plainIssuer)),
			tokens(subject.JWTBearerES256, "the others", plainIssuer, "/oauth2/token", others.grant(plainIssuer)),
		}
	}
	oauth2 := []subject.Exchange{
		tokens(subject.JWTBearerES256, "oauth2", plainIssuer, "/oauth2/token", p.grant(plainIssuer)),
		tokens(subject.ClientCredentialsES256, "oauth2", plainIssuer, "/oauth2/token", p.secretPost(plain, "")),
	}
	if o.Clients > 1 || o.Entries > 0 {
		return oauth2
	}
	all := append([]subject.Exchange{
		tokens(subject.JWTBearerES256, "thales-d1", base+"/d1/authz/v1", "/oauth2/token", p.grant(audienceName)),
		tokens(subject.JWTBearerES256, "thales-d1-banking", base+"/d1-banking/authz/v1", "/oauth2/token", p.grant(audienceName)),
		tokens(subject.PrivateKeyJWTES256, "oauth2", plainIssuer, "/oauth2/token", p.clientAssertion(plainIssuer)),
		tokens(subject.ClientCredentialsRS256, "boltpay", base+"/boltpay", "/auth/token", p.secretPost(bolt, boltScope)),
		merchant(base + "/tsh-cof"),
	}, oauth2...)
	return append(all, reuse(base+"/reuse", p), check(all[len(all)-1], plainIssuer), introspect(all[len(all)-1], plainIssuer))
}

// merchant returns the exchange of thales-etp: JSON, an API key, a merchant and its items.
func merchant(issuer string) subject.Exchange {
	e := tokens(subject.ClientCredentialsES256, "thales-etp", issuer, "/auth/accessToken", func(int) ([]byte, error) {
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
func reuse(issuer string, p *Partners) subject.Exchange {
	e := tokens(subject.ReusedES256, "oauth2", issuer, "/oauth2/token", p.secretPost(reusing, ""))
	e.Reused, e.Note = true, "not signed again"
	return e
}

// check returns the question of a proxy about a live token of another exchange.
func check(from subject.Exchange, issuer string) subject.Exchange {
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

// introspect returns the question of the client itself about a live token of another exchange.
func introspect(from subject.Exchange, issuer string) subject.Exchange {
	return from.Introspect(issuer+"/introspect", "client_id="+id(0)+"&client_secret="+secret(plain, 0))
}
