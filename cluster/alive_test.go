package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/cluster/load"
)

// TestAliveWithoutDatabase: while the primary is lost the proxy still reaches the replicas, as
// examples/cluster/haproxy.cfg does: keys, metadata and /check are served, and what needs a write is refused by
// Moneyer itself, in the platform's format.
func TestAliveWithoutDatabase(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	run := c.Start(1, s.IssuerURL())
	if err := run.Await(t.Context(), load.Granted, 1); err != nil {
		t.Fatal(err)
	}
	token := ""
	for _, r := range stopped(t, run) {
		if last := r.Answers[len(r.Answers)-1]; last.Kind == load.Granted {
			token = last.Token
		}
	}
	ask := func(ctx context.Context, method, url, body string) (status int, text string, header http.Header, err error) {
		req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			return 0, "", nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			req.Header.Del("Authorization")
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := c.HTTP.Do(req)
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		read, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(read), resp.Header, err
	}
	for _, url := range urls(s) { // each replica serves the clients that it knows
		if status, text, _, err := ask(t.Context(), http.MethodGet, url+"/check", ""); err != nil || status != http.StatusOK {
			t.Fatalf("%s/check: %d %q %v", url, status, text, err)
		}
	}
	if err := s.Primary.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, busy(5*time.Second), func(ctx context.Context) error { // until the proxy has noticed
		status, text, header, err := ask(ctx, http.MethodPost, s.IssuerURL()+"/oauth2/token", "grant_type=client_credentials&client_id=x&client_secret=y")
		if err == nil && (status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(text, "temporarily_unavailable")) {
			err = fmt.Errorf("a token request gets %d %q", status, text)
		}
		return err
	})
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/check"} {
		if status, text, _, err := ask(t.Context(), http.MethodGet, s.IssuerURL()+path, ""); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %q %v", path, status, text, err)
		}
	}
	if err := s.FailOver(t.Context()); err != nil {
		t.Fatal(err)
	}
}
