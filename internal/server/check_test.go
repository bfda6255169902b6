package server_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"moneyer/internal/jose"
)

// TestCheckHeaders: all eight headers are there, also those that say nothing, each
// once, whatever the caller sent; and what is no visible ASCII is encoded.
func TestCheckHeaders(t *testing.T) {
	w := &platformServer{platformCase: platforms[1], testServer: readSetup(t, "testdata/transcripts/boltpay", "").open(t)}
	w.watch()
	token := w.mint(t, form+"\ngrant_type=client_credentials&client_id=shop+5%26co&client_secret=secret-of-the-shop-with-an-odd-name")
	jti, _ := payloadOf(t, token)
	resp, body := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer "+token+"\nX-Token-Subject: admin\nX-Token-Scope: admin\nX-Token-Client: admin\nX-Token-As-Of: 1")
	if resp.StatusCode != http.StatusOK || body != "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	for name, want := range map[string]string{
		"X-Token-Issuer": w.url, "X-Token-Client": "shop 5&co", "X-Token-Subject": "", "X-Token-Scope": "", "X-Token-Id": jti, "X-Token-Expires": "1795435800", "X-Token-As-Of": "",
	} {
		if got := resp.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	jws, err := jose.Parse(token)
	must(t, err)
	if claims, err := base64.RawURLEncoding.DecodeString(resp.Header.Get("X-Token-Claims")); err != nil || string(claims) != string(jws.Payload) {
		t.Errorf("X-Token-Claims: %q, %v", claims, err)
	}
}

// TestCheckAccountOfAnyName hands on an account's name that no header could hold.
func TestCheckAccountOfAnyName(t *testing.T) {
	s := readSetup(t, "testdata/transcripts/thales-etp", "")
	issuer := s.issuers[0]
	issuer.accounts[0].ID = "café 100%"
	for i := range issuer.items {
		if issuer.items[i].Account == "shop-1" {
			issuer.items[i].Account = "café 100%"
		}
	}
	w := &platformServer{platformCase: platforms[2], testServer: s.open(t)}
	token := w.mint(t, etpRequest("mnk_key-of-gateway-1", "café 100%", "vts-1"))
	resp, _ := w.do(t, "GET "+w.host()+"/check\nAuthorization: Bearer "+token)
	if got := resp.Header.Get("X-Token-Subject"); resp.StatusCode != http.StatusOK || got != "caf%C3%A9 100%25" {
		t.Errorf("%d, subject %q", resp.StatusCode, got)
	}
}

// TestCheckFloodOfParameters: more parameters than net/url reads take no
// requirement away.
func TestCheckFloodOfParameters(t *testing.T) {
	w := platforms[0].open(t)
	token := w.mint(t, w.one)
	for query, want := range map[string]int{"scope=admin": 403, "audience=elsewhere": 401, "scope=read": 200} {
		for _, flooded := range []string{query + strings.Repeat("&", 10_001), strings.Repeat("a&", 10_001) + query} {
			if resp, _ := w.do(t, "GET "+w.host()+"/check?"+flooded+"\nAuthorization: Bearer "+token); resp.StatusCode != want {
				t.Errorf("%s among 10,001 others: %d, want %d", query, resp.StatusCode, want)
			}
		}
	}
}

// TestIntrospectionLongerThanAToken: what is told of the longest token is longer
// than a token may be, and signed all the same.
func TestIntrospectionLongerThanAToken(t *testing.T) {
	roles := make([]string, 45)
	for i := range roles {
		roles[i] = fmt.Sprintf("%03d", i) + strings.Repeat("r", 118)
	}
	s := readSetup(t, "testdata/transcripts/boltpay", "")
	list := s.issuers[0].clients[0].Attributes["roles"]
	list.List = roles
	s.issuers[0].clients[0].Attributes["roles"] = list
	w := &platformServer{platformCase: platforms[1], testServer: s.open(t)}
	token := w.mint(t, w.two+"&scope=roles")
	_, answer := w.do(t, "POST "+w.host()+"/introspect"+w.introspects+"Accept: application/token-introspection+jwt\n\ntoken="+token+"&"+w.asking)
	if len(token) > jose.MaxLength || len(answer) <= jose.MaxLength {
		t.Fatalf("a token of %d bytes, an answer of %d: %.200s", len(token), len(answer), answer)
	}
	if jws := w.published(t, w.url, answer); !strings.Contains(string(jws.Payload), `"token_introspection":{"active":true,`) {
		t.Errorf("%s", jws.Payload)
	}
}

// TestIntrospectionWithoutKey: plain answers need no key, signed ones wait for one.
func TestIntrospectionWithoutKey(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "issuer keyless https://auth4.example.com resource=x keyless\nclient c\nsecret s9 secret-of-nobody-else").open(t)
	ask := func(accept string) int {
		resp, _ := h.do(t, "POST auth4.example.com/introspect"+form+accept+"\ntoken=x&client_id=c&client_secret=secret-of-nobody-else")
		return resp.StatusCode
	}
	if plain, signed := ask(""), ask("Accept: application/token-introspection+jwt\n"); plain != http.StatusOK || signed != http.StatusServiceUnavailable {
		t.Errorf("plain %d, signed %d", plain, signed)
	}
}
