package load

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"moneyer/bench/subject"
)

// issuer signs tokens and publishes its key.
type issuer struct {
	*httptest.Server
	signer jose.Signer
	count  int
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}}
	i := &issuer{signer: signer, Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(keys)
	}))}
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T) string {
	t.Helper()
	i.count++
	signed, err := i.signer.Sign(fmt.Appendf(nil, `{"jti":"%d"}`, i.count))
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func answer(token string) Answer {
	return Answer{Status: 200, Body: fmt.Appendf(nil, `{"access_token":%q,"token_type":"Bearer"}`, token)}
}

func TestRound(t *testing.T) {
	one, other := newIssuer(t), newIssuer(t)
	good := one.token(t)
	head, signature := good[:strings.LastIndexByte(good, '.')], good[strings.LastIndexByte(good, '.')+1:]
	for name, c := range map[string]struct {
		answers []Answer
		alg     string
		want    string
	}{
		"good":            {answers: []Answer{answer(one.token(t)), answer(one.token(t))}},
		"none":            {want: "not one answer"},
		"refused":         {answers: []Answer{answer(good), {Status: 429, Body: []byte("slow down")}}, want: "answer 2 of 2 has status 429: slow down"},
		"twice":           {answers: []Answer{answer(good), answer(good)}, want: "issued before"},
		"another's":       {answers: []Answer{answer(other.token(t))}, want: "no published key"},
		"wrong signature": {answers: []Answer{answer(head + "." + strings.Repeat("A", len(signature)))}, want: "no published key"},
		"two parts":       {answers: []Answer{answer(head)}, want: "2 parts"},
		"not base64url":   {answers: []Answer{answer(head + ".a=b")}, want: "not base64url"},
		"no token":        {answers: []Answer{{Status: 200, Body: []byte(`{}`)}}, want: "no access_token"},
		"not JSON":        {answers: []Answer{{Status: 200, Body: []byte(`hello`)}}, want: "not a token response"},
		"another alg":     {answers: []Answer{answer(good)}, alg: "RS256", want: `signed with "ES256"`},
	} {
		t.Run(name, func(t *testing.T) {
			alg := "ES256"
			if c.alg != "" {
				alg = c.alg
			}
			err := NewJudge(&subject.Exchange{Alg: alg, Keys: one.URL}).Round(t.Context(), c.answers)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSampleFindsOneInFifty(t *testing.T) {
	one, other := newIssuer(t), newIssuer(t)
	j := NewJudge(&subject.Exchange{Alg: "ES256", Keys: one.URL})
	var answers []Answer
	for range 3 * Sample {
		answers = append(answers, answer(one.token(t)))
	}
	if err := j.Round(t.Context(), answers); err != nil {
		t.Fatal(err)
	}
	// A whole round of tokens with a wrong key is detected by any sample.
	if err := j.Round(t.Context(), []Answer{answer(other.token(t))}); err == nil {
		t.Error("a token with a wrong key was accepted")
	}
	// Tokens of earlier rounds are remembered.
	if err := j.Round(t.Context(), answers[1:2]); err == nil {
		t.Error("a token of an earlier round was accepted")
	}
}

func TestOwnTokenMember(t *testing.T) {
	one := newIssuer(t)
	j := NewJudge(&subject.Exchange{Alg: "ES256", Keys: one.URL, Token: func(body []byte) (string, error) { return string(body), nil }})
	if err := j.Answer(t.Context(), Answer{Status: 200, Body: []byte(one.token(t))}); err != nil {
		t.Error(err)
	}
	if err := NewJudge(&subject.Exchange{}).Answer(t.Context(), Answer{Status: 200, Body: []byte("nothing")}); err != nil {
		t.Errorf("an answer without a token was asked for: %v", err)
	}
}

func TestReusedTokens(t *testing.T) {
	i := newIssuer(t)
	one, two := answer(i.token(t)), answer(i.token(t))
	reused := NewJudge(&subject.Exchange{Keys: i.URL, Alg: "ES256", Reused: true})
	if err := reused.Round(t.Context(), []Answer{one, two, one}); err != nil {
		t.Error(err)
	}
	if err := reused.Round(t.Context(), []Answer{one, one}); err != nil {
		t.Errorf("in the next round: %v", err)
	}
	if err := NewJudge(&subject.Exchange{Keys: i.URL, Alg: "ES256", Reused: true}).Round(t.Context(), []Answer{one, two}); err == nil {
		t.Error("a server that issues a token each time is measured as one that reuses them")
	}
}

func TestAnswersWithoutToken(t *testing.T) {
	judge := NewJudge(&subject.Exchange{Check: func(body []byte) error {
		if string(body) != "yes" {
			return errors.New("not yes")
		}
		return nil
	}})
	yes := Answer{Status: 200, Body: []byte("yes")}
	if err := judge.Round(t.Context(), []Answer{yes, yes}); err != nil {
		t.Error(err)
	}
	if err := judge.Round(t.Context(), []Answer{yes, {Status: 200, Body: []byte("no")}}); err == nil || !strings.Contains(err.Error(), "answer 2 of 2: not yes: no") {
		t.Errorf("got %v", err)
	}
}
