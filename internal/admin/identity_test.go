package admin_test

import (
	"net/url"
	"strings"
	"testing"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

const identitiesPath = "/issuers/d1/clients/merchant01/identities"

// withTrusted is an API with a client whose issuer trusts another.
func withTrusted(t testing.TB) *testAPI {
	w := newTestAPI(t, trustKeycloak)
	w.do("POST", "/issuers/d1/clients", `{"id":"merchant01"}`, 201)
	return w
}

func trustKeycloak(w *testAPI) {
	for _, i := range w.issuers {
		if i.Name == "d1" {
			i.Trusted = []*registry.TrustedIssuer{{Name: "keycloak", Issuer: "https://sso.example/realms/a", Kind: registry.TrustedJWT, Claims: []string{"azp"}}}
		}
	}
}

func TestIdentityLife(t *testing.T) {
	w := withTrusted(t)
	var made, set adminapi.Identity
	decode(t, w.do("POST", identitiesPath, `{"trusted":"keycloak","claims":{"azp":"merchant","tier":"gold"},"not_after":"2027-01-01T00:00:00Z"}`, 201), &made)
	if made.Trusted != "keycloak" || len(made.Claims) != 2 || made.Claims["azp"] != "merchant" || made.NotAfter.Year() != 2027 || made.ID == "" || !made.Created.Equal(start) {
		t.Errorf("the new identity is %+v", made)
	}
	digest := w.api.Pepper.Identity(w.issuers[2].TrustedIssuer("keycloak"), func(string) string { return "merchant" })
	found := func(want bool, after string) *registry.Identity {
		t.Helper()
		c, err := w.db.ClientByDigest(t.Context(), "d1", digest)
		if (err == nil) != want {
			t.Fatalf("after %s: %+v, %v", after, c, err)
		}
		if err != nil {
			return nil
		}
		return &c.Identities[0]
	}
	if i := found(true, "add"); i.ID != made.ID || !i.LiveAt(start) {
		t.Errorf("found %+v", i)
	}
	path := identitiesPath + "/" + made.ID
	w.do("PATCH", path, `{"disabled":true}`, 200)
	if found(true, "disable").LiveAt(start) {
		t.Error("a disabled identity is live")
	}
	w.db.Touch("d1", "merchant01", made.ID, start)
	w.do("PATCH", path, `{"disabled":false}`, 200)
	decode(t, w.do("PATCH", path, `{"not_after":null}`, 200), &set)
	if !found(true, "enable").LiveAt(start) || !set.NotAfter.IsZero() || !set.LastUsed.Equal(start) || set.Unused != "" {
		t.Errorf("the changed identity is %+v", set)
	}
	w.issuers[2].Trusted[0].Claims = []string{"sub"}
	for _, list := range [][]adminapi.Identity{get[adminapi.Page[adminapi.Identity]](w, identitiesPath).Items, get[adminapi.Client](w, "/issuers/d1/clients/merchant01").Identities} {
		if len(list) != 1 || list[0].ID != made.ID || list[0].Claims["tier"] != "gold" || !strings.Contains(list[0].Unused, "by other claims") {
			t.Errorf("the identities are shown as %+v", list)
		}
	}
	if strings.Contains(w.do("GET", identitiesPath, "", 200), "digest") {
		t.Error("the digest is shown")
	}
	w.do("DELETE", path, "", 204)
	found(false, "remove")
	w.refused("DELETE", path, "", 404, "identity")
	checkEntries(t, w, "client.add", "identity.add", "identity.disable", "identity.enable", "identity.set", "identity.remove")
	if e := w.entries()[1]; e.Object != "clients/merchant01/identities/"+made.ID || e.Client != "merchant01" {
		t.Errorf("the entry is %+v", e)
	}
}

func TestIdentityRefusals(t *testing.T) {
	w := withTrusted(t)
	w.do("POST", identitiesPath, `{"trusted":"keycloak","claims":{"azp":"merchant"}}`, 201)
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{`{}`, 400, "are needed"},
		{`{"trusted":"keycloak"}`, 400, "are needed"},
		{`{"trusted":"keycloak","claims":["azp"]}`, 400, "claims:"},
		{`{"trusted":"keycloak","claims":{"azp":7}}`, 400, "claims:"},
		{`{"trusted":"keycloak","claims":{"azp":"a","azp":"b"}}`, 400, "azp"},
		{`{"trusted":"keycloak","claims":{"azp":"a"},"digest":"x"}`, 400, "unknown member"},
		{`{"trusted":"okta","claims":{"azp":"a"}}`, 422, "no trusted issuer 'okta'; it has keycloak"},
		{`{"trusted":"keycloak","claims":{"sub":"a"}}`, 422, "claim azp is missing"},
		{`{"trusted":"keycloak","claims":{"azp":"merchant"}}`, 422, "already"},
		{`{"trusted":"keycloak","claims":{"azp":"a"},"not_after":"2020-01-01T00:00:00Z"}`, 422, "in the future"},
	} {
		w.refused("POST", identitiesPath, c.body, c.status, c.text)
	}
	w.do("POST", "/issuers/d1/clients", `{"id":"merchant02"}`, 201)
	w.refused("POST", "/issuers/d1/clients/merchant02/identities", `{"trusted":"keycloak","claims":{"azp":"merchant"}}`, 409,
		"client 'merchant02': these claims of trusted issuer 'keycloak' are registered already: for client 'merchant01' of issuer 'd1'")
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	w.refused("POST", "/issuers/plain/clients/c/identities", `{"trusted":"keycloak","claims":{"azp":"merchant"}}`, 422, "trusts no other issuers")
}

// Subjects, bound tokens and the audience of client assertions are settings of the client.
func TestClientSettingsOfWhoAsks(t *testing.T) {
	w := newTestAPI(t)
	const path = "/issuers/plain/clients/c"
	w.do("POST", "/issuers/plain/clients", `{"id":"c","bound_tokens":"mtls","client_assertion_audience":"issuer-or-endpoint"}`, 201)
	if c := get[adminapi.Page[adminapi.Client]](w, "/issuers/plain/clients").Items[0]; c.BoundTokens != registry.BoundToTLS || c.AssertionAudience != registry.AudienceIssuerOrEndpoint {
		t.Errorf("the list has %+v", c)
	}
	w.do("PATCH", path, `{"name":"x"}`, 200)
	if c := get[adminapi.Client](w, path); c.BoundTokens != registry.BoundToTLS || c.AssertionAudience != registry.AudienceIssuerOrEndpoint {
		t.Errorf("after another change: %+v", c)
	}
	for _, body := range []string{`{"bound_tokens":"","client_assertion_audience":"issuer"}`, `{"bound_tokens":null,"client_assertion_audience":null,"subjects":[]}`} {
		w.do("PATCH", path, `{"bound_tokens":"mtls","client_assertion_audience":"issuer-or-endpoint"}`, 200)
		w.do("PATCH", path, body, 200)
		if c := get[adminapi.Client](w, path); c.BoundTokens != "" || c.AssertionAudience != "" {
			t.Errorf("after %s: %+v", body, c)
		}
	}
	w.refused("PATCH", path, `{"bound_tokens":"dpop"}`, 422, "bound_tokens is 'mtls'")
	w.refused("PATCH", path, `{"client_assertion_audience":"any"}`, 422, "issuer-or-endpoint")
	w.refused("PATCH", path, `{"subjects":["a"]}`, 422, "subjects would have no effect")
	w.refused("PATCH", path, `{"subjects":"a"}`, 400, "subjects:")
	w.refused("PATCH", path, `{"subjects":[7]}`, 400, "subjects:")
	w.do("POST", "/issuers/bolt/clients", `{"id":"b"}`, 201)
	w.refused("PATCH", "/issuers/bolt/clients/b", `{"bound_tokens":"mtls"}`, 422, "no claim cnf")
	w.refused("PATCH", "/issuers/bolt/clients/b", `{"client_assertion_audience":"issuer-or-endpoint"}`, 422, "does not use private_key_jwt")

	named := *w.issuers[2]
	p := *named.Profile
	p.Policy.Assertion.Subject = "registered"
	named.Profile = &p
	w.issuers[2] = &named
	w.do("POST", "/issuers/d1/clients", `{"id":"merchant01","subjects":["CUSTOMER01","CUSTOMER02"]}`, 201)
	if c := get[adminapi.Client](w, "/issuers/d1/clients/merchant01"); len(c.Subjects) != 2 || c.Subjects[1] != "CUSTOMER02" {
		t.Errorf("the client is %+v", c)
	}
	w.do("PATCH", "/issuers/d1/clients/merchant01", `{"subjects":null}`, 200)
	if c := get[adminapi.Client](w, "/issuers/d1/clients/merchant01"); len(c.Subjects) != 0 {
		t.Errorf("the client is %+v", c)
	}
}

// A client is disabled even where it has settings that the configuration no longer uses.
func TestDisableUnderAnotherConfiguration(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c","bound_tokens":"mtls"}`, 201)
	w.issuers[4].Profile = w.issuers[1].Profile
	w.refused("PATCH", "/issuers/plain/clients/c", `{"name":"x","disabled":true}`, 422, "no claim cnf")
	w.do("PATCH", "/issuers/plain/clients/c", `{"disabled":true}`, 200)
	if !get[adminapi.Client](w, "/issuers/plain/clients/c").Disabled {
		t.Error("the client is not disabled")
	}
}

// An administrator cannot bind their own tokens to a certificate by mistake.
func TestBoundTokensOfTheCaller(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/admin/clients", `{"id":"operator","scope":`+quoted(both)+`}`, 201)
	w.refused("PATCH", "/issuers/admin/clients/"+url.PathEscape("operator"), `{"bound_tokens":"mtls"}`, 409, "another administrator")
}

// FuzzCredentials sends anything to what registers certificates and identities.
func FuzzCredentials(f *testing.F) {
	w := withTrusted(f)
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	fuzzBodies(f, w, []target{{"POST", certificatesPath}, {"POST", identitiesPath}, {"PATCH", "/issuers/d1/clients/merchant01"}}, []string{
		`{"certificate":{"kty":"EC","crv":"P-256","x":"AA","y":"AA","x5c":["MIIB"]},"not_after":"2030-01-01T00:00:00Z"}`,
		`{"trusted":"keycloak","claims":{"azp":"merchant","tier":"gold"}}`,
		`{"subjects":["a","b"],"bound_tokens":"mtls","client_assertion_audience":"issuer-or-endpoint"}`,
		`{"subject_dn":"CN=merchant\\, Inc,OU=a+OU=b"}`, `{"san_uri":"spiffe://acme.example/x"}`,
	})
}
