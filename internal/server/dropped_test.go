package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// TestScopeDropped: where a profile ignores unknown scope words, the answer tells what was granted, also when
// that is nothing (RFC 6749 §5.1), and the debug log names the others.
func TestScopeDropped(t *testing.T) {
	s := readSetup(t, "testdata/transcripts/boltpay", "")
	h := s.open(t)
	issuer, source := s.source(t, h, s.sdk[0])
	for _, row := range []struct{ asked, granted, dropped string }{
		{"openid", "openid", ""}, {"openid gold", "openid", "gold"}, {"gold silver", "", "gold silver"},
	} {
		asked, err := oauth.ParseScope(row.asked)
		must(t, err)
		h.log.Reset()
		again := &tokensource.Source{Profile: source.Profile, Issuer: issuer.URL, Credential: source.Credential, Scope: asked, HTTPClient: h.client, Now: h.Now}
		token, err := again.Fetch(t.Context())
		must(t, err)
		if token.Scope.String() != row.granted {
			t.Errorf("asked for %q: granted %q, want %q", row.asked, token.Scope, row.granted)
		}
		line, told := `"dropped":"`+row.dropped+`"`, strings.Contains(h.log.String(), `"dropped"`)
		if told != (row.dropped != "") || told && (!strings.Contains(h.log.String(), line) || !strings.Contains(h.log.String(), `"correlation":"`+token.Correlation)) {
			t.Errorf("asked for %q: the log has %s", row.asked, h.log.String())
		}
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {source.Credential.ClientID}, "client_secret": {source.Credential.Secret}}
	resp, err := h.client.PostForm(issuer.URL+"/auth/token", form)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("no scope asked for: status %d", resp.StatusCode)
	}
}
