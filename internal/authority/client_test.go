package authority_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/oauth"
)

func TestClientComesBackAsItWas(t *testing.T) {
	want := authority.Client{
		Issuer: "d1", ID: clientID, Name: "Acme", Revision: 3, Disabled: true, Grants: []oauth.GrantType{oauth.JWTBearer}, Scope: oauth.Scope{"a", "b"},
		Attributes: map[string]authority.Attribute{"roles": {List: []string{"x"}, IsList: true}, "none": {List: []string{}, IsList: true}, "name": {Text: "n"}, "empty": {}},
		Keys: []authority.Key{
			{Kid: "key-1", Public: publicOf(partnerKey), Environment: "stg", NotBefore: noon, NotAfter: noon.Add(time.Hour), Disabled: true, Created: noon},
			{Kid: "key-2", Public: publicOf(edKey), Created: noon},
		},
		JWKSURI: "https://acme.example/jwks",
		Secrets: []authority.Secret{{ID: "s", Kind: authority.APIKey, Digest: authority.Pepper("p").Digest("text"), NotAfter: noon, Disabled: true, Created: noon}},
		Created: noon,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got authority.Client
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\ncame back as\n%+v, want\n%+v", text, got, want)
	}
}

func TestBrokenRecords(t *testing.T) {
	for _, c := range []struct{ what, text string }{
		{"attribute", `{"attributes":{"a":7}}`},
		{"list attribute", `{"attributes":{"a":[7]}}`},
		{"key", `{"keys":[7]}`},
		{"key without a JWK", `{"keys":[{"kid":"a"}]}`},
		{"key with a private JWK", `{"keys":[{"kid":"a","jwk":{"kty":"oct","k":"AA"}}]}`},
		{"digest too short", `{"secrets":[{"digest":"AAAA"}]}`},
		{"digest with stray bits", `{"secrets":[{"digest":"` + strings.Repeat("A", 42) + `B"}]}`},
		{"digest in another alphabet", `{"secrets":[{"digest":"` + strings.Repeat("+", 43) + `"}]}`},
	} {
		var client authority.Client
		if err := json.Unmarshal([]byte(c.text), &client); err == nil {
			t.Errorf("%s: read as %+v", c.what, client)
		}
	}
}

func TestDigest(t *testing.T) {
	pepper := authority.Pepper("pepper")
	digest := pepper.Digest("secret")
	if !digest.Equal(pepper.Digest("secret")) {
		t.Error("a digest differs from itself")
	}
	for what, other := range map[string]authority.Digest{"secret": pepper.Digest("Secret"), "pepper": authority.Pepper("salt").Digest("secret")} {
		if digest.Equal(other) {
			t.Errorf("the digest does not depend on the %s", what)
		}
	}
}

func TestLiveAt(t *testing.T) {
	before, after := noon.Add(-time.Nanosecond), noon.Add(time.Nanosecond)
	for _, c := range []struct {
		name string
		key  authority.Key
		live bool
	}{
		{"without bounds", authority.Key{}, true},
		{"disabled", authority.Key{Disabled: true}, false},
		{"begins now", authority.Key{NotBefore: noon}, true},
		{"begins soon", authority.Key{NotBefore: after}, false},
		{"ends now", authority.Key{NotAfter: noon}, false},
		{"ends soon", authority.Key{NotAfter: after}, true},
		{"ended", authority.Key{NotAfter: before}, false},
	} {
		if c.key.LiveAt(noon) != c.live {
			t.Errorf("key %s: live is %v", c.name, !c.live)
		}
		secret := authority.Secret{NotAfter: c.key.NotAfter, Disabled: c.key.Disabled}
		if c.key.NotBefore.IsZero() && secret.LiveAt(noon) != c.live {
			t.Errorf("secret %s: live is %v", c.name, !c.live)
		}
	}
}
