package xoauth2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"moneyer/tokensource"
	"moneyer/tokensource/xoauth2"
)

func TestTokenSource(t *testing.T) {
	answer := `{"access_token":"a","token_type":"bearer","expires_in":"600"}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) }))
	defer server.Close()
	source := func() *tokensource.Source {
		return &tokensource.Source{Issuer: server.URL, Credential: tokensource.Credential{ClientID: "shop", Secret: "s"}}
	}
	token, err := xoauth2.TokenSource(t.Context(), source()).Token()
	if err != nil || token.AccessToken != "a" || token.Type() != "Bearer" || !token.Valid() {
		t.Errorf("%v, %v", token, err)
	}
	if left := time.Until(token.Expiry); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("%s left", left)
	}
	answer = "{}"
	if _, err := xoauth2.TokenSource(t.Context(), source()).Token(); err == nil {
		t.Error("a token out of nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := xoauth2.TokenSource(ctx, source()).Token(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A library that wants an oauth2.TokenSource gets one.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Fprint(w, `{"access_token":"the-token","expires_in":600}`)
			return
		}
		fmt.Println(r.Header.Get("Authorization"))
	}))
	defer server.Close()

	source := &tokensource.Source{
		Issuer:     server.URL,
		Credential: tokensource.Credential{ClientID: "shop", Secret: "the-secret"},
	}
	ctx := context.Background()
	client := &http.Client{Transport: &oauth2.Transport{Source: xoauth2.TokenSource(ctx, source)}}
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	// Output: Bearer the-token
}
