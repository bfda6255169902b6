package daemon

import (
	"net/http/httptest"
	"strings"
	"testing"

	"moneyer/internal/authority"
)

// TestEndpointAudience: each use of the token endpoint as the aud of a client assertion is
// counted by its issuer, and a line in the log, within a budget, says what to send.
func TestEndpointAudience(t *testing.T) {
	var log strings.Builder // read after Shutdown only
	s := newTestServer(t, newFolder(t), &log)
	use := authority.EndpointAudience{Issuer: "plain", Client: "app-1", Correlation: "c-1",
		Found: "https://auth.example.com/oauth2/token", Expected: "https://auth.example.com"}
	burst := s.Config().Limits.Overload().Lines.Burst
	for range 2 * burst {
		s.endpointAudience(t.Context(), use)
	}
	answer := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	_, count, found := strings.Cut(answer.Body.String(), "\n"+`moneyer_endpoint_audience_total{issuer="plain"} `)
	if count, _, _ = strings.Cut(count, "\n"); !found || count == "0" {
		t.Errorf("the metric is %q", count)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(log.String(), "\n")
	var told []string
	for _, line := range lines {
		if strings.Contains(line, "aud of a client assertion") {
			told = append(told, line)
		}
	}
	if n := len(told); n < burst || n > burst+10 {
		t.Fatalf("%d lines of %d uses, want about %d", n, 2*burst, burst)
	}
	for _, part := range []string{`"issuer":"plain"`, `"client":"app-1"`, `"correlation":"c-1"`, `"found":"` + use.Found + `"`, `"expected":"` + use.Expected + `"`} {
		if !strings.Contains(told[0], part) {
			t.Errorf("the line %q has no %s", told[0], part)
		}
	}
	if s.current.Load().authority.EndpointAudience == nil {
		t.Error("the server's authority tells nobody")
	}
}
