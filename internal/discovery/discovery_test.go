package discovery_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/discovery"
)

// site answers for a whole host: a body for each path, or a status.
type site struct {
	pages map[string]any
	asked []string
}

func (s *site) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.URL.EscapedPath())
	resp := &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Request: r, Body: http.NoBody}
	switch page := s.pages[r.URL.EscapedPath()].(type) {
	case int:
		resp.StatusCode = page
		resp.Header.Set("Location", "https://elsewhere.example/")
	case string:
		resp.StatusCode, resp.Body = http.StatusOK, io.NopCloser(strings.NewReader(page))
	case error:
		return nil, page
	}
	return resp, nil
}

const (
	between = "/.well-known/oauth-authorization-server/t/1"
	behind  = "/t/1/.well-known/oauth-authorization-server"
	openID  = "/t/1/.well-known/openid-configuration"
)

func document(issuer string) string {
	return fmt.Sprintf(`{"issuer":%q,"token_endpoint":"https://as.example/t","jwks_uri":"https://as.example/k","x":{"token_endpoint":"https://evil.example"},`+
		`"mtls_endpoint_aliases":{"revocation_endpoint":"https://m.example/r","token_endpoint":"https://m.example/t"}}`, issuer)
}

// TestGet: the document is between host and path (RFC 8414 §3.1) or behind the path (§5), and
// counts only with exactly the issuer that was asked for (§3.3).
func TestGet(t *testing.T) {
	const issuer = "https://as.example/t/1"
	good := document(issuer)
	for name, row := range map[string]struct {
		issuer string
		pages  map[string]any
		asked  []string
		good   bool
	}{
		"between":                 {issuer, map[string]any{between: good, behind: "{}"}, []string{between}, true},
		"behind":                  {issuer, map[string]any{behind: good}, []string{between, behind}, true},
		"as OpenID has it":        {issuer, map[string]any{between: 403, openID: good}, []string{between, behind, openID}, true},
		"a slash at its end":      {issuer + "/", map[string]any{between: document(issuer + "/")}, []string{between}, true},
		"an escaped path":         {"https://as.example/a%2Fb", map[string]any{"/.well-known/oauth-authorization-server/a%2Fb": document("https://as.example/a%2Fb")}, []string{"/.well-known/oauth-authorization-server/a%2Fb"}, true},
		"no path":                 {"https://as.example", map[string]any{"/.well-known/openid-configuration": document("https://as.example")}, []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}, true},
		"nowhere":                 {issuer, nil, []string{between, behind, openID}, false},
		"another issuer":          {issuer, map[string]any{between: document("https://as.example/t/2"), behind: good}, []string{between}, false},
		"a slash more":            {issuer, map[string]any{between: document(issuer + "/")}, []string{between}, false},
		"a slash less":            {issuer + "/", map[string]any{between: good}, []string{between}, false},
		"another case":            {issuer, map[string]any{between: document("https://AS.example/t/1")}, []string{between}, false},
		"no issuer":               {issuer, map[string]any{between: `{"token_endpoint":"https://as.example/t"}`}, []string{between}, false},
		"two issuers":             {issuer, map[string]any{between: `{"issuer":"https://as.example/t/1","issuer":"https://as.example/t/1"}`}, []string{between}, false},
		"not a text":              {issuer, map[string]any{between: `{"issuer":"https://as.example/t/1","token_endpoint":["x"]}`}, []string{between}, false},
		"aliases that are none":   {issuer, map[string]any{between: `{"issuer":"https://as.example/t/1","mtls_endpoint_aliases":"https://m.example"}`}, []string{between}, false},
		"no JSON":                 {issuer, map[string]any{between: "<html>"}, []string{between}, false},
		"too long":                {issuer, map[string]any{between: good + strings.Repeat(" ", 256<<10)}, []string{between}, false},
		"a redirect":              {issuer, map[string]any{between: 302, behind: good}, []string{between}, false},
		"a failure":               {issuer, map[string]any{between: 500, behind: good}, []string{between}, false},
		"a failure in the middle": {issuer, map[string]any{behind: 503, openID: good}, []string{between, behind}, false},
		"too many requests":       {issuer, map[string]any{between: 429, behind: good}, []string{between}, false},
		"no connection":           {issuer, map[string]any{between: io.ErrUnexpectedEOF, behind: good}, []string{between}, false},
		"not https":               {"http://as.example/t/1", map[string]any{between: document("http://as.example/t/1")}, nil, false},
		"a user":                  {"https://me@as.example/t/1", nil, nil, false},
		"a query":                 {issuer + "?a", nil, nil, false},
		"an empty query":          {"https://as.example?", nil, nil, false},
		"no host":                 {"/t/1", nil, nil, false},
		"no URL":                  {"https://as example", nil, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{pages: row.pages}
			m, err := discovery.Get(t.Context(), &http.Client{Transport: s}, row.issuer)
			if (err == nil) != row.good || !slices.Equal(s.asked, row.asked) {
				t.Fatalf("%v, asked %q, want %q", err, s.asked, row.asked)
			}
			want := discovery.Metadata{Issuer: row.issuer, TokenEndpoint: "https://as.example/t", TokenEndpointMTLS: "https://m.example/t", JWKSURI: "https://as.example/k"}
			if err == nil && *m != want {
				t.Errorf("got %+v", m)
			}
		})
	}
}

// FuzzGet: whatever the answer, there is no panic, and no document of another issuer.
func FuzzGet(f *testing.F) {
	const issuer = "https://as.example"
	f.Add(document(issuer))
	f.Add(`{"issuer":"https://as.example","mtls_endpoint_aliases":{}}`)
	f.Add(`{"issuer":"https://as.example","mtls_endpoint_aliases":{"token_endpoint":1}}`)
	f.Fuzz(func(t *testing.T, body string) {
		s := &site{pages: map[string]any{"/.well-known/oauth-authorization-server": body}}
		m, err := discovery.Get(context.Background(), &http.Client{Transport: s}, issuer)
		if err == nil && (m.Issuer != issuer || !strings.Contains(body, "issuer") && !strings.Contains(body, `\u`)) {
			t.Errorf("%q was accepted as %+v", body, m)
		}
	})
}
