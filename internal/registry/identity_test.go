package registry_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// trusting is an issuer that trusts three others.
func trusting(t testing.TB) *registry.Issuer {
	t.Helper()
	issuer := newIssuer(t, "thales-d1")
	issuer.Trusted = []*registry.TrustedIssuer{
		{Name: "keycloak", Issuer: "https://sso.example/realms/a", Kind: registry.TrustedJWT, Claims: []string{"azp"}},
		{Name: "github", Issuer: "https://token.actions.githubusercontent.com", Kind: registry.TrustedJWT, Claims: []string{"repository_id", "environment"}},
		{Name: "mesh", TrustDomain: "acme.example", Kind: registry.TrustedSPIFFE, Claims: []string{"sub"}},
		{Name: "cluster", Issuer: "https://kubernetes.default.svc", Kind: registry.TrustedKubernetes, Claims: []string{"sub"}},
	}
	return issuer
}

func TestAddIdentity(t *testing.T) {
	issuer := trusting(t)
	type claims = map[string]string
	many := claims{"azp": "a"}
	for i := range 16 {
		many[fmt.Sprint("c", i)] = "x"
	}
	fewer := maps.Clone(many)
	delete(fewer, "c0")
	for _, c := range []struct {
		name, trusted string
		claims        claims
		notAfter      time.Time
		problem       string
	}{
		{"one claim", "keycloak", claims{"azp": "merchant"}, time.Time{}, ""},
		{"with an end", "keycloak", claims{"azp": "merchant"}, noon.Add(time.Hour), ""},
		{"further claims", "keycloak", claims{"azp": "merchant", "tier": "gold two"}, time.Time{}, ""},
		{"two claims", "github", claims{"repository_id": "42", "environment": "prod"}, time.Time{}, ""},
		{"a SPIFFE ID", "mesh", claims{"sub": "spiffe://acme.example/" + strings.Repeat("a", 2048-22)}, time.Time{}, ""},
		{"a service account", "cluster", claims{"sub": "system:serviceaccount:pay:gateway"}, time.Time{}, ""},
		{"16 claims", "keycloak", fewer, time.Time{}, ""},

		{"an unknown trusted issuer", "okta", claims{"azp": "merchant"}, time.Time{}, `no trusted issuer "okta"; it has keycloak, github, mesh, cluster`},
		{"its iss", "https://sso.example/realms/a", claims{"azp": "merchant"}, time.Time{}, "no trusted issuer"},
		{"no claim", "keycloak", nil, time.Time{}, "claim azp is missing: trusted issuer keycloak tells its clients apart by azp"},
		{"one claim of two", "github", claims{"repository_id": "42"}, time.Time{}, "claim environment is missing"},
		{"an empty value", "keycloak", claims{"azp": ""}, time.Time{}, "claim azp is missing"},
		{"an empty further value", "keycloak", claims{"azp": "a", "x": ""}, time.Time{}, "claim x is 1 to 2048 bytes"},
		{"a value that is too long", "keycloak", claims{"azp": strings.Repeat("a", 2049)}, time.Time{}, "claim azp is 1 to 2048 bytes"},
		{"a value that is no text", "keycloak", claims{"azp": "a\xff"}, time.Time{}, "claim azp is"},
		{"a value with a line end", "keycloak", claims{"azp": "a\nb"}, time.Time{}, "claim azp is"},
		{"a claim without a name", "keycloak", claims{"azp": "a", "": "b"}, time.Time{}, "the name of a claim"},
		{"a claim with a blank", "keycloak", claims{"azp": "a", "a b": "b"}, time.Time{}, "the name of a claim"},
		{"iss", "keycloak", claims{"azp": "a", "iss": "b"}, time.Time{}, "claim iss tells no clients apart"},
		{"17 claims", "keycloak", many, time.Time{}, "at most 16 claims"},
		{"another trust domain", "mesh", claims{"sub": "spiffe://acme.example.evil/a"}, time.Time{}, "spiffe://acme.example/..."},
		{"a SPIFFE ID without a path", "mesh", claims{"sub": "spiffe://acme.example/"}, time.Time{}, "spiffe://acme.example/..."},
		{"a SPIFFE ID with a blank", "mesh", claims{"sub": "spiffe://acme.example/a b"}, time.Time{}, "spiffe://acme.example/..."},
		{"a SPIFFE ID with dots", "mesh", claims{"sub": "spiffe://acme.example/a/../b"}, time.Time{}, "spiffe://acme.example/..."},
		{"a secret", "keycloak", claims{"azp": "merchant", "note": "mns_" + strings.Repeat("a", 43)}, time.Time{}, "claim note looks like a secret or a JWT"},
		{"a JWT", "keycloak", claims{"azp": "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}, time.Time{}, "claim azp looks like a secret or a JWT"},
		{"no service account", "cluster", claims{"sub": "gateway"}, time.Time{}, "system:serviceaccount:"},
		{"over when it begins", "keycloak", claims{"azp": "merchant"}, noon, "in the future"},
	} {
		client := &registry.Client{ID: clientID}
		added, err := client.AddIdentity(issuer, registry.Pepper(pepper), c.trusted, c.claims, c.notAfter, noon)
		wantProblem(t, c.name, err, c.problem)
		if c.problem != "" {
			if len(client.Identities) > 0 {
				t.Errorf("%s: registered all the same", c.name)
			}
			continue
		}
		by := issuer.TrustedIssuer(c.trusted)
		digest := registry.Pepper(pepper).Identity(by, func(claim string) string { return c.claims[claim] })
		if len(client.Identities) != 1 || added.Trusted != c.trusted || !maps.Equal(added.Claims, c.claims) || added.Digest != digest ||
			!added.NotAfter.Equal(c.notAfter) || !added.Created.Equal(noon) || client.Identities[0].ID != added.ID || added.ID == "" {
			t.Errorf("%s: registered %+v", c.name, client.Identities)
		}
	}
	_, err := (&registry.Client{}).AddIdentity(newIssuer(t, "oauth2"), registry.Pepper(pepper), "keycloak", claims{"azp": "a"}, time.Time{}, noon)
	wantProblem(t, "an issuer that trusts none", err, "[issuers.d1.trusted.NAME]")
}

func TestAddIdentityTwice(t *testing.T) {
	issuer, client := trusting(t), &registry.Client{ID: clientID}
	add := func(claims map[string]string) (registry.Identity, error) {
		return client.AddIdentity(issuer, registry.Pepper(pepper), "keycloak", claims, time.Time{}, noon)
	}
	first, err := add(map[string]string{"azp": "a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = add(map[string]string{"azp": "a", "tier": "gold"})
	wantProblem(t, "the same azp", err, "an identity with this azp already, as "+first.ID)
	for len(client.Identities) < 32 {
		if _, err := add(map[string]string{"azp": fmt.Sprint(len(client.Identities))}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = add(map[string]string{"azp": "more"})
	wantProblem(t, "too many", err, "at most 32 identities")
}

func TestIdentityUnused(t *testing.T) {
	issuer, client := trusting(t), &registry.Client{ID: clientID}
	i, err := client.AddIdentity(issuer, registry.Pepper(pepper), "github", map[string]string{"repository_id": "42", "environment": "prod", "ref": "main"}, time.Time{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	github := issuer.TrustedIssuer("github")
	for _, c := range []struct {
		edit func()
		want string
	}{
		{func() {}, ""},
		{func() { github.Claims = []string{"environment", "repository_id"} }, ""}, // another order
		{func() { github.Claims = []string{"repository_id"} }, "by other claims"},
		{func() { github.Claims = []string{"repository_id", "environment", "ref"} }, "by other claims"},
		{func() { github.Disabled = true }, "is disabled"},
		{func() { issuer.Trusted = issuer.Trusted[:1] }, "no trusted issuer github"},
	} {
		c.edit()
		if got := i.Unused(issuer, registry.Pepper(pepper)); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("unused because %q, want %q", got, c.want)
		}
	}
}

// No two identities of an issuer have one digest, however their parts are cut.
func TestIdentityDigests(t *testing.T) {
	seen := map[registry.Digest]string{}
	for _, c := range []struct {
		name           string
		claims, values []string
	}{
		{"t", []string{"a"}, []string{"b"}}, {"t", []string{"ab"}, []string{""}}, {"ta", []string{""}, []string{"b"}}, {"t", []string{"a", "b"}, []string{"c", "d"}},
		{"t", []string{"a", "b"}, []string{"d", "c"}}, {"t", []string{"a"}, []string{"c\x00\x00\x00\x01b\x00\x00\x00\x01d"}}, {"u", []string{"a"}, []string{"b"}},
	} {
		digest := registry.Pepper(pepper).Identity(&registry.TrustedIssuer{Name: c.name, Claims: c.claims}, func(claim string) string {
			for i := range c.claims {
				if c.claims[i] == claim {
					return c.values[i]
				}
			}
			return ""
		})
		if other, known := seen[digest]; known {
			t.Errorf("%+v has the digest of %s", c, other)
		}
		seen[digest] = fmt.Sprintf("%+v", c)
	}
}

// changed is an issuer with a copy of its profile.
func changed(t testing.TB, profile string, edit func(*platform.Policy)) *registry.Issuer {
	t.Helper()
	issuer := newIssuer(t, profile)
	p := *issuer.Profile
	edit(&p.Policy)
	issuer.Profile = &p
	return issuer
}

func TestClientCheckOfWhoAsks(t *testing.T) {
	naming := changed(t, "thales-d1", func(p *platform.Policy) { p.Assertion.Subject = platform.SubjectRegistered })
	plain := newIssuer(t, "oauth2")
	unasked := changed(t, "oauth2", func(p *platform.Policy) {
		p.Grants = []platform.Grant{{Type: "client_credentials", ClientAuth: []platform.AuthSet{{"private_key_jwt"}}}}
	})
	subjects := make([]string, 65)
	for i := range subjects {
		subjects[i] = fmt.Sprint("customer-", i)
	}
	for _, c := range []struct {
		name    string
		issuer  *registry.Issuer
		client  registry.Client
		problem string
	}{
		{"subjects", naming, registry.Client{Subjects: []string{"CUSTOMER01", strings.Repeat("c", 256)}}, ""},
		{"64 subjects", naming, registry.Client{Subjects: subjects[:64]}, ""},
		{"65 subjects", naming, registry.Client{Subjects: subjects}, "at most 64 subjects"},
		{"subjects where none are named", newIssuer(t, "thales-d1"), registry.Client{Subjects: subjects[:1]}, "so subjects would have no effect"},
		{"an empty subject", naming, registry.Client{Subjects: []string{""}}, "a subject is 1 to 256"},
		{"a long subject", naming, registry.Client{Subjects: []string{strings.Repeat("c", 257)}}, "a subject is 1 to 256"},
		{"a subject with a blank", naming, registry.Client{Subjects: []string{"a b"}}, "a subject is 1 to 256"},
		{"a subject twice", naming, registry.Client{Subjects: []string{"a", "b", "a"}}, `subject "a" is named twice`},
		{"the client as its subject", naming, registry.Client{Subjects: []string{clientID}}, "is named twice"},
		{"a JWT as a subject", naming, registry.Client{Subjects: []string{"eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}}, "looks like a secret"},

		{"bound tokens", plain, registry.Client{BoundTokens: registry.BoundToTLS}, ""},
		{"bound to something else", plain, registry.Client{BoundTokens: "dpop"}, `bound_tokens is "mtls"`},
		{"bound tokens without cnf", demanding(t, "thales-d1", "tls_client_auth"), registry.Client{BoundTokens: registry.BoundToTLS}, "profile thales-d1 has no claim cnf"},
		{"bound tokens where none is asked for", unasked, registry.Client{BoundTokens: registry.BoundToTLS}, "issuer d1 asks for no client certificate"},

		{"the endpoint as audience", plain, registry.Client{AssertionAudience: registry.AudienceIssuerOrEndpoint}, ""},
		{"another audience", plain, registry.Client{AssertionAudience: "any"}, "client_assertion_audience is issuer, which is the default, or issuer-or-endpoint"},
		{"an audience of no assertions", newIssuer(t, "thales-d1"), registry.Client{AssertionAudience: registry.AudienceIssuerOrEndpoint}, "does not use private_key_jwt"},
	} {
		c.client.ID = clientID
		wantProblem(t, c.name, c.client.Check(c.issuer), c.problem)
	}
}
