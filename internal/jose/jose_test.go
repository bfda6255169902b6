package jose_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"moneyer/internal/jose"
)

var algs = []jose.Alg{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA}

// newSigner returns a Signer with a fresh key.
func newSigner(t testing.TB, alg jose.Alg, kid, typ string) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(key, alg, kid, typ)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// sign returns the compact JWS of payload.
func sign(t testing.TB, s *jose.Signer, payload string) string {
	t.Helper()
	token, err := s.Sign(nil, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

func TestSignThenVerify(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			signer := newSigner(t, alg, `k"1`, "at+jwt")
			token, err := signer.Sign([]byte("before "), []byte(`{"iss":"a"}`))
			if err != nil {
				t.Fatal(err)
			}
			compact, ok := bytes.CutPrefix(token, []byte("before "))
			if !ok {
				t.Fatalf("dst was overwritten: %s", token)
			}
			j, err := jose.Parse(string(compact))
			if err != nil {
				t.Fatal(err)
			}
			if want := (jose.Header{Alg: string(alg), Kid: `k"1`, Typ: "at+jwt"}); j.Header != want {
				t.Errorf("header %+v, want %+v", j.Header, want)
			}
			if string(j.Payload) != `{"iss":"a"}` {
				t.Errorf("payload %s", j.Payload)
			}
			if err := j.Verify(signer.Public()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestD1Sample verifies the sample assertion of the D1 documentation.
func TestD1Sample(t *testing.T) {
	data, err := os.ReadFile("testdata/d1-sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		JWK        json.RawMessage
		Thumbprint string
		JWT        string
	}
	if err := json.Unmarshal(data, &sample); err != nil {
		t.Fatal(err)
	}
	key, _, err := jose.ParseJWK(sample.JWK, "")
	if err != nil {
		t.Fatal(err)
	}
	if key.Thumbprint() != sample.Thumbprint {
		t.Errorf("thumbprint %s, want %s", key.Thumbprint(), sample.Thumbprint)
	}
	j, err := jose.Parse(sample.JWT)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Verify(key); err != nil {
		t.Error(err)
	}
	claims, err := jose.ParseClaims(j.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Issuer != "your_issuer_id" || claims.Expiry != 1636033366 || len(claims.Audience) != 1 || claims.Audience[0] != "your_audience" {
		t.Errorf("claims %+v", claims)
	}
	if claims.Has(jose.ClaimID) || !claims.Has(jose.ClaimIssuer|jose.ClaimExpiry|jose.ClaimSubject) {
		t.Errorf("present %b", claims.Present)
	}
}
