package authority_test

import (
	"bytes"
	"crypto"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// usualClient is a client as most are: with one key, one secret and two words of scope.
func usualClient() *authority.Client {
	return &authority.Client{
		Issuer: "oauth2", ID: clientID, Revision: 1, Scope: oauth.Scope{"bench:read", "bench:write"}, Created: noon,
		Keys:    []authority.Key{{Kid: "key-1", Public: publicOf(partnerKey), Environment: "stg", Created: noon}},
		Secrets: []authority.Secret{{ID: "s", Kind: authority.ClientSecret, Digest: authority.Pepper("p").Digest("text"), Created: noon}},
	}
}

func BenchmarkDecodeClient(b *testing.B) {
	document, err := json.Marshal(usualClient())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := authority.DecodeClient(document); err != nil {
			b.Fatal(err)
		}
	}
}

// plainClient is read by encoding/json, which knows nothing of DecodeClient.
type plainClient struct {
	withoutMethods
	Keys []struct {
		Kid         string          `json:"kid"`
		JWK         json.RawMessage `json:"jwk"`
		Environment string          `json:"environment"`
		NotBefore   time.Time       `json:"not_before"`
		NotAfter    time.Time       `json:"not_after"`
		Disabled    bool            `json:"disabled"`
		Created     time.Time       `json:"created"`
	} `json:"keys"`
}

type withoutMethods authority.Client

func (p *plainClient) client(t *testing.T) *authority.Client {
	t.Helper()
	c := authority.Client(p.withoutMethods)
	for _, k := range p.Keys {
		public, _, err := jose.ParseJWK(k.JWK, "")
		if err != nil {
			t.Fatal(err)
		}
		c.Keys = append(c.Keys, authority.Key{Kid: k.Kid, Public: public, Environment: k.Environment,
			NotBefore: k.NotBefore, NotAfter: k.NotAfter, Disabled: k.Disabled, Created: k.Created})
	}
	return &c
}

// anyClient makes up a client that has any of the members, with any values.
type anyClient struct{ *rand.Rand }

func (r anyClient) text() string {
	letters := []rune("aZ0 /\"\\<>&\n\t\x00\x7f\u00fc\u2028\ufffd\U0001F600")
	text := make([]rune, r.IntN(100)*r.IntN(2))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

func (r anyClient) time() time.Time {
	zone := []*time.Location{time.UTC, time.FixedZone("", 5400), time.FixedZone("", -3600)}[r.IntN(3)]
	return time.Unix(r.Int64N(4e9), r.Int64N(1e9)*int64(r.IntN(2))).In(zone)
}

func (r anyClient) maybe() time.Time {
	if r.IntN(2) == 0 {
		return time.Time{}
	}
	return r.time()
}

func some[T any](r anyClient, value func() T) []T {
	var values []T
	for range r.IntN(4) {
		values = append(values, value())
	}
	return values
}

func (r anyClient) attribute() authority.Attribute {
	if r.IntN(2) == 0 {
		return authority.Attribute{Text: r.text()}
	}
	return authority.Attribute{List: some(r, r.text), IsList: true}
}

func (r anyClient) key() authority.Key {
	public := publicOf([]crypto.Signer{partnerKey, edKey}[r.IntN(2)])
	return authority.Key{Kid: r.text(), Public: public, Environment: r.text(), NotBefore: r.maybe(), NotAfter: r.maybe(),
		Disabled: r.IntN(2) == 0, Created: r.time()}
}

func (r anyClient) secret() authority.Secret {
	return authority.Secret{ID: r.text(), Kind: authority.SecretKind(r.text()), Digest: authority.Pepper("p").Digest(r.text()),
		NotAfter: r.maybe(), Disabled: r.IntN(2) == 0, Created: r.time()}
}

func (r anyClient) client() *authority.Client {
	c := &authority.Client{Issuer: r.text(), ID: r.text(), Name: r.text(), Revision: r.Int64(), Disabled: r.IntN(2) == 0,
		Grants: some(r, func() oauth.GrantType { return oauth.GrantType(r.text()) }), Scope: some(r, r.text), Introspects: r.IntN(2) == 0,
		Keys: some(r, r.key), JWKSURI: r.text(), Secrets: some(r, r.secret), Created: r.time()}
	for range r.IntN(100) * r.IntN(2) {
		if c.Attributes == nil {
			c.Attributes = map[string]authority.Attribute{}
		}
		c.Attributes[r.text()] = r.attribute()
	}
	return c
}

func TestDecodeClientReadsAsEncodingJSONDoes(t *testing.T) {
	r := anyClient{rand.New(rand.NewPCG(1, 2))}
	for range 2000 {
		document, err := json.Marshal(r.client())
		if err != nil {
			t.Fatal(err)
		}
		var plain plainClient
		if err := json.Unmarshal(document, &plain); err != nil {
			t.Fatal(err)
		}
		got, err := authority.DecodeClient(document)
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		if want := plain.client(t); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s\nwas read as\n%+v, want\n%+v", document, got, want)
		}
		again, err := json.Marshal(got)
		if err != nil || !bytes.Equal(again, document) {
			t.Fatalf("%s\nwas written again as\n%s, %v", document, again, err)
		}
	}
}

func TestDecodeClientPassesOverWhatItDoesNotKnow(t *testing.T) {
	c, err := authority.DecodeClient([]byte(`{"id":"a","later":{"b":[1,{}]},"secrets":[{"id":"s","later":null}]}`))
	if err != nil || c.ID != "a" || len(c.Secrets) != 1 || c.Secrets[0].ID != "s" {
		t.Errorf("read as %+v, %v", c, err)
	}
}

func TestDecodeClientAllocatesLittle(t *testing.T) {
	document, err := json.Marshal(usualClient())
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(100, func() { _, _ = authority.DecodeClient(document) })
	if n > 24 {
		t.Errorf("%v allocations", n)
	}
}
