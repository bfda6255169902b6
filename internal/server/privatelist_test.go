package server_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/bearer"
	"moneyer/internal/authority"
	"moneyer/oauth"
)

// openPrivate opens a platform whose issuer shows its list to authenticated clients.
func openPrivate(t *testing.T, p platformCase) *platformServer {
	t.Helper()
	s := readSetup(t, "testdata/transcripts/"+p.dir, "")
	s.issuers[0].PrivateRevocations = true
	w := &platformServer{testServer: s.open(t), platformCase: p}
	w.watch()
	return w
}

func basic(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// TestPrivateRevocationList: a list that is not public is for clients that may introspect.
// Whoever asks without a good credential gets the answer that introspection gives.
func TestPrivateRevocationList(t *testing.T) {
	w := openPrivate(t, platforms[0])
	get := func(headers ...string) (*http.Response, string) {
		t.Helper()
		return w.do(t, "GET "+w.host()+"/revocations\n"+strings.Join(headers, "\n"))
	}
	for name, header := range map[string]string{"no credential": "", "a wrong secret": basic("api-1", "wrong"), "an unknown client": basic("nobody", "wrong")} {
		resp, body := get(header)
		asked, want := w.do(t, "POST "+w.host()+"/introspect\n"+strings.Trim(header+form, "\n")+"\n\ntoken=x")
		if resp.StatusCode != http.StatusUnauthorized || resp.StatusCode != asked.StatusCode || body != want ||
			resp.Header.Get("WWW-Authenticate") != asked.Header.Get("WWW-Authenticate") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s, introspection answers %d %s", name, resp.StatusCode, body, asked.StatusCode, want)
		}
	}
	if resp, body := get(basic("app-1", "secret-of-app-1")); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "unauthorized_client") {
		t.Errorf("a client that may not introspect: %d %s", resp.StatusCode, body)
	}
	resp, l, _ := w.poll(t, basic("api-1", "secret-of-api-1"))
	if l == nil || resp.Header.Get("Cache-Control") != "private, max-age=0" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%d, headers %v", resp.StatusCode, resp.Header)
	}
	etag := resp.Header.Get("ETag")
	if resp, _ := get(basic("api-1", "secret-of-api-1"), "If-None-Match: "+etag); resp.StatusCode != http.StatusNotModified || resp.Header.Get("Cache-Control") != "private, max-age=0" {
		t.Errorf("asked by ETag: %d, headers %v", resp.StatusCode, resp.Header)
	}
	if resp, _ := get("If-None-Match: " + etag); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("asked by ETag without a credential: %d", resp.StatusCode)
	}
	post := "POST " + w.host() + "/revocations" + form
	if resp, body := w.do(t, post+"If-None-Match: "+etag+"\n\nclient_id=api-1&client_secret=secret-of-api-1"); resp.StatusCode != http.StatusOK || strings.Count(body, ".") != 2 {
		t.Errorf("by POST: %d %s", resp.StatusCode, body)
	}
	if resp, _ := w.do(t, "GET "+w.host()+"/revocations?client_id=api-1&client_secret=secret-of-api-1"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a secret in the URL: %d", resp.StatusCode)
	}
	if resp, _ := w.do(t, "PUT "+w.host()+"/revocations"+form+"\nclient_id=api-1&client_secret=secret-of-api-1"); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("by PUT: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

// TestPrivateRevocationListIsPolled: package bearer polls such a list with every kind of
// credential that a platform's clients have.
func TestPrivateRevocationListIsPolled(t *testing.T) {
	for name, row := range map[string]struct {
		platform int
		with     func(w *platformServer) bearer.Credential
	}{
		"Basic": {0, func(*platformServer) bearer.Credential {
			return bearer.Credential{ClientID: "api-1", Secret: "secret-of-api-1"}
		}},
		"a form": {1, func(*platformServer) bearer.Credential {
			return bearer.Credential{ClientID: "api-1", Secret: "secret-of-api-1", Post: true}
		}},
		"an API key": {2, func(*platformServer) bearer.Credential {
			return bearer.Credential{Header: http.Header{"authorization": {"APIKEY key-of-the-api-behind"}}}
		}},
		"a JWT": {0, func(w *platformServer) bearer.Credential {
			key := w.setup.keys["k6"]
			signer, err := assertion.NewSigner(key.private, key.alg, key.kid, "client-authentication+jwt")
			must(t, err)
			return bearer.Credential{Assertion: func(context.Context) (string, error) {
				return signer.Sign(assertion.Assertion{Issuer: "api-1", Subject: "api-1", Audience: []string{w.url}, Expiry: w.Now().Add(time.Minute), ID: assertion.NewID()})
			}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := openPrivate(t, platforms[row.platform])
			token := w.mint(t, w.one)
			if _, err := w.verifier.Verify(t.Context(), token); err == nil || oauth.AsError(err).Code != oauth.TemporarilyUnavailable {
				t.Errorf("without a credential: %v", err)
			}
			w.watch()
			w.list.Credential = row.with(w)
			if _, err := w.verifier.Verify(t.Context(), token); err != nil {
				t.Fatalf("refused: %v", err)
			}
			w.revoke(t, authority.Target{All: true})
			w.Advance(10 * time.Second)
			if _, err := w.verifier.Verify(t.Context(), token); err == nil || oauth.AsError(err).Code != oauth.InvalidToken {
				t.Errorf("a revoked token: %v", err)
			}
		})
	}
}
