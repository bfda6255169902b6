package tokensource_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"moneyer/assertion"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

// A merchant gateway calls Thales D1: each API call carries a token that is
// fetched with a signed assertion, kept, and renewed in time.
func Example() {
	server := standIn(`{"access_token":"the-token","token_type":"Bearer","expires_in":900}`)
	defer server.Close()

	d1, err := profile.Builtin("thales-d1")
	if err != nil {
		log.Fatal(err)
	}
	key, err := assertion.GenerateKey("ES256") // assertion.LoadKey in a program
	if err != nil {
		log.Fatal(err)
	}
	source := &tokensource.Source{
		Profile:    d1,
		Issuer:     server.URL,
		Credential: tokensource.Credential{ClientID: "merchant01", Key: key, Kid: "key-2026"},
	}
	client := source.Client()
	resp, err := client.Get(server.URL + "/cards")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: called with "Bearer the-token"
}

// A platform calls its customers, as Thales D1 does: there it is the client, and
// each customer says how it wants to be asked. One wants a secret, another an
// assertion that says for whom it is meant.
func Example_outbound() {
	withSecret := standIn(`{"access_token":"of-the-first","token_type":"Bearer","expires_in":"600","expires_at":"2026-11-23T12:10:00.000Z"}`)
	defer withSecret.Close()
	withKey := standIn(`{"access_token":"of-the-second","token_type":"Bearer","expires_in":600}`)
	defer withKey.Close()

	key, err := assertion.GenerateKey("ES256") // assertion.LoadKey in a program
	if err != nil {
		log.Fatal(err)
	}
	for _, customer := range []*tokensource.Source{{
		TokenURL:   withSecret.URL + "/oauth/token",
		Credential: tokensource.Credential{ClientID: "d1-platform", Secret: "the-secret"}, // Authorization: Basic
		Scope:      oauth.Scope{"notifications"},
	}, {
		TokenURL:   withKey.URL + "/token",
		Credential: tokensource.Credential{ClientID: "d1", Subject: "customer01", Key: key, Kid: "d1-2026"},
	}} {
		token, err := customer.Token(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.AccessToken)
	}
	// Output:
	// of-the-first
	// of-the-second
}

// One Source serves many merchants, each with a token of its own.
func ExampleSource_TokenFor() {
	server := standIn(`{"accessToken":"the-token"}`)
	defer server.Close()

	etp, err := profile.Builtin("thales-etp")
	if err != nil {
		log.Fatal(err)
	}
	source := &tokensource.Source{
		Profile:    etp,
		Issuer:     server.URL,
		Credential: tokensource.Credential{APIKey: "the-key"},
		Scope:      oauth.Scope{"PAYMENT_PASSKEY"},
	}
	token, err := source.TokenFor(context.Background(), tokensource.Request{
		Params: url.Values{"merchantId": {"merchant-7"}, "tokens": {"card-1", "card-2"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.AccessToken)
	// Output: the-token
}

// A Transport says which token a client adds, and which hosts the token is for.
func ExampleTransport() {
	server := standIn(`{"access_token":"the-token","expires_in":900}`)
	defer server.Close()

	source := &tokensource.Source{
		Issuer:     server.URL,
		Credential: tokensource.Credential{ClientID: "shop", Secret: "the-secret"},
	}
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &tokensource.Transport{
			Source:  source,
			Request: tokensource.Request{Scope: oauth.Scope{"payments:read"}},
			Hosts:   []string{"api.example"},
		},
	}
	_, err := client.Get(server.URL + "/payments")
	fmt.Println(err != nil)
	// Output: true
}

// A client authenticates by its certificate, which is read again when its files change. The
// issuer's metadata say where its token endpoint is.
func ExampleCertificateFiles() {
	files := &tokensource.CertificateFiles{Cert: "client.crt", Key: "client.key"}
	source := &tokensource.Source{
		Issuer:     "https://issuer.example",
		Discover:   true,
		Credential: tokensource.Credential{ClientID: "shop", Certificate: files.Certificate},
	}
	_, err := source.Client().Get("https://api.example/payments") // shows it, too
	fmt.Println(err)
	// Output: Get "https://api.example/payments": tokensource: client certificate: stat client.crt: no such file or directory
}

// The platform trusts an identity provider: its assertions take the place of the client's
// own. In Kubernetes they are the tokens of a service account.
func ExampleAssertionFile() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"access_token":"for-%s","expires_in":600}`, r.PostFormValue("client_assertion"))
	}))
	defer server.Close()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "token") // such as /var/run/secrets/tokens/issuer
	if err := os.WriteFile(file, []byte("head.claims.signature\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	source := &tokensource.Source{
		Issuer:     server.URL,
		Credential: tokensource.Credential{Assertion: tokensource.AssertionFile(file)},
	}
	token, err := source.Token(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.AccessToken)
	// Output: for-head.claims.signature
}

// A refusal has a code.
func ExampleSource_Fetch() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client"}`)
	}))
	defer server.Close()

	source := &tokensource.Source{
		Issuer:     server.URL,
		Credential: tokensource.Credential{ClientID: "shop", Secret: "wrong"},
	}
	_, err := source.Fetch(context.Background())
	refused := oauth.AsError(err)
	fmt.Println(refused.Code, refused.Code.Retryable())
	// Output: invalid_client false
}

// standIn is a platform's token endpoint and API in one.
func standIn(answer string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			fmt.Fprint(w, answer)
			return
		}
		fmt.Fprintf(w, "called with %q", r.Header.Get("Authorization"))
	}))
}
