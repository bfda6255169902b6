package authority_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// The keys of trusted issuers.
var (
	providerKey   = newKey(jose.ES256)
	otherProvider = newKey(jose.ES256)
	providerRSA   = newKey(jose.RS256)
)

const providerKid = "provider-1"

// trustedKeys are the keys of trusted issuers, by name and kid.
type trustedKeys struct {
	keys  map[string]map[string]*jose.PublicKey
	err   error
	asked int
	newer *jose.PublicKey // replaces a key whose signatures do not verify
}

func (k *trustedKeys) Newer(context.Context, *registry.TrustedIssuer, string, string, *jose.PublicKey) *jose.PublicKey {
	return k.newer
}

func (k *trustedKeys) Key(_ context.Context, t *registry.TrustedIssuer, kid, _ string) (*jose.PublicKey, error) {
	k.asked++
	if k.err != nil {
		return nil, k.err
	}
	if key := k.keys[t.Name][kid]; key != nil {
		return key, nil
	}
	return nil, registry.ErrNotFound
}

// provider is a trusted issuer with a token of the shape that the product makes.
type provider struct {
	trusted registry.TrustedIssuer
	key     crypto.Signer
	// identity is what the client is registered as.
	identity map[string]string
	header   string
	claims   string
}

// providers are the shapes of real tokens: Keycloak 26 (client credentials), a projected token of a
// Kubernetes service account, the OIDC token of a GitHub Actions job, and a JWT-SVID of SPIRE.
var providers = map[string]provider{
	"keycloak": {
		trusted: registry.TrustedIssuer{Kind: registry.TrustedJWT, Issuer: "https://sso.example/realms/partners", Claims: []string{"azp"},
			Audience: []string{"stg"}, MaxLifetime: 15 * time.Minute, Replay: platform.ReplayOnce},
		key: providerKey, identity: map[string]string{"azp": "acme-gateway"},
		header: `{"alg":"ES256","typ":"JWT","kid":"provider-1"}`,
		claims: `{"exp":EXP,"iat":IAT,"jti":"trrtcc:JTI","iss":"https://sso.example/realms/partners","aud":"stg","sub":"3f2a9c1e-7a0b-4d53-9d0e-0f6f1f0e2a11",
			"typ":"Bearer","azp":"acme-gateway","acr":"1","allowed-origins":["/*"],"realm_access":{"roles":["default-roles-partners","offline_access"]},
			"scope":"profile email","email_verified":false,"clientHost":"10.0.0.7","preferred_username":"service-account-acme-gateway",
			"clientAddress":"10.0.0.7","client_id":"acme-gateway"}`,
	},
	"kubernetes": {
		trusted: registry.TrustedIssuer{Kind: registry.TrustedKubernetes, Issuer: "https://kubernetes.default.svc.cluster.local", Claims: []string{"sub"},
			MaxLifetime: time.Hour, Replay: platform.ReplayUntilExp},
		key: providerRSA, identity: map[string]string{"sub": "system:serviceaccount:payments:gateway"},
		header: `{"alg":"RS256","kid":"provider-1"}`,
		claims: `{"aud":["OURS"],"exp":EXP,"iat":IAT,"iss":"https://kubernetes.default.svc.cluster.local","jti":"JTI",
			"kubernetes.io":{"namespace":"payments","node":{"name":"worker-3","uid":"9d1b"},"pod":{"name":"gateway-7c9f","uid":"5a7e"},
			"serviceaccount":{"name":"gateway","uid":"c4d2"},"warnafter":IAT},"nbf":IAT,"sub":"system:serviceaccount:payments:gateway"}`,
	},
	"github": {
		trusted: registry.TrustedIssuer{Kind: registry.TrustedJWT, Issuer: "https://token.actions.githubusercontent.com", Claims: []string{"repository_id", "environment"},
			MaxLifetime: 15 * time.Minute, Replay: platform.ReplayOnce},
		key: providerRSA, identity: map[string]string{"repository_id": "74931337", "environment": "prod", "ref": "refs/heads/main"},
		header: `{"typ":"JWT","alg":"RS256","x5t":"ykNaY4qM_ta4k2TgZOCEYLkcYlA","kid":"provider-1"}`,
		claims: `{"jti":"JTI","sub":"repo:octo-org/octo-repo:environment:prod","aud":"OURS","ref":"refs/heads/main","sha":"1f3c","repository":"octo-org/octo-repo",
			"repository_owner":"octo-org","repository_owner_id":"65","run_id":"1","run_number":"10","run_attempt":"2","repository_visibility":"private","repository_id":"74931337",
			"actor_id":"12","actor":"octocat","workflow":"deploy","head_ref":"","base_ref":"","event_name":"push","ref_protected":"true","ref_type":"branch",
			"workflow_ref":"octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main","workflow_sha":"1f3c","job_workflow_ref":"octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
			"job_workflow_sha":"1f3c","runner_environment":"github-hosted","environment":"prod","environment_node_id":"EN_kw","enterprise":"e","enterprise_id":"2",
			"repo_property_team":"pay","check_run_id":"5","iss":"https://token.actions.githubusercontent.com","nbf":NBF,"exp":EXP,"iat":IAT}`,
	},
	"spiffe": {
		trusted: registry.TrustedIssuer{Kind: registry.TrustedSPIFFE, TrustDomain: "prod.example", Claims: []string{"sub"}, MaxLifetime: 15 * time.Minute, Replay: platform.ReplayUntilExp},
		key:     providerKey, identity: map[string]string{"sub": "spiffe://prod.example/ns/payments/sa/gateway"},
		header: `{"alg":"ES256","kid":"provider-1","typ":"JWT"}`,
		claims: `{"aud":["OURS"],"exp":EXP,"iat":IAT,"sub":"spiffe://prod.example/ns/payments/sa/gateway"}`,
	},
}

// trusting is a fixture with a trusted issuer and a client that has an identity there.
type trusting struct {
	*fixture
	provider
	keys     *trustedKeys
	name     string
	trusted  *registry.TrustedIssuer
	identity *registry.Identity
}

func newTrusting(t testing.TB, profileName, providerName string) *trusting {
	t.Helper()
	h := &trusting{fixture: newFixture(t, profileName), provider: providers[providerName], name: providerName,
		keys: &trustedKeys{keys: map[string]map[string]*jose.PublicKey{}}}
	h.Authority.TrustedKeys = h.keys
	h.trusted = h.trust(providerName)
	h.identity = h.identify(clientID, h.trusted, h.provider.identity)
	return h
}

// trust adds the trusted issuer of a provider.
func (h *trusting) trust(name string) *registry.TrustedIssuer {
	t := providers[name].trusted
	t.Name, t.Algs = name, []string{"ES256", "RS256"}
	if t.Audience != nil && h.issuer.Profile.Name == "oauth2" {
		t.Audience = []string{"stg", h.issuer.URL}
	}
	h.issuer.Trusted = append(h.issuer.Trusted, &t)
	h.keys.keys[name] = map[string]*jose.PublicKey{providerKid: publicOf(providers[name].key)}
	return &t
}

// identify registers an identity of a client.
func (h *trusting) identify(client string, t *registry.TrustedIssuer, claims map[string]string) *registry.Identity {
	c := h.registry.clients[client]
	c.Identities = append(c.Identities, registry.Identity{ID: "identity-" + client, Trusted: t.Name, Claims: claims, Created: noon,
		Digest: h.Pepper.Identity(t, func(claim string) string { return claims[claim] })})
	return &c.Identities[len(c.Identities)-1]
}

// token begins with one as the provider makes it.
func (h *trusting) token() *spec {
	s := &spec{fixture: h.fixture, key: h.provider.key, header: map[string]any{}, claims: map[string]any{}}
	stamps := strings.NewReplacer("EXP", stampOf(h.now.Add(5*time.Minute)), "IAT", stampOf(h.now), "NBF", stampOf(h.now.Add(-30*time.Second)), "JTI", rand.Text(), "OURS", h.issuer.URL)
	for text, into := range map[string]*map[string]any{h.header: &s.header, stamps.Replace(h.provider.claims): &s.claims} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(into); err != nil {
			panic(err)
		}
	}
	return s
}

func stampOf(t time.Time) string { return string(must(json.Marshal(t.Unix()))) }

// trustedUses are the profiles and uses under which tokens of trusted issuers are tested.
var trustedUses = []use{uses[0], uses[2], uses[3]}

// each tests with each provider in each use.
func each(t *testing.T, test func(t *testing.T, h *trusting, u use)) {
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		for _, u := range trustedUses {
			t.Run(name+" "+u.name, func(t *testing.T) { test(t, newTrusting(t, u.profile, name), u) })
		}
	}
}

// refused wants a token to be refused by a rule, in the words that are those of the use.
func (h *trusting) refused(t *testing.T, u use, s *spec, rule string) *oauth.Error {
	t.Helper()
	req := u.request(s.String())
	req.ClientID = s.clientID
	token, err := h.exchange(req)
	e, refusal := refusalOf(t, token, err)
	if want := map[bool]oauth.Code{true: oauth.InvalidGrant, false: oauth.InvalidClient}[u.isGrant]; e.Code != want || refusal.Rule != rule {
		t.Errorf("refused as %s by %q (%v), want %s by %q", e.Code, refusal.Rule, refusal, want, rule)
	}
	return e
}
