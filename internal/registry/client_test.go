package registry_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

func TestClientComesBackAsItWas(t *testing.T) {
	want := registry.Client{
		Issuer: "d1", ID: clientID, Name: "Acme", Revision: 3, Disabled: true, Grants: []oauth.GrantType{oauth.JWTBearer}, Scope: oauth.Scope{"a", "b"},
		Attributes: map[string]registry.Attribute{"roles": {List: []string{"x"}, IsList: true}, "none": {List: []string{}, IsList: true}, "name": {Text: "n"}, "empty": {}},
		Keys: []registry.Key{
			{Kid: "key-1", Public: partnerKey, Environment: "stg", NotBefore: noon, NotAfter: noon.Add(time.Hour), Disabled: true, Created: noon},
			{Kid: "key-2", Public: edKey, Created: noon},
		},
		JWKSURI: "https://acme.example/jwks",
		Secrets: []registry.Secret{{ID: "s", Kind: registry.APIKey, Digest: registry.Pepper("p").Digest("text"), NotAfter: noon, Disabled: true, Created: noon}},
		Created: noon,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got registry.Client
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
		var client registry.Client
		if err := json.Unmarshal([]byte(c.text), &client); err == nil {
			t.Errorf("%s: read as %+v", c.what, client)
		}
	}
}

func TestDigest(t *testing.T) {
	digest := registry.Pepper(pepper).Digest("secret")
	if !digest.Equal(registry.Pepper(pepper).Digest("secret")) {
		t.Error("a digest differs from itself")
	}
	for what, other := range map[string]registry.Digest{"secret": registry.Pepper(pepper).Digest("Secret"), "pepper": registry.Pepper("salt").Digest("secret")} {
		if digest.Equal(other) {
			t.Errorf("the digest does not depend on the %s", what)
		}
	}
}

func TestLiveAt(t *testing.T) {
	before, after := noon.Add(-time.Nanosecond), noon.Add(time.Nanosecond)
	for _, c := range []struct {
		name string
		key  registry.Key
		live bool
	}{
		{"without bounds", registry.Key{}, true},
		{"disabled", registry.Key{Disabled: true}, false},
		{"begins now", registry.Key{NotBefore: noon}, true},
		{"begins soon", registry.Key{NotBefore: after}, false},
		{"ends now", registry.Key{NotAfter: noon}, false},
		{"ends soon", registry.Key{NotAfter: after}, true},
		{"ended", registry.Key{NotAfter: before}, false},
	} {
		if c.key.LiveAt(noon) != c.live {
			t.Errorf("key %s: live is %v", c.name, !c.live)
		}
		secret := registry.Secret{NotAfter: c.key.NotAfter, Disabled: c.key.Disabled}
		if c.key.NotBefore.IsZero() && secret.LiveAt(noon) != c.live {
			t.Errorf("secret %s: live is %v", c.name, !c.live)
		}
	}
}
