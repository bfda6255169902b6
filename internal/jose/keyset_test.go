package jose_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// TestKeySet: what is ambiguous or no longer secret in a set is left out and reported, and everything
// else serves.
func TestKeySet(t *testing.T) {
	ec1, ec2, rsa1, ed1 := publicJWK(t, jose.ES256), publicJWK(t, jose.ES256), publicJWK(t, jose.RS256), publicJWK(t, jose.EdDSA)
	with := func(jwk, members string) string { return strings.TrimSuffix(jwk, "}") + members + "}" }
	thumbprint := func(jwk string) string {
		key, _, err := jose.ParseJWK([]byte(jwk), "")
		if err != nil {
			t.Fatal(err)
		}
		return key.Thumbprint()
	}
	public7515 := with(rfc7515EC[:strings.Index(rfc7515EC, `,"d"`)]+"}", `,"kid":"pub"`)
	for _, test := range []struct {
		name    string
		keys    []string
		find    string // kid alg
		want    string // thumbprint; empty when nothing is found
		skipped string // what Report contains
	}{
		{"one", []string{with(ec1, `,"kid":"a"`)}, "a ES256", thumbprint(ec1), ""},
		{"alg of the key alone", []string{with(ec1, `,"kid":"a"`)}, "a RS256", thumbprint(ec1), ""},
		{"unknown kid", []string{with(ec1, `,"kid":"a"`)}, "b ES256", "", ""},
		{"twins", []string{with(ec1, `,"kid":"a"`), with(ec1, `,"kid":"a"`)}, "a ES256", thumbprint(ec1), ""},
		{"twins that are written in two ways", []string{with(ec1, `,"kid":"a"`), with(ec1, `,"use":"sig","kid":"a"`)}, " ES256", thumbprint(ec1), ""},
		{"one kid, two keys", []string{with(ec1, `,"kid":"a"`), with(ec2, `,"kid":"a"`)}, "a ES256", "", "left out 2 of 2 keys"},
		{"beside one kid with two keys", []string{with(ec1, `,"kid":"a"`), with(ec2, `,"kid":"a"`), with(rsa1, `,"kid":"b"`)}, "b RS256", thumbprint(rsa1), `kid "a": not a usable key: different keys for ES256`},
		{"one kid, two types: RSA", []string{with(ec1, `,"kid":"a"`), with(rsa1, `,"kid":"a"`)}, "a RS256", thumbprint(rsa1), ""},
		{"one kid, two types: EC", []string{with(ec1, `,"kid":"a"`), with(rsa1, `,"kid":"a"`)}, "a ES256", thumbprint(ec1), ""},
		{"one kid, a pair and another type", []string{with(ec1, `,"kid":"a"`), with(rsa1, `,"kid":"a"`), with(ec2, `,"kid":"a"`)}, "a RS256", thumbprint(rsa1), "left out 2 of 3"},
		{"no kid in the token", []string{with(ec1, `,"kid":"a"`), with(rsa1, `,"kid":"b"`)}, " ES256", thumbprint(ec1), ""},
		{"no kid in the token, two candidates", []string{with(ec1, `,"kid":"a"`), with(ec2, `,"kid":"b"`)}, " ES256", "", ""},
		{"no kid in the token, no candidate", []string{with(ec1, `,"kid":"a"`), with(rsa1, `,"kid":"b"`)}, " EdDSA", "", ""},
		{"no kid in the token, another alg", []string{ec1}, " RS256", thumbprint(ec1), ""},
		{"no kid anywhere", []string{ec1, rsa1}, " ES256", thumbprint(ec1), ""},
		{"the thumbprint as kid", []string{ec1, ec2}, thumbprint(ec2) + " ES256", thumbprint(ec2), ""},
		{"no thumbprint of a key that has a kid", []string{with(ec1, `,"kid":"a"`)}, thumbprint(ec1) + " ES256", "", ""},
		{"a kid is stronger than a thumbprint", []string{ec1, with(ec2, `,"kid":"`+thumbprint(ec1)+`"`)}, thumbprint(ec1) + " ES256", thumbprint(ec2), ""},
		{"Ed25519 in the token", []string{with(ed1, `,"kid":"a","alg":"EdDSA"`), with(rsa1, `,"kid":"a"`)}, "a Ed25519", thumbprint(ed1), ""},
		{"Ed25519 in the set", []string{with(ed1, `,"kid":"a","alg":"Ed25519"`), with(rsa1, `,"kid":"a"`)}, "a EdDSA", thumbprint(ed1), ""},
		{"beside one for encryption", []string{with(rsa1, `,"kid":"a","use":"enc"`), with(ec1, `,"kid":"b"`)}, "b ES256", thumbprint(ec1), `kid "a": not a usable key: JWK use is "enc"`},
		{"beside a damaged one", []string{with(rsa1, `,"kid":"a","alg":1`), with(ec1, `,"kid":"b"`)}, "b ES256", thumbprint(ec1), `kid "a": not a usable key: JWK: alg`},
		{"beside a private one", []string{rfc7515EC, with(ec1, `,"kid":"b"`)}, "b ES256", thumbprint(ec1), "whoever reads the set can sign"},
		{"beside its private half", []string{rfc7515EC, public7515}, "pub ES256", "", "another entry of the set has the private half"},
		{"before its private half", []string{public7515, rfc7515EC}, "pub ES256", "", "another entry of the set has the private half"},
		{"beside its private half, padded", []string{public7515, strings.Replace(rfc7515EC, `","y"`, `=","y"`, 1)}, "pub ES256", "", "left out 2 of 2"},
		{"beside its private half without the public one", []string{public7515, `{"kty":"EC","crv":"P-256",` + rfc7515EC[strings.Index(rfc7515EC, `"d"`):]}, "pub ES256", "", "left out 2 of 2"},
		{"beside its private half for another use", []string{public7515, with(strings.TrimSpace(rfc7515EC), `,"use":"enc","alg":"ECDH-ES"`)}, "pub ES256", "", "left out 2 of 2"},
		{"beside a symmetric one", []string{`{"kty":"oct","k":"AAAA"}`, ec1}, " ES256", thumbprint(ec1), "a key without kid: private key where"},
		{"beside null", []string{`{"kty":"EC","d":null}`, with(ec1, `,"kid":null,"use":null,"alg":null,"key_ops":null,"d":null`)}, " ES256", thumbprint(ec1), "left out 1 of 2"},
		{"beside no object", []string{`1`, ec1}, " ES256", thumbprint(ec1), "left out 1 of 2"},
	} {
		set, err := jose.ParseKeySet([]byte(`{"keys":[`+strings.Join(test.keys, ",")+`]}`), jose.KeySetRules{})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		kid, alg, _ := strings.Cut(test.find, " ")
		found := ""
		if key := set.Find(kid, alg); key != nil {
			found = key.Thumbprint()
		}
		if report := set.Report(); found != test.want || !strings.Contains(report, test.skipped) || (test.skipped == "") != (report == "") {
			t.Errorf("%s: found %q, want %q\nreport %q, want %q", test.name, found, test.want, report, test.skipped)
		}
	}
}

// TestKeySetOneAlgorithm: of a kid with keys for several algorithms the token chooses one, and each
// remains bound to its own.
func TestKeySetOneAlgorithm(t *testing.T) {
	rsaKey := strings.TrimSuffix(publicJWK(t, jose.RS256), "}")
	set, err := jose.ParseKeySet([]byte(`{"keys":[`+rsaKey+`,"kid":"k","alg":"RS256"},`+rsaKey+`,"kid":"k","alg":"PS256"}]}`), jose.KeySetRules{})
	if err != nil || len(set.Keys) != 2 || len(set.Skipped) != 0 {
		t.Fatal(err, set)
	}
	for _, alg := range []jose.Alg{jose.RS256, jose.PS256} {
		if key := set.Find("k", string(alg)); key == nil || key.Alg() != alg {
			t.Errorf("%s: %v", alg, key)
		}
	}
	for _, alg := range []string{"ES256", "none", ""} {
		if key := set.Find("k", alg); key == nil || string(key.Alg()) == alg {
			t.Errorf("%q: %v", alg, key)
		}
	}
}

// TestKeySetReport: a report is bounded, and private keys come first.
func TestKeySetReport(t *testing.T) {
	var keys []string
	for n := range 99 {
		keys = append(keys, fmt.Sprintf(`{"kty":"EC","crv":"P-521","kid":"%d%s"}`, n, strings.Repeat("\\n", 200)))
	}
	set, err := jose.ParseKeySet([]byte(`{"keys":[`+strings.Join(append(keys, `{"kty":"oct","k":"AA","kid":"last"}`), ",")+`]}`), jose.KeySetRules{})
	if err != nil {
		t.Fatal(err)
	}
	report := set.Report()
	if !set.Private() || len(report) > 8*500 || strings.Contains(report, "\n") || !strings.HasPrefix(report, `left out 100 of 100 keys: kid "last": private key`) || !strings.HasSuffix(report, "; and 92 more") {
		t.Errorf("%d bytes: %s", len(report), report)
	}
	if reason := set.Skipped[99].Reason; !errors.Is(reason, jose.ErrPrivateKey) {
		t.Error(reason)
	}
	var none jose.KeySet
	if none.Report() != "" || none.Private() || none.Find("", "") != nil || none.Find("a", "ES256") != nil {
		t.Error("the zero KeySet has something")
	}
}

// TestKeySetPrivateHalves: a key of which the private half is in the set does not serve, however damaged
// the entry with the private half is.
func TestKeySetPrivateHalves(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	n, primes := encode(key.N.Bytes()), fmt.Sprintf(`"p":"%s","q":"%s"`, encode(key.Primes[0].Bytes()), encode(key.Primes[1].Bytes()))
	d := fmt.Sprintf(`"d":"%s"`, encode(key.D.Bytes()))
	ecHalf := rfc7515EC[strings.Index(rfc7515EC, `"d"`):]
	public := map[string]string{
		"RSA": fmt.Sprintf(`{"kty":"RSA","kid":"a","n":"%s","e":"AQAB"}`, n),
		"EC":  rfc7515EC[:strings.Index(rfc7515EC, `,"d"`)] + `,"kid":"a"}`,
	}
	for name, private := range map[string]string{
		"RSA whole":                    `{"kty":"RSA","n":"` + n + `","e":"AQAB",` + d + `,` + primes + `}`,
		"RSA without n":                `{"kty":"RSA","e":"AQAB",` + d + `,` + primes + `}`,
		"RSA without e":                `{"kty":"RSA","n":"` + n + `",` + d + `}`,
		"RSA with a zero before n":     `{"kty":"RSA","n":"` + encode(append([]byte{0}, key.N.Bytes()...)) + `","e":"AQAB",` + d + `}`,
		"RSA with a zero before e":     `{"kty":"RSA","n":"` + n + `","e":"AAEAAQ",` + d + `}`,
		"RSA without d":                `{"kty":"RSA","n":"AQAB","e":"AQ",` + primes + `}`,
		"RSA without kty":              `{"n":"` + n + `","e":"AQAB",` + d + `}`,
		"RSA with primes of no number": `{"kty":"RSA","n":"` + n + `","e":"AQAB","p":"","q":5}`,
		"EC without kty":               `{` + ecHalf,
		"EC under another kty":         `{"kty":"OKP",` + ecHalf,
	} {
		kty, _, _ := strings.Cut(name, " ")
		set, err := jose.ParseKeySet([]byte(`{"keys":[`+public[kty]+`,`+private+`]}`), jose.KeySetRules{})
		if err != nil || len(set.Keys) != 0 || !set.Private() {
			t.Errorf("%s: %d keys, %v: %s", name, len(set.Keys), err, set.Report())
		}
	}
}
