package server_test

import (
	"net/url"
	"path/filepath"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// TestSDK lets package tokensource call every platform by its profile: whoever
// adds a platform gets both sides, or neither.
func TestSDK(t *testing.T) {
	for _, dir := range transcriptDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := readSetup(t, dir, "")
			if s.sdk == nil {
				t.Fatal("the setup has no line that begins with sdk")
			}
			for i := range s.sdk {
				testSDK(t, readSetup(t, dir, ""), i)
			}
		})
	}
}

// testSDK lets the SDK call a fresh server as one sdk line of the setup says.
func testSDK(t *testing.T, s *setup, line int) {
	h := s.open(t)
	issuer, source := s.source(t, h, s.sdk[line])
	token, err := source.Token(t.Context())
	must(t, err)
	claims, err := h.verifiers[issuer.URL].Verify(t.Context(), token.AccessToken)
	must(t, err)
	if !token.Expiry.Equal(claims.Expiry) || token.Expiry.Sub(h.Now()) != issuer.TokenLifetime {
		t.Errorf("expiry by the answer %v, by the token %v, lifetime %v", token.Expiry, claims.Expiry, issuer.TokenLifetime)
	}
	if len(source.Scope) > 0 && token.Scope.String() != source.Scope.String() {
		t.Errorf("scope %q, want %q", token.Scope, source.Scope)
	}
	again, err := source.Token(t.Context())
	must(t, err)
	if again.AccessToken != token.AccessToken {
		t.Error("the second call went to the platform")
	}
	var minted []*ledger.Entry
	for _, record := range h.entries(t) {
		entry, err := record.Entry()
		must(t, err)
		if entry.Kind == ledger.KindToken {
			minted = append(minted, entry)
		}
	}
	named := issuer.Profile.Wire.Correlation.Header != "" // else each side has a name of its own for the request
	if len(minted) != 1 || minted[0].JTI != claims.ID || named && minted[0].Correlation != token.Correlation {
		t.Errorf("the ledger has %+v, want the token %s of request %s alone", minted, claims.ID, token.Correlation)
	}
	if subject := source.Credential.Subject; subject != "" && (claims.Subject != subject || minted[0].Subject != subject) {
		t.Errorf("sub %q, in the ledger %q, want %q", claims.Subject, minted[0].Subject, subject)
	}
}

// source is the SDK as an sdk line of the setup wants it.
func (s *setup) source(t *testing.T, h *testServer, sdk *fields) (*issuerSetup, *tokensource.Source) {
	t.Helper()
	issuer := s.issuers[0]
	if name := sdk.take("issuer"); name != "" && name != issuer.Name {
		t.Fatalf("the sdk line is for the first issuer, %s", issuer.Name)
	}
	source := &tokensource.Source{
		Profile: s.profile, Issuer: issuer.URL, HTTPClient: h.client, Now: h.Now, Params: url.Values{},
		Credential: tokensource.Credential{
			ClientID: sdk.take("client"), Secret: sdk.take("secret"), APIKey: sdk.take("apikey"),
			Subject: sdk.take("subject"), Audience: sdk.take("audience"), Auth: oauth.ClientAuth(sdk.take("auth")),
		},
	}
	if kid := sdk.take("key"); kid != "" {
		source.Credential.Key, source.Credential.Kid, source.Credential.Alg = s.keys[kid].private, kid, s.keys[kid].alg
	}
	var err error
	source.Scope, err = oauth.ParseScope(sdk.take("scope"))
	must(t, err)
	for name := range sdk.named {
		source.Params[name] = sdk.list(name)
	}
	return issuer, source
}
