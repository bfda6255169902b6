package authority_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

const outbound = "thales-d1-outbound"

// named is an assertion of the client that names a subject.
func (h *fixture) named(subject string) string {
	s := h.spec()
	s.claims["sub"], s.claims["jti"] = subject, subject+h.now.String()
	return s.String()
}

// TestRegisteredSubjects: an assertion may name the client, or a subject that is
// registered with it; nobody else's, on no other profile, and not as client
// authentication.
func TestRegisteredSubjects(t *testing.T) {
	for _, row := range []struct {
		profile, subject string
		isGrant, good    bool
	}{
		{outbound, "CUSTOMER01", true, true},
		{outbound, "CUSTOMER02", true, true},
		{outbound, clientID, true, true},
		{outbound, "CUSTOMER03", true, false},
		{outbound, "customer01", true, false},
		{outbound, "CUSTOMER01 ", true, false},
		{outbound, "OTHERS", true, false}, // of another client
		{outbound, otherID, true, false},
		{"thales-d1-banking-outbound", "CUSTOMER01", true, true},
		{"thales-d1-banking-outbound", "CUSTOMER03", true, false},
		{"thales-d1", "CUSTOMER01", true, false},
		{"thales-d1-banking", "CUSTOMER01", true, false},
		{"oauth2", "CUSTOMER01", true, false},
		{"oauth2", "CUSTOMER01", false, false},
	} {
		h := newFixture(t, row.profile)
		h.client().Subjects = []string{"CUSTOMER01", "CUSTOMER02"}
		h.registry.clients[otherID].Subjects = []string{"OTHERS"}
		token, err := h.exchange(use{isGrant: row.isGrant}.request(h.named(row.subject)))
		if row.good {
			if err != nil {
				t.Fatalf("%s: %s: %v", row.profile, row.subject, err)
			}
			claims := claimsOf(t, token)
			minted := h.ledger.of(ledger.KindToken)
			if claims["sub"] != row.subject || claims["client_id"] != clientID || minted[0].Subject != row.subject || minted[0].Client != clientID {
				t.Errorf("%s: claims %v, the ledger has %+v", row.profile, claims, minted)
			}
			continue
		}
		e, refusal := refusalOf(t, token, err)
		want := oauth.InvalidGrant
		if !row.isGrant {
			want = oauth.InvalidClient
		}
		if e.Code != want || refusal.Rule != "sub" || refusal.Client != clientID || refusal.Subject != "" || len(h.ledger.used) > 0 {
			t.Errorf("%s: %s: %s by %+v", row.profile, row.subject, e.Code, refusal)
		}
	}
}

// TestSubjectRefusal: the rule says which subjects the client may name, what was found,
// and how one is registered.
func TestSubjectRefusal(t *testing.T) {
	h := newFixture(t, outbound)
	for i := range 10 {
		h.client().Subjects = append(h.client().Subjects, "CUSTOMER0"+string(rune('0'+i)))
	}
	token, err := h.exchange(grantRequest(h.named("CUSTOMER99")))
	e, refusal := refusalOf(t, token, err)
	for text, want := range map[string]string{
		refusal.Expected: `the same as iss: "ACMEGW0001", or a subject of the client: "CUSTOMER00"`,
		refusal.Found:    `"CUSTOMER99"`,
		refusal.Hint:     "moneyer client set ACMEGW0001 --subject",
		e.Description:    "the assertion's sub must equal its iss, or be a subject that is registered with the client",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if !strings.HasSuffix(refusal.Expected, "and 2 others") {
		t.Errorf("expected %q names all of many subjects", refusal.Expected)
	}
	findings, err := h.Explain(t.Context(), h.issuer, h.named("CUSTOMER99"), true, h.now)
	if err != nil {
		t.Fatal(err)
	}
	var broken, client string
	for _, f := range findings {
		if !f.Holds {
			broken += f.Rule + " " + f.Found
		}
		if f.Rule == "iss" {
			client = f.Found
		}
	}
	if broken != `sub "CUSTOMER99"` || client != `"ACMEGW0001"` {
		t.Errorf("explain finds broken: %s; client %s", broken, client)
	}
}

// TestSubjectIsToldBesideItsClient: once it is verified, a refusal for any other reason
// names both, in the log and the ledger.
func TestSubjectIsToldBesideItsClient(t *testing.T) {
	h := newFixture(t, outbound)
	h.client().Subjects = []string{"CUSTOMER01"}
	over := grantRequest(h.named("CUSTOMER01"))
	over.Scope = "nuclear"
	token, err := h.exchange(over)
	_, refusal := refusalOf(t, token, err)
	if refusal.Rule != "scope" || refusal.Client != clientID || refusal.Subject != "CUSTOMER01" {
		t.Errorf("refused by %+v", refusal)
	}
	good := grantRequest(over.Assertion)
	h.gets(t, good)
	token, err = h.exchange(good)
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "one use" || refusal.Subject != "CUSTOMER01" {
		t.Errorf("refused by %+v", refusal)
	}
	for _, e := range h.ledger.of(ledger.KindRefusal) {
		if e.Client != clientID || e.Subject != "CUSTOMER01" {
			t.Errorf("the ledger has client %q and subject %q of a refusal", e.Client, e.Subject)
		}
	}
	// Nobody's word that a subject was named is recorded.
	forged := h.spec()
	forged.claims["sub"], forged.key = "CUSTOMER01", strangerKey
	token, err = h.exchange(grantRequest(forged.String()))
	if _, refusal := refusalOf(t, token, err); refusal.Rule != "signature" || refusal.Subject != "" {
		t.Errorf("refused by %+v", refusal)
	}
}

// TestRemovedSubject: a subject that is removed is refused at once, also where the same
// assertion gives the same token, and its tokens are good no longer.
func TestRemovedSubject(t *testing.T) {
	h := newFixture(t, outbound)
	h.issuer.Replay = "same-token"
	h.client().Subjects = []string{"CUSTOMER01"}
	h.client().Introspects = true
	req := grantRequest(h.named("CUSTOMER01"))
	token := h.gets(t, req)
	own := h.gets(t, grantRequest(h.assertion()))
	good := func(token *authority.AccessToken) bool {
		_, err := h.Introspect(t.Context(), h.issuer, token.Token, h.now)
		if err != nil && oauth.AsError(err).Code != oauth.InvalidToken {
			t.Fatal(err)
		}
		return err == nil
	}
	if !good(token) || !good(own) {
		t.Fatal("the tokens are not good")
	}
	h.client().Subjects = nil
	again, err := h.exchange(req)
	if _, refusal := refusalOf(t, again, err); refusal.Rule != "sub" {
		t.Errorf("refused by %+v", refusal)
	}
	if good(token) || !good(own) {
		t.Error("the subject's token is still good, or the client's own is not")
	}
	h.client().Subjects, h.client().Disabled = []string{"CUSTOMER01"}, true
	if again, err := h.exchange(req); err == nil {
		t.Errorf("a disabled client gets %v", again)
	}
	if good(token) {
		t.Error("a disabled client's token is still good")
	}
}

// TestRevokeBySubject: of a client's tokens those that name a subject can be revoked.
func TestRevokeBySubject(t *testing.T) {
	h := newFixture(t, outbound)
	h.client().Subjects = []string{"CUSTOMER01", "CUSTOMER02"}
	var jtis []string
	for _, subject := range []string{"CUSTOMER01", "CUSTOMER02", clientID} {
		jtis = append(jtis, h.gets(t, grantRequest(h.named(subject))).JTI)
	}
	for i, subject := range []string{"CUSTOMER01", "CUSTOMER02", clientID} {
		r, err := h.Revocations.Plan(t.Context(), h.issuer, authority.Target{Client: clientID, Subject: subject}, h.now)
		if err != nil || !slices.Equal(r.JTIs, jtis[i:i+1]) || !strings.Contains(r.Reason, subject) {
			t.Errorf("%s: %+v, %v", subject, r, err)
		}
	}
	if _, err := h.Revocations.Plan(t.Context(), h.issuer, authority.Target{Client: clientID, Subject: "CUSTOMER03"}, h.now); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a subject without tokens: %v", err)
	}
}

// TestSubjectOfATrustedToken: a token of a trusted issuer is about the client that has the
// identity, whatever its sub, and whatever subjects the client may name itself.
func TestSubjectOfATrustedToken(t *testing.T) {
	h := newTrusting(t, outbound, "kubernetes")
	h.client().Subjects = []string{h.provider.identity["sub"]}
	token := h.gets(t, grantRequest(h.token().String()))
	if claims := claimsOf(t, token); claims["sub"] != clientID || h.tokens(t)[0].Subject != clientID {
		t.Errorf("claims %v, the ledger has %+v", claims, h.tokens(t))
	}
}

// TestSubjectIsNoClient: as client authentication sub is the client, also where a grant may
// name another subject (RFC 7523 §3).
func TestSubjectIsNoClient(t *testing.T) {
	h := newFixture(t, outbound)
	h.client().Subjects = []string{"CUSTOMER01"}
	_, err := h.introspect(clientAuthRequest(h.named("CUSTOMER01")), "x")
	if e, refusal := refusalOf(t, nil, err); e.Code != oauth.InvalidClient || refusal.Rule != "sub" || refusal.Subject != "" {
		t.Errorf("%v by %+v", e, refusal)
	}
	if _, err := h.introspect(clientAuthRequest(h.named(clientID)), "x"); err != nil {
		t.Error(err)
	}
}
