package interop

import (
	"net/url"
	"testing"
)

// TestOAuth4WebAPIIntrospection: a real client introspects its token, in plain JSON and signed,
// revokes it, and sees that it is inactive.
func TestOAuth4WebAPIIntrospection(t *testing.T) {
	needNode("oauth4webapi")(t)
	id, stranger := oauth2AS.newClient(t, newID()), oauth2AS.newClient(t, newID())
	secret, strangers := oauth2AS.newSecret(t, id), oauth2AS.newSecret(t, stranger)
	got := post(t, oauth2AS.endpoint(t), url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}})
	type asking struct {
		Issuer   string `json:"issuer"`
		ClientID string `json:"client_id"`
		Secret   string `json:"secret"`
		Token    string `json:"token"`
		Revoke   bool   `json:"revoke"`
		Signed   bool   `json:"signed"`
	}
	ask := asking{Issuer: oauth2AS.url(t), ClientID: id, Secret: secret, Token: got.AccessToken}
	signed, tampered, nosy, wrong, revoke, after := ask, ask, ask, ask, ask, ask
	signed.Signed, tampered.Token, revoke.Revoke = true, tamperClaims(ask.Token), true
	nosy.ClientID, nosy.Secret, wrong.Secret = stranger, strangers, strangers
	afterSigned := signed
	type said struct {
		Active   bool   `json:"active"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		Done     bool   `json:"done"`
		Error    string `json:"error"`
	}
	good := said{Active: true, ClientID: id, Scope: scopes[oauth2AS]}
	steps := []struct {
		name string
		asking
		want said
	}{
		{"good", ask, good},
		{"good, signed", signed, good},
		{"tampered", tampered, said{}},
		{"another's token", nosy, said{}},
		{"wrong secret", wrong, said{Error: "invalid_client"}},
		{"revoke", revoke, said{Done: true}},
		{"revoked", after, said{}},
		{"revoked, signed", afterSigned, said{}},
		{"revoke once more", revoke, said{Done: true}},
	}
	var work []asking
	for _, s := range steps {
		work = append(work, s.asking)
	}
	var results []said
	askNode(t, "oauth4webapi-introspect.mjs", "", work, &results)
	if len(results) != len(steps) {
		t.Fatalf("%d results for %d", len(results), len(steps))
	}
	for n, s := range steps {
		if results[n] != s.want {
			t.Errorf("%s: %+v, want %+v", s.name, results[n], s.want)
		}
	}
}
