package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// wantProblem holds an onboarding error to what it should say; "" means none.
func wantProblem(t *testing.T, name string, err error, problem string) {
	t.Helper()
	switch {
	case problem == "" && err != nil:
		t.Errorf("%s: refused: %v", name, err)
	case problem == "":
	case err == nil:
		t.Errorf("%s: not refused, want %q", name, problem)
	case !strings.Contains(err.Error(), problem):
		t.Errorf("%s: refused with %q, want %q", name, err, problem)
	case !isOnboarding(err) || !isOnboarding(fmt.Errorf("wrapped: %w", err)):
		t.Errorf("%s: %v is not the operator's to mend", name, err)
	}
}

func jwk(t testing.TB, text string) *jose.PublicKey {
	t.Helper()
	key, _, err := jose.ParseJWK([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAddKey(t *testing.T) {
	fresh := strangerKey
	good := registry.Key{Kid: "key-9", Public: fresh, Created: noon}
	with := func(edit func(*registry.Key)) registry.Key {
		k := good
		edit(&k)
		return k
	}
	many := make([]registry.Key, 32)
	for i := range many {
		many[i] = registry.Key{Kid: fmt.Sprint(i), Public: secondKey}
	}
	for _, c := range []struct {
		name, profile string
		key           registry.Key
		have          []registry.Key
		refused       []string
		problem       string
	}{
		{"a good one", "thales-d1", good, nil, nil, ""},
		{"beside another", "thales-d1", good, many[:1], nil, ""},
		{"no kid", "thales-d1", with(func(k *registry.Key) { k.Kid = "" }), nil, nil, "a kid is 1 to 128"},
		{"the longest kid", "thales-d1", with(func(k *registry.Key) { k.Kid = strings.Repeat("k", 128) }), nil, nil, ""},
		{"a longer kid", "thales-d1", with(func(k *registry.Key) { k.Kid = strings.Repeat("k", 129) }), nil, nil, "a kid is 1 to 128"},
		{"a kid with a blank", "thales-d1", with(func(k *registry.Key) { k.Kid = "a b" }), nil, nil, "a kid is 1 to 128"},
		{"a kid with an umlaut", "thales-d1", with(func(k *registry.Key) { k.Kid = "schlüssel" }), nil, nil, "a kid is 1 to 128"},
		{"profile without keys", "boltpay", good, nil, nil, "uses no client keys"},
		{"RSA where the profile takes P-256", "thales-d1", with(func(k *registry.Key) { k.Public = rsaKey }), nil, nil, "this is a key for RS256; profile thales-d1 takes ES256"},
		{"RSA where the profile takes it", "oauth2", with(func(k *registry.Key) { k.Public = rsaKey }), nil, nil, ""},
		{"the D1 page's key", "thales-d1", with(func(k *registry.Key) {
			k.Public = jwk(t, `{"kty":"EC","crv":"P-256","x":"6swczLIRn_lPxQPpdUb2pHjCr0YeC02lkG7vMmqCNpY","y":"pcCEEpfk0X2VQ8AiiZmo0YCt_p-UsgIAqeKB_KjZbsE"}`)
		}), nil, nil, "is published"},
		{"the key of RFC 7515", "thales-d1", with(func(k *registry.Key) {
			k.Public = jwk(t, `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`)
		}), nil, nil, "is published"},
		{"the key of RFC 8037", "oauth2", with(func(k *registry.Key) {
			k.Public = jwk(t, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)
		}), nil, nil, "is published"},
		{"refused by configuration", "thales-d1", good, nil, []string{"x", fresh.Thumbprint()}, "is published or refused by configuration"},
		{"not-after before not-before", "thales-d1", with(func(k *registry.Key) {
			k.NotBefore, k.NotAfter = noon, noon.Add(-time.Second)
		}), nil, nil, "not-after must be later"},
		{"not-after at not-before", "thales-d1", with(func(k *registry.Key) { k.NotBefore, k.NotAfter = noon, noon }), nil, nil, "not-after must be later"},
		{"not-before alone", "thales-d1", with(func(k *registry.Key) { k.NotBefore = noon }), nil, nil, ""},
		{"the last that a client can hold", "thales-d1", good, many[:31], nil, ""},
		{"too many", "thales-d1", good, many, nil, "at most 32 keys"},
		{"a kid that is there", "thales-d1", with(func(k *registry.Key) { k.Kid = "0" }), many[:1], nil, `a key "0" already`},
		{"a key that is there", "thales-d1", with(func(k *registry.Key) { k.Public = secondKey }), many[:1], nil, `this very key already, as "0"`},
	} {
		issuer := newIssuer(t, c.profile)
		client := &registry.Client{ID: clientID, Keys: c.have}
		wantProblem(t, c.name, client.AddKey(issuer, c.refused, c.key), c.problem)
		if c.problem != "" {
			if len(client.Keys) != len(c.have) {
				t.Errorf("%s: registered all the same", c.name)
			}
			continue
		}
		added := client.Keys[len(client.Keys)-1]
		if len(client.Keys) != len(c.have)+1 || added.Kid != c.key.Kid || added.Environment != "stg" {
			t.Errorf("%s: holds %+v", c.name, client.Keys)
		}
	}
}

// A client that came out of a registry is shared: what is added to a copy of it
// must not appear in it.
func TestAddingLeavesTheOriginalAlone(t *testing.T) {
	issuer := newIssuer(t, "oauth2")
	stored := &registry.Client{Keys: make([]registry.Key, 0, 4), Secrets: make([]registry.Secret, 0, 4)}
	one, two := *stored, *stored
	for i, c := range []*registry.Client{&one, &two} {
		if err := c.AddKey(issuer, nil, registry.Key{Kid: fmt.Sprint("key-", i), Public: newKey(jose.ES256)}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.NewSecret(issuer, registry.Pepper(pepper), registry.ClientSecret, time.Time{}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if one.Keys[0].Kid != "key-0" || one.Secrets[0].ID == two.Secrets[0].ID {
		t.Error("two copies of a client share what was added to each")
	}
}

func TestNewSecret(t *testing.T) {
	issuer := newIssuer(t, "oauth2")
	client := &registry.Client{}
	seen := map[string]bool{}
	keyed := newIssuer(t, "thales-etp")
	for kind, prefix := range map[registry.SecretKind]string{registry.ClientSecret: "mns_", registry.APIKey: "mnk_"} {
		holder := map[registry.SecretKind]*registry.Issuer{registry.ClientSecret: issuer, registry.APIKey: keyed}[kind]
		secret, text, err := client.NewSecret(holder, registry.Pepper(pepper), kind, noon.Add(time.Hour), noon)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(text, prefix) || len(text) != 4+43 || seen[text] || seen[secret.ID] || strings.Contains(text, secret.ID) {
			t.Errorf("secret %s, text %s", secret.ID, text)
		}
		if len(secret.ID) != 16 || strings.Trim(secret.ID, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("the ID %q is not 16 characters of base32", secret.ID)
		}
		seen[text], seen[secret.ID] = true, true
		if secret.Kind != kind || secret.Digest != registry.Pepper(pepper).Digest(text) || !secret.Created.Equal(noon) || !secret.NotAfter.Equal(noon.Add(time.Hour)) || !secret.LiveAt(noon) {
			t.Errorf("registered %+v", secret)
		}
		if client.Secrets[len(client.Secrets)-1] != secret {
			t.Error("not registered")
		}
	}
	_, _, err := client.NewSecret(keyed, registry.Pepper(pepper), registry.APIKey, noon, noon)
	wantProblem(t, "over when it begins", err, "must be in the future")
	for _, c := range []struct {
		issuer  *registry.Issuer
		kind    registry.SecretKind
		problem string
	}{
		{keyed, registry.ClientSecret, "uses no client secrets"}, {issuer, registry.APIKey, "uses no API keys"}, {issuer, "other", "kind is"},
	} {
		_, _, err := client.NewSecret(c.issuer, registry.Pepper(pepper), c.kind, time.Time{}, noon)
		wantProblem(t, "a kind that nobody could use", err, c.problem)
	}
	for len(client.Secrets) < 32 {
		if _, _, err := client.NewSecret(keyed, registry.Pepper(pepper), registry.APIKey, time.Time{}, noon); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = client.NewSecret(keyed, registry.Pepper(pepper), registry.APIKey, time.Time{}, noon)
	wantProblem(t, "too many", err, "at most 32 secrets")
}

func TestClientCheck(t *testing.T) {
	type attributes = map[string]registry.Attribute
	list := func(texts ...string) registry.Attribute { return registry.Attribute{List: texts, IsList: true} }
	bolt := func(edit func(*registry.Client)) *registry.Client {
		c := &registry.Client{ID: "shop", Scope: oauth.Scope{"openid", "roles"}}
		edit(c)
		return c
	}
	many := attributes{}
	for i := range 65 {
		many[fmt.Sprint("a", i)] = registry.Attribute{}
	}
	words := make(oauth.Scope, 65)
	for i := range words {
		words[i] = fmt.Sprint("w", i)
	}
	for _, c := range []struct {
		name, profile string
		client        *registry.Client
		problem       string
	}{
		{"good", "boltpay", bolt(func(*registry.Client) {}), ""},
		{"no id", "boltpay", bolt(func(c *registry.Client) { c.ID = "" }), "does not fit profile boltpay: it wants 1 to 128 characters (visible)"},
		{"id too short", "thales-d1", &registry.Client{ID: "ACME"}, "it wants exactly 10 characters (url-safe)"},
		{"id too long", "thales-d1", &registry.Client{ID: "ACMEGATEWAY"}, "it wants exactly 10"},
		{"id of other characters", "thales-d1", &registry.Client{ID: "ACME GW 01"}, "(url-safe)"},
		{"name too long", "boltpay", bolt(func(c *registry.Client) { c.Name = strings.Repeat("n", 257) }), "at most 256 bytes"},
		{"64 words of scope", "oauth2", &registry.Client{ID: "c", Scope: words[:64]}, ""},
		{"65 words of scope", "oauth2", &registry.Client{ID: "c", Scope: words}, "at most 64 words"},
		{"scope too long", "oauth2", &registry.Client{ID: "c", Scope: oauth.Scope{strings.Repeat("a", 2049)}}, "2048 bytes"},
		{"scope word with a blank", "oauth2", &registry.Client{ID: "c", Scope: oauth.Scope{"a b"}}, "scope words are printable ASCII"},
		{"empty scope word", "oauth2", &registry.Client{ID: "c", Scope: oauth.Scope{""}}, "scope words are printable ASCII"},
		{"scope word with a quote", "oauth2", &registry.Client{ID: "c", Scope: oauth.Scope{`a"b`}}, "scope words are printable ASCII"},
		{"scope word twice", "oauth2", &registry.Client{ID: "c", Scope: oauth.Scope{"a", "a"}}, "each once"},
		{"scope word that the profile has not", "boltpay", bolt(func(c *registry.Client) { c.Scope = oauth.Scope{"root"} }), `no scope word "root"; it has openid, accountId`},
		{"grant that the profile has not", "boltpay", bolt(func(c *registry.Client) { c.Grants = []oauth.GrantType{oauth.JWTBearer} }), "does not serve grant"},
		{"grant that it has", "boltpay", bolt(func(c *registry.Client) { c.Grants = []oauth.GrantType{oauth.ClientCredentials} }), ""},
		{"attributes", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"roles": list("a"), "username": {Text: "u"}} }), ""},
		{"an empty list", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"roles": list()} }), ""},
		{"text for a list", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"roles": {Text: "a"}} }), "attribute roles is a list"},
		{"list for a text", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"username": list("a")} }), "attribute username is one text, not a list"},
		{"unknown attribute", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"role": {Text: "a"}} }), `uses no attribute "role" here; it uses accountId, entityUser`},
		{"attribute where none is used", "thales-d1", &registry.Client{ID: clientID, Attributes: attributes{"x": {}}}, `so "x" would have no effect`},
		{"text too long", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"username": {Text: strings.Repeat("x", 1025)}} }), "username is too long"},
		{"list too long", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"roles": list(words...)} }), "roles is too long"},
		{"list item too long", "boltpay", bolt(func(c *registry.Client) { c.Attributes = attributes{"roles": list(strings.Repeat("x", 257))} }), "roles is too long"},
		{"too many attributes", "boltpay", bolt(func(c *registry.Client) { c.Attributes = many }), "at most 64 attributes"},
	} {
		wantProblem(t, c.name, c.client.Check(newIssuer(t, c.profile)), c.problem)
	}
}

func TestAccountCheck(t *testing.T) {
	trID := map[string]registry.Attribute{"trId": {Text: "40012345678"}}
	for _, c := range []struct {
		name, profile string
		account       registry.Account
		problem       string
	}{
		{"good", "thales-etp", registry.Account{ID: "shop-1", Client: "c", Attributes: trID}, ""},
		{"profile without accounts", "boltpay", registry.Account{ID: "shop-1", Client: "c"}, "profile boltpay knows no accounts"},
		{"no id", "thales-etp", registry.Account{Client: "c", Attributes: trID}, "must be 1 to 128 characters"},
		{"id too long", "thales-etp", registry.Account{ID: strings.Repeat("m", 129), Client: "c", Attributes: trID}, "must be 1 to 128 characters"},
		{"no client", "thales-etp", registry.Account{ID: "shop-1", Attributes: trID}, "client must name the client"},
		{"attribute missing", "thales-etp", registry.Account{ID: "shop-1", Client: "c"}, "attribute trId is required"},
		{"attribute a list", "thales-etp", registry.Account{ID: "shop-1", Client: "c", Attributes: map[string]registry.Attribute{"trId": {List: []string{"4"}, IsList: true}}}, "trId is one text"},
		{"attribute empty", "thales-etp", registry.Account{ID: "shop-1", Client: "c", Attributes: map[string]registry.Attribute{"trId": {}}}, "attribute trId is required"},
		{"attribute of another form", "thales-etp", registry.Account{ID: "shop-1", Client: "c", Attributes: map[string]registry.Attribute{"trId": {Text: "abc"}}}, "it wants exactly 11 characters (digits)"},
		{"unknown attribute", "thales-etp", registry.Account{ID: "shop-1", Client: "c", Attributes: map[string]registry.Attribute{"trId": {Text: "40012345678"}, "x": {}}}, `uses no attribute "x"`},
	} {
		wantProblem(t, c.name, c.account.Check(newIssuer(t, c.profile)), c.problem)
	}
}

func TestItemCheck(t *testing.T) {
	for _, c := range []struct {
		name, profile string
		item          registry.Item
		problem       string
	}{
		{"good", "thales-etp", registry.Item{ID: "card_1", Account: "m", Kind: "visa"}, ""},
		{"profile without items", "oauth2", registry.Item{ID: "card_1", Account: "m", Kind: "visa"}, "knows no items"},
		{"no id", "thales-etp", registry.Item{Account: "m", Kind: "visa"}, "must be 1 to 128 characters"},
		{"id too long", "thales-etp", registry.Item{ID: strings.Repeat("c", 129), Account: "m", Kind: "visa"}, "must be 1 to 128 characters"},
		{"id of other characters", "thales-etp", registry.Item{ID: "card 1", Account: "m", Kind: "visa"}, "must be 1 to 128 characters"},
		{"a card number", "thales-etp", registry.Item{ID: "4111111111111111", Account: "m", Kind: "visa"}, "411111******1111 has the form of a card number"},
		{"a card number in groups", "thales-etp", registry.Item{ID: "3782-822463-10005", Account: "m", Kind: "visa"}, "has the form of a card number"},
		{"digits of another form", "thales-etp", registry.Item{ID: "4111111111111112", Account: "m", Kind: "visa"}, ""},
		{"no account", "thales-etp", registry.Item{ID: "card_1", Kind: "visa"}, "account must name its merchant"},
		{"no kind", "thales-etp", registry.Item{ID: "card_1", Account: "m"}, "kind must be a lower-case name such as visa or mastercard"},
		{"kind in upper case", "thales-etp", registry.Item{ID: "card_1", Account: "m", Kind: "VISA"}, "kind must be a lower-case name such as visa or mastercard"},
		{"kind too long", "thales-etp", registry.Item{ID: "card_1", Account: "m", Kind: strings.Repeat("v", 33)}, "kind must be a lower-case name such as visa or mastercard"},
	} {
		wantProblem(t, c.name, c.item.Check(newIssuer(t, c.profile)), c.problem)
	}
}

func isOnboarding(err error) bool {
	var e *registry.InvalidError
	return errors.As(err, &e)
}

func TestOtherErrorsAreNotTheOperators(t *testing.T) {
	for _, err := range []error{nil, errors.New("disk full"), registry.ErrConflict, &registry.KeyTakenError{Kid: "k"}} {
		if isOnboarding(err) {
			t.Errorf("%v", err)
		}
	}
	taken := (&registry.KeyTakenError{Issuer: "d1", Client: "c", Kid: "k", Environment: "prd"}).Error()
	if want := `the key is registered already: key "k" of client "c" of issuer "d1", environment "prd"`; taken != want {
		t.Errorf("%s", taken)
	}
}
