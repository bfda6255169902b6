package authority_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// TestTrustedTokens: what the products make is good for a token of the client whose identity it has,
// as the grant and as client authentication; the ledger names the identity, and its use is noted.
func TestTrustedTokens(t *testing.T) {
	each(t, func(t *testing.T, h *trusting, u use) {
		s := h.token()
		if u.name == "client-auth" && h.name == "keycloak" {
			s.claims["aud"] = h.issuer.URL
		}
		token := h.gets(t, u.request(s.String()))
		entry := h.tokens(t)[0]
		if token.Client != clientID || claimsOf(t, token)["sub"] != clientID || entry.Client != clientID || entry.Subject != clientID || entry.Credential != h.identity.ID {
			t.Errorf("client %q, sub %q, entry %+v", token.Client, claimsOf(t, token)["sub"], entry)
		}
		if !slices.Contains(h.registry.touched, "d1 "+clientID+" "+h.identity.ID) {
			t.Errorf("noted: %q", h.registry.touched)
		}
	})
}

// TestSVIDByItsOwnType: client_assertion_type jwt-spiffe is for JWT-SVIDs, which may come as any JWT,
// too; another token is refused by it, a client's own as well.
func TestSVIDByItsOwnType(t *testing.T) {
	h := newTrusting(t, "oauth2", "spiffe")
	kubernetes := newTrusting(t, "oauth2", "kubernetes")
	svid := func(assertion string) *authority.Request {
		req := clientAuthRequest(assertion)
		req.Credentials[0].AssertionType = oauth.AssertionTypeSPIFFE
		return req
	}
	h.gets(t, svid(h.token().String()))
	for name, refused := range map[string]error{
		"a client's own": errorOf(h.exchange(svid(h.assertion()))),
		"another kind":   errorOf(kubernetes.exchange(svid(kubernetes.token().String()))),
	} {
		if e, refusal := refusalOf(t, nil, refused); e.Code != oauth.InvalidClient || refusal.Rule != "client_assertion_type" {
			t.Errorf("%s: %v", name, refused)
		}
	}
}

func errorOf(_ *authority.AccessToken, err error) error { return err }

// trustedCases are refused in every use, with the provider that stands for all.
var trustedCases = []struct {
	name, provider string
	edit           func(h *trusting, s *spec)
	rule           string
}{
	{"iss with a slash", "keycloak", edited(claim("iss", "https://sso.example/realms/partners/")), "iss"},
	{"iss in other case", "keycloak", edited(claim("iss", "https://SSO.example/realms/partners")), "iss"},
	{"no iss", "keycloak", edited(without("iss")), "iss"},
	{"another trust domain", "spiffe", edited(claim("sub", "spiffe://dev.example/ns/payments/sa/gateway")), "iss"},
	{"no SPIFFE ID", "spiffe", edited(claim("sub", "spiffe://prod.example")), "iss"},
	{"no sub", "spiffe", edited(without("sub")), "iss"},
	{"disabled trusted issuer", "keycloak", func(h *trusting, _ *spec) { h.trusted.Disabled = true }, "trusted issuer enabled"},
	{"unknown kid", "keycloak", edited(header("kid", "provider-2")), "kid"},
	{"a key of the client", "keycloak", func(_ *trusting, s *spec) { s.key, s.header["kid"] = partnerKey, kid }, "kid"},
	{"blocked key", "keycloak", func(h *trusting, _ *spec) { h.BlockedKeys = []string{publicOf(providerKey).Thumbprint()} }, "kid"},
	{"jku", "keycloak", edited(header("jku", "https://evil.example/jwks")), "form"},
	{"alg of the header alone", "keycloak", edited(header("alg", "RS256")), "alg"},
	{"alg that is not configured", "keycloak", func(h *trusting, _ *spec) { h.trusted.Algs = []string{"RS256"} }, "alg"},
	{"another's signature", "keycloak", func(_ *trusting, s *spec) { s.key = strangerKey }, "signature"},
	{"at+jwt", "keycloak", edited(header("typ", "at+jwt")), "typ"},
	{"application/at+jwt", "keycloak", edited(header("typ", "application/at+jwt")), "typ"},
	{"wit+jwt", "spiffe", edited(header("typ", "wit+jwt")), "typ"},
	{"typ of a client's own grant", "keycloak", edited(header("typ", "authorization-grant+jwt")), "typ"},
	{"ID token", "keycloak", edited(claim("typ", "ID")), "typ"},
	{"refresh token", "keycloak", edited(claim("typ", "Refresh")), "typ"},
	{"bound to a key", "keycloak", edited(claim("cnf", map[string]string{"x5t#S256": "x"})), "cnf"},
	{"bound, but to nothing that is known", "spiffe", edited(claim("cnf", nil)), "cnf"},
	{"no exp", "keycloak", edited(without("exp")), "required claims"},
	{"no aud", "keycloak", edited(without("aud")), "required claims"},
	{"no azp", "keycloak", edited(without("azp")), "required claims"},
	{"azp no string", "keycloak", edited(claim("azp", 7)), "required claims"},
	{"azp empty", "keycloak", edited(claim("azp", "")), "required claims"},
	{"one of two claims", "github", edited(without("environment")), "required claims"},
	{"past", "keycloak", edited(at("exp", -leeway)), "exp not past"},
	{"too long", "keycloak", edited(at("exp", 15*time.Minute+leeway+time.Second)), "exp not too far"},
	{"Kubernetes too long", "kubernetes", edited(at("exp", time.Hour+leeway+time.Second)), "exp not too far"},
	{"nbf ahead", "keycloak", edited(at("nbf", leeway+time.Second)), "nbf not ahead"},
	{"iat ahead", "keycloak", edited(at("iat", leeway+time.Second)), "iat not ahead"},
	{"two audiences", "keycloak", edited(claim("aud", []string{"stg", "account"})), "aud"},
	{"an audience twice", "keycloak", edited(claim("aud", []string{"stg", "stg"})), "aud"},
	{"another audience", "keycloak", edited(claim("aud", "prd")), "aud"},
	{"no audience in the array", "keycloak", edited(claim("aud", []string{})), "aud"},
	{"a name of ours, where others are configured", "keycloak", edited(claim("aud", "https://auth.example/d1/oauth2/token")), "aud"},
	{"another client there", "keycloak", edited(claim("azp", "other-gateway")), "identity"},
	{"azp in other case", "keycloak", edited(claim("azp", "ACME-gateway")), "identity"},
	{"azp with a space", "keycloak", edited(claim("azp", "acme-gateway ")), "identity"},
	{"another repository", "github", edited(claim("repository_id", "74931338")), "identity"},
	{"values that are exchanged", "github", edited(all(claim("repository_id", "prod"), claim("environment", "74931337"))), "identity"},
	{"a further claim that differs", "github", edited(claim("ref", "refs/heads/dev")), "identity's claims"},
	{"a further claim that is not there", "github", edited(without("ref")), "identity's claims"},
	{"disabled identity", "keycloak", func(h *trusting, _ *spec) { h.identity.Disabled = true }, "identity active"},
	{"identity at its end", "keycloak", func(h *trusting, _ *spec) { h.identity.NotAfter = noon }, "identity active"},
	{"disabled client", "keycloak", func(h *trusting, _ *spec) { h.client().Disabled = true }, "client enabled"},
	{"client_id of another", "keycloak", func(_ *trusting, s *spec) { s.clientID = otherID }, "client_id"},
	{"client_id of the trusted issuer's", "keycloak", func(_ *trusting, s *spec) { s.clientID = "acme-gateway" }, "client_id"},
	{"no pattern", "keycloak", func(h *trusting, _ *spec) {
		h.client().Identities = nil
		h.identify(clientID, h.trusted, map[string]string{"azp": "*"})
	}, "identity"},
	{"registered with another trusted issuer", "keycloak", func(h *trusting, _ *spec) {
		h.client().Identities = nil
		h.identify(clientID, h.trust("github"), map[string]string{"azp": "acme-gateway"})
	}, "identity"},
}

func edited(edit func(*spec)) func(*trusting, *spec) { return func(_ *trusting, s *spec) { edit(s) } }

// TestTrustedRules: each rule refuses, in each use, in the same words as for a client's own assertion;
// Explain says the same, and each rule has a case.
func TestTrustedRules(t *testing.T) {
	broken := map[string]bool{"claims": true, "client_assertion_type": true} // tested elsewhere
	for _, c := range trustedCases {
		for _, u := range trustedUses {
			t.Run(c.name+" "+u.name, func(t *testing.T) {
				h := newTrusting(t, u.profile, c.provider)
				s := h.token()
				if s.claims["aud"] == "stg" && u.profile == "oauth2" {
					s.claims["aud"] = h.issuer.URL
				}
				c.edit(h, s)
				h.refused(t, u, s, c.rule)
				if c.rule == "form" || s.clientID != "" {
					return
				}
				findings, err := h.Explain(t.Context(), h.issuer, s.String(), u.isGrant, h.now)
				first := slices.IndexFunc(findings, func(f evidence.Finding) bool { return !f.Holds })
				if err != nil || first < 0 || findings[first].Rule != c.rule || findings[first].Hint == "" && c.rule != "client enabled" {
					t.Errorf("Explain: %v, %+v", err, findings)
				}
			})
		}
		broken[c.rule] = true
	}
	for _, name := range evidence.TrustedRuleNames() {
		if !broken[name] {
			t.Errorf("no case breaks the rule %q", name)
		}
	}
}

// TestTrustedEdges: what is just good enough.
func TestTrustedEdges(t *testing.T) {
	for name, c := range map[string]struct {
		provider string
		edit     func(*trusting, *spec)
	}{
		"exp a second ago":           {"keycloak", edited(at("exp", time.Second-leeway))},
		"exp at its bound":           {"keycloak", edited(at("exp", 15*time.Minute+leeway))},
		"an hour":                    {"kubernetes", edited(at("exp", time.Hour))},
		"nbf by another clock":       {"github", edited(at("nbf", leeway))},
		"iat by another clock":       {"keycloak", edited(at("iat", leeway))},
		"no iat":                     {"spiffe", edited(without("iat"))},
		"an array of one":            {"keycloak", edited(claim("aud", []string{"stg"}))},
		"a string":                   {"kubernetes", edited(claim("aud", "https://auth.example/d1"))},
		"no typ":                     {"keycloak", func(_ *trusting, s *spec) { delete(s.header, "typ") }},
		"JOSE":                       {"spiffe", edited(header("typ", "JOSE"))},
		"application/jwt":            {"keycloak", edited(header("typ", "application/jwt"))},
		"client_id of ours":          {"keycloak", func(_ *trusting, s *spec) { s.clientID = clientID }},
		"a SPIFFE ID with iss":       {"spiffe", edited(claim("iss", "https://oidc.prod.example"))},
		"a SPIFFE ID with a jti":     {"spiffe", edited(claim("jti", "1"))},
		"an identity before its end": {"keycloak", func(h *trusting, _ *spec) { h.identity.NotAfter = noon.Add(time.Second) }},
		"a long SPIFFE ID": {"spiffe", func(h *trusting, s *spec) {
			long := "spiffe://prod.example/" + strings.Repeat("x", 2048-len("spiffe://prod.example/"))
			s.claims["sub"] = long
			h.client().Identities = nil
			h.identify(clientID, h.trusted, map[string]string{"sub": long})
		}},
		"one of two identities that differ in a further claim": {"github", func(h *trusting, s *spec) {
			s.claims["ref"] = "refs/heads/release"
			h.identify(clientID, h.trusted, map[string]string{"repository_id": "74931337", "environment": "prod", "ref": "refs/heads/release"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newTrusting(t, "thales-d1", c.provider)
			s := h.token()
			c.edit(h, s)
			req := grantRequest(s.String())
			req.ClientID = s.clientID
			h.gets(t, req)
		})
	}
}

// TestBoundsOfClientsStay: a client's own assertion may not be longer because the issuer trusts
// others, whose SPIFFE IDs end at 2048 bytes.
func TestBoundsOfClientsStay(t *testing.T) {
	h := newTrusting(t, "thales-d1", "spiffe")
	s := h.spec()
	s.claims["sub"] = strings.Repeat("x", jose.MaxClaim+1)
	h.refused(t, uses[0], s, "claims")
	s = h.token()
	s.claims["sub"] = "spiffe://prod.example/" + strings.Repeat("x", 2049-len("spiffe://prod.example/"))
	h.refused(t, uses[0], s, "claims")
}

// TestTrustedIssuerBeforeClients: a client with the id that is the iss of a trusted issuer makes no
// assertions in its place.
func TestTrustedIssuerBeforeClients(t *testing.T) {
	h := newTrusting(t, "oauth2", "keycloak")
	usurper := *h.client()
	usurper.ID, usurper.Identities = h.trusted.Issuer, nil
	h.registry.add(&usurper)
	s := h.spec()
	s.claims["iss"], s.claims["sub"] = h.trusted.Issuer, h.trusted.Issuer
	h.refused(t, uses[2], s, "kid")
}

// TestHintOfTrustedIssuers: one character of iss decides whether a token is a trusted issuer's, so where
// nobody is found the hint has what they are known by.
func TestHintOfTrustedIssuers(t *testing.T) {
	h := newTrusting(t, "thales-d1", "keycloak")
	h.trust("spiffe")
	for iss, edit := range map[string]func(*spec){
		"another": claim("iss", h.trusted.Issuer+"/"),
		"none":    without("iss"),
	} {
		s := h.token()
		edit(s)
		findings, err := h.Explain(t.Context(), h.issuer, s.String(), true, h.now)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(findings, func(f evidence.Finding) bool { return f.Rule == "iss" })
		want := `; a token of a trusted issuer has exactly the iss "` + h.issuer.Trusted[0].Issuer + `" (keycloak), or a sub of the trust domain "` + h.issuer.Trusted[1].TrustDomain + `" (spiffe)`
		if i < 0 || !strings.HasSuffix(findings[i].Hint, want) {
			t.Errorf("%s: %+v, want a hint that ends in %s", iss, findings, want)
		}
	}
}

// TestKeysOfOneTrustedIssuer: the keys of one verify no token of another, whatever kid it names.
func TestKeysOfOneTrustedIssuer(t *testing.T) {
	h := newTrusting(t, "thales-d1", "keycloak")
	h.trust("spiffe")
	h.keys.keys["spiffe"] = map[string]*jose.PublicKey{"spiffe-1": publicOf(otherProvider)}
	s := h.token()
	s.key, s.header["kid"] = otherProvider, "spiffe-1"
	h.refused(t, uses[0], s, "kid")
	s.header["kid"] = providerKid
	h.refused(t, uses[0], s, "signature")
}

// TestStrangersLearnNothing: an unknown issuer, a bad signature and an unknown identity are told in
// one sentence, cost one signature each and one question to the database.
func TestStrangersLearnNothing(t *testing.T) {
	for _, u := range trustedUses {
		var sentences []string
		for name, edit := range map[string]func(*trusting, *spec){
			"unknown issuer":   edited(claim("iss", "https://other.example")),
			"unknown kid":      edited(header("kid", "provider-2")),
			"bad signature":    func(_ *trusting, s *spec) { s.key = strangerKey },
			"disabled there":   func(h *trusting, _ *spec) { h.trusted.Disabled = true },
			"unknown identity": edited(claim("azp", "other-gateway")),
			"disabled":         func(h *trusting, _ *spec) { h.identity.Disabled = true },
			"disabled client":  func(h *trusting, _ *spec) { h.client().Disabled = true },
		} {
			h := newTrusting(t, u.profile, "keycloak")
			counted := &countedRegistry{memoryRegistry: h.registry}
			h.Authority.Registry = counted
			s := h.token()
			if u.profile == "oauth2" {
				s.claims["aud"] = h.issuer.URL
			}
			edit(h, s)
			n, _ := authority.Judge(t.Context(), h.Authority, h.issuer, u.request(s.String()), h.now)
			counted.asked = 0
			token, err := h.exchange(u.request(s.String()))
			e, _ := refusalOf(t, token, err)
			sentences = append(sentences, string(e.Code)+" "+e.Description)
			if n != 1 || counted.asked != 1 {
				t.Errorf("%s, %s: %d signatures, %d questions to the database, want 1 of each", u.name, name, n, counted.asked)
			}
		}
		if slices.Sort(sentences); len(slices.Compact(sentences)) != 1 {
			t.Errorf("%s: %q", u.name, sentences)
		}
	}
}

// countedRegistry counts what the store would ask its database.
type countedRegistry struct {
	*memoryRegistry
	asked int
}

func (r *countedRegistry) FindClient(ctx context.Context, issuer, id string) (*registry.Client, bool, error) {
	c, asked, err := r.memoryRegistry.FindClient(ctx, issuer, id)
	if asked {
		r.asked++
	}
	return c, asked, err
}

func (r *countedRegistry) FindClientByDigest(ctx context.Context, issuer string, digest registry.Digest) (*registry.Client, bool, error) {
	c, asked, err := r.memoryRegistry.FindClientByDigest(ctx, issuer, digest)
	if asked {
		r.asked++
	}
	return c, asked, err
}

// TestKeysThatCannotBeHad: while nobody can tell whether the trusted issuer made it, a token is not
// refused: its caller comes again. Nothing is recorded of it, and the database is not asked.
func TestKeysThatCannotBeHad(t *testing.T) {
	each(t, func(t *testing.T, h *trusting, u use) {
		h.keys.err = errors.New("no keys of the issuer: connection refused")
		s := h.token()
		if u.profile == "oauth2" {
			s.claims["aud"] = h.issuer.URL
		}
		token, err := h.exchange(u.request(s.String()))
		e, _ := refusalOf(t, token, err)
		if e.Code != oauth.TemporarilyUnavailable || e.RetryAfter <= 0 || !errors.Is(err, h.keys.err) || !strings.Contains(err.Error(), "trusted issuer "+h.trusted.Name+": ") || len(h.ledger.entries) != 0 {
			t.Errorf("%v, try again after %s, %d entries", err, e.RetryAfter, len(h.ledger.entries))
		}
		findings, err := h.Explain(t.Context(), h.issuer, s.String(), u.isGrant, h.now)
		i := slices.IndexFunc(findings, func(f evidence.Finding) bool { return f.Rule == "kid" })
		if err != nil || i < 0 || findings[i].Holds || !strings.Contains(findings[i].Found, "connection refused") || !strings.Contains(findings[i].Hint, "503") {
			t.Errorf("explained by %+v, %v", findings, err)
		}
		h.keys.err = nil
		h.gets(t, u.request(s.String()))
	})
}

// TestDisabledIsNotFetched: no keys of a disabled trusted issuer are asked for.
func TestDisabledIsNotFetched(t *testing.T) {
	h := newTrusting(t, "thales-d1", "keycloak")
	h.trusted.Disabled, h.keys.err = true, errors.New("down")
	h.refused(t, uses[0], h.token(), "trusted issuer enabled")
	if h.keys.asked != 0 {
		t.Errorf("%d questions for keys", h.keys.asked)
	}
}

// TestRegistryThatIsDown: a verified token waits for the registry.
func TestRegistryThatIsDown(t *testing.T) {
	h := newTrusting(t, "thales-d1", "keycloak")
	h.registry.err = errors.New("down")
	h.gets503(t, grantRequest(h.token().String()))
}

// TestTrustedReplay: once is once in both uses together, by jti or else by the signature; until-exp
// is for tokens that come again; same-token of the issuer is never for them.
func TestTrustedReplay(t *testing.T) {
	h := newTrusting(t, "oauth2", "keycloak")
	h.issuer.Replay = platform.ReplaySameToken
	s := h.token()
	s.claims["aud"] = h.issuer.URL
	h.gets(t, grantRequest(s.String()))
	h.refused(t, uses[2], s, "one use")
	h.refused(t, uses[3], s, "one use")
	delete(s.claims, "jti")
	compact := s.String()
	h.gets(t, grantRequest(compact))
	token, err := h.exchange(grantRequest(compact))
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "one use" {
		t.Errorf("without jti: %v", err)
	}
	h.gets(t, grantRequest(s.String())) // another signature

	for _, name := range []string{"kubernetes", "spiffe"} {
		h := newTrusting(t, "oauth2", name)
		h.issuer.Replay = platform.ReplayOnce
		compact := h.token().String()
		for range 3 {
			h.gets(t, grantRequest(compact))
			h.gets(t, clientAuthRequest(compact))
		}
		if len(h.ledger.used) != 0 {
			t.Errorf("%s: %d values were consumed", name, len(h.ledger.used))
		}
	}
}

// TestReplayIsOfOneTrustedIssuer: two trusted issuers, or a client, may choose the same jti.
func TestReplayIsOfOneTrustedIssuer(t *testing.T) {
	h := newTrusting(t, "oauth2", "keycloak")
	github := h.trust("github")
	h.identify(clientID, github, providers["github"].identity)
	s := h.token()
	s.claims["aud"], s.claims["jti"] = h.issuer.URL, "1"
	h.gets(t, grantRequest(s.String()))
	other := newTrusting(t, "oauth2", "github").token()
	other.claims["jti"] = "1"
	h.gets(t, grantRequest(other.String()))
	named := *h.client()
	named.ID, named.Identities = h.trusted.Name, nil // a client that is called as the trusted issuer
	h.registry.add(&named)
	own := h.spec()
	own.claims["iss"], own.claims["sub"], own.claims["jti"] = h.trusted.Name, h.trusted.Name, "1"
	h.gets(t, grantRequest(own.String()))
}

// TestReplayWithoutIssuer: a JWT-SVID has no iss, and two trust domains may choose the same jti.
func TestReplayWithoutIssuer(t *testing.T) {
	h := newTrusting(t, "oauth2", "spiffe")
	h.trusted.Replay = platform.ReplayOnce
	staging := *h.trusted
	staging.Name, staging.TrustDomain = "staging", "staging.example"
	h.issuer.Trusted = append(h.issuer.Trusted, &staging)
	h.keys.keys[staging.Name] = h.keys.keys[h.trusted.Name]
	const workload = "spiffe://staging.example/ns/payments/sa/gateway"
	h.identify(clientID, &staging, map[string]string{"sub": workload})
	s := h.token()
	s.claims["jti"] = "1"
	for range 2 {
		h.gets(t, grantRequest(s.String()))
		h.refused(t, uses[2], s, "one use")
		s.claims["sub"] = workload
	}
}

// TestAuthenticationBesideATrustedToken: both must be of one client (RFC 7521 §4.1).
func TestAuthenticationBesideATrustedToken(t *testing.T) {
	h := newTrusting(t, "oauth2", "kubernetes")
	secret := h.newSecret(t, registry.ClientSecret)
	req := grantRequest(h.token().String())
	req.Credentials = secretRequest(secret).Credentials
	token := h.gets(t, req)
	if token.Client != clientID {
		t.Errorf("a token of %q", token.Client)
	}
	h.client().Identities = nil
	h.identify(otherID, h.trusted, h.provider.identity)
	answer, err := h.exchange(req)
	if e, refusal := refusalOf(t, answer, err); e.Code != oauth.InvalidClient || refusal.Rule != "one client" {
		t.Errorf("two clients: %v", err)
	}
}

// TestTrustedTokenToIntrospect: it authenticates beside the token endpoint, too.
func TestTrustedTokenToIntrospect(t *testing.T) {
	h := newTrusting(t, "thales-d1", "spiffe")
	token := h.gets(t, grantRequest(h.token().String()))
	for range 2 {
		if active, err := h.introspect(clientAuthRequest(h.token().String()), token.Token); err != nil || !active {
			t.Errorf("active: %v, %v", active, err)
		}
	}
	h.identity.Disabled = true
	if _, err := h.introspect(clientAuthRequest(h.token().String()), token.Token); err == nil {
		t.Error("a disabled identity may ask")
	}
}
