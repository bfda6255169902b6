package authority_test

import (
	"context"
	"slices"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// TestScopeDropped: whoever asks for words that nobody knows gets a token that says so (RFC 6749 §5.1),
// and the server is told.
func TestScopeDropped(t *testing.T) {
	h := newFixture(t, "boltpay")
	h.client().Scope = oauth.Scope{"openid"}
	var told []authority.ScopeDropped
	h.ScopeDropped = func(_ context.Context, drop authority.ScopeDropped) { told = append(told, drop) }
	req := secretRequest(h.newSecret(t, registry.ClientSecret))
	for asked, dropped := range map[string]string{"": "", "openid": "", "openid 4111111111111111 nonsense": "4111111111111111 nonsense", "nonsense": "nonsense"} {
		told = nil
		req.Scope = asked
		if got := h.gets(t, req).Dropped.String(); got != dropped {
			t.Errorf("%q: %q dropped, want %q", asked, got, dropped)
		}
		want := []authority.ScopeDropped{{Issuer: h.issuer.Name, Client: clientID, Correlation: req.Correlation, Dropped: registry.Excerpt(dropped)}}
		if dropped == "" {
			want = nil
		}
		if !slices.Equal(told, want) {
			t.Errorf("%q: told %+v, want %+v", asked, told, want)
		}
	}
}

// TestScopeOfTheSameToken: an assertion that gives the same token again gives its scope, and what more was
// asked for is not granted.
func TestScopeOfTheSameToken(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.issuer.Replay = platform.ReplaySameToken
	req := grantRequest(h.assertion())
	req.Scope = "read"
	h.gets(t, req)
	req.Scope = "pay read"
	if got := h.gets(t, req); got.Scope.String() != "read" || got.Dropped.String() != "pay" {
		t.Errorf("scope %q, dropped %q", got.Scope, got.Dropped)
	}
}
