package platform

import (
	"slices"
	"strings"
	"testing"

	"moneyer/oauth"
)

// manyWays has sets of every kind.
func manyWays() *Policy {
	sets := func(texts ...string) (sets []AuthSet) {
		for _, text := range texts {
			var set AuthSet
			_ = set.UnmarshalText([]byte(text))
			sets = append(sets, set)
		}
		return sets
	}
	return &Policy{Grants: []Grant{
		{Type: oauth.ClientCredentials, ClientAuth: sets("client_secret_basic + api_key", "client_secret_basic", "private_key_jwt", "api_key", "tls_client_auth", "api_key + self_signed_tls_client_auth")},
		{Type: oauth.JWTBearer, ClientAuth: sets("none", "private_key_jwt", "tls_client_auth")},
	}}
}

func TestChoose(t *testing.T) {
	secret, key := Held{ID: true, Secret: true}, Held{ID: true, Key: true}
	for name, row := range map[string]struct {
		held  Held
		grant oauth.GrantType
		auth  oauth.ClientAuth
		want  string // grant and set; empty for none
	}{
		"a secret":                          {secret, "", "", "client_credentials client_secret_basic"},
		"a secret without id":               {Held{Secret: true}, "", "", ""},
		"a secret and an API key":           {Held{ID: true, Secret: true, APIKey: true}, "", "", "client_credentials client_secret_basic + api_key"},
		"an API key":                        {Held{APIKey: true}, "", "", "client_credentials api_key"},
		"a key":                             {key, "", "", "client_credentials private_key_jwt"},
		"a key for the grant":               {key, oauth.JWTBearer, "", "jwt-bearer none"},
		"a key twice":                       {key, oauth.JWTBearer, "private_key_jwt", "jwt-bearer private_key_jwt"},
		"a key without id":                  {Held{Key: true}, "", "", ""},
		"a provider's assertion":            {Held{Assertion: true}, "", "", "client_credentials private_key_jwt"},
		"a provider's as the grant":         {Held{Assertion: true}, oauth.JWTBearer, "", "jwt-bearer none"},
		"a provider's is not used twice":    {Held{ID: true, Assertion: true}, oauth.JWTBearer, "private_key_jwt", ""},
		"a provider's beside a key":         {Held{ID: true, Key: true, Assertion: true}, oauth.JWTBearer, "private_key_jwt", "jwt-bearer private_key_jwt"},
		"a certificate":                     {Held{ID: true, Certificate: true}, "", "", "client_credentials tls_client_auth"},
		"a certificate without id":          {Held{Certificate: true}, "", "", ""},
		"an API key and a certificate":      {Held{APIKey: true, Certificate: true}, "", "self_signed_tls_client_auth + api_key", "client_credentials self_signed_tls_client_auth + api_key"},
		"a provider's and a certificate":    {Held{Assertion: true, Certificate: true}, oauth.JWTBearer, "tls_client_auth", "jwt-bearer tls_client_auth"},
		"a set in another order":            {Held{ID: true, Secret: true, APIKey: true}, "", "api_key+client_secret_basic", "client_credentials api_key + client_secret_basic"},
		"a certificate that issuers demand": {Held{ID: true, Secret: true, Certificate: true}, "", "client_secret_basic + tls_client_auth", "client_credentials client_secret_basic + tls_client_auth"},
		"beside the grant, as demanded":     {Held{ID: true, Key: true, Certificate: true}, "", "self_signed_tls_client_auth", "jwt-bearer self_signed_tls_client_auth"},
		"the first, though more is there":   {Held{ID: true, Secret: true, Certificate: true}, "", "", "client_credentials client_secret_basic"},
		"none, as the grant's":              {key, "", "none", "jwt-bearer none"},
		"a set that is not there":           {Held{ID: true, Secret: true, Key: true}, "", "client_secret_basic + private_key_jwt", ""},
		"a method that is not there":        {secret, "", "client_secret_post", ""},
		"a method twice":                    {Held{ID: true, Secret: true, APIKey: true}, "", "client_secret_basic + client_secret_basic", ""},
		"a grant that is not there":         {secret, "password", "", ""},
		"nothing":                           {Held{}, "", "", ""},
	} {
		grant, set, ok := manyWays().Choose(row.held, row.grant, row.auth)
		got := ""
		if ok {
			got = strings.TrimPrefix(string(grant.Type), "urn:ietf:params:oauth:grant-type:") + " " + set.String()
		}
		if got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

func TestNeeds(t *testing.T) {
	names := Names{ID: []string{"i"}, Secret: []string{"s"}, APIKey: []string{"a"}, Key: []string{"k", "kid"}, Certificate: []string{"c"}}
	want := []string{"i, s and a", "i and s", "i, k and kid", "a", "i and c", "a and c", "i, k, kid and c"}
	if got := manyWays().Needs(names); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
