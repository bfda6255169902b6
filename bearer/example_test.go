package bearer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"time"

	"moneyer/assertion"
	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// An API lets calls pass that carry an access token of its issuer. Without Keys,
// a Verifier fetches them from the issuer.
func Example() {
	verifier := &bearer.Verifier{
		Issuer:   "https://issuer.example",
		Audience: []string{"https://api.example"},
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello", bearer.ClaimsFrom(r.Context()).ClientID)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /payments", verifier.Require("payments:read")(handler))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/payments", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer
}

// Errors go out in the API's own style, under the headers of RFC 6750.
func ExampleVerifier_Require() {
	verifier := &bearer.Verifier{
		Issuer:   "https://issuer.example",
		Audience: []string{"https://api.example"},
		Realm:    "payments",
	}
	verifier.Refuse = func(w http.ResponseWriter, _ *http.Request, status int, err *oauth.Error) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": err.Code})
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/payments", nil)
	r.Header.Set("Authorization", "Bearer nonsense")
	verifier.Require()(http.NotFoundHandler()).ServeHTTP(w, r)
	fmt.Print(w.Body)
	// Output: {"status":401,"title":"invalid_token"}
}

// An API that has the issuer's key at hand needs no HTTP to verify.
func ExampleVerifier_Verify() {
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		log.Fatal(err)
	}
	public, err := bearer.NewKey(key.Public(), "ES256")
	if err != nil {
		log.Fatal(err)
	}
	verifier := &bearer.Verifier{
		Issuer:   "https://issuer.example",
		Audience: []string{"https://api.example"},
		Keys:     bearer.StaticKeys{"key-1": public},
	}

	issuer, err := assertion.NewSigner(key, "", "key-1", "at+jwt") // stands for an issuer
	if err != nil {
		log.Fatal(err)
	}
	token, err := issuer.Sign(assertion.Assertion{
		Issuer:   "https://issuer.example",
		Subject:  "merchant-7",
		Audience: []string{"https://api.example"},
		Expiry:   time.Now().Add(time.Minute),
	})
	if err != nil {
		log.Fatal(err)
	}

	claims, err := verifier.Verify(context.Background(), token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Subject)
	// Output: merchant-7
}

// A proxy on the same machine ends TLS, and passes on the client certificate to which a
// token may be bound.
func ExampleForwardedCertificate() {
	verifier := &bearer.Verifier{
		Issuer:            "https://issuer.example",
		Audience:          []string{"https://api.example"},
		ClientCertificate: bearer.ForwardedCertificate("Client-Cert", netip.MustParsePrefix("127.0.0.1/32")),
	}
	r := httptest.NewRequest(http.MethodGet, "/payments", nil)
	r.RemoteAddr = "192.0.2.7:1234" // not the proxy
	r.Header.Set("Client-Cert", ":AAAA:")
	_, shown := verifier.ClientCertificate(r)
	fmt.Println(shown)
	// Output: false
}

// A handler of a framework that Require does not fit verifies its request itself.
func ExampleVerifier_VerifyRequest() {
	verifier := &bearer.Verifier{
		Issuer:   "https://issuer.example",
		Audience: []string{"https://api.example"},
	}
	handle := func(r *http.Request) (status int, body string) {
		claims, err := verifier.VerifyRequest(r)
		switch {
		case err == nil:
			return http.StatusOK, "hello " + claims.ClientID
		case oauth.AsError(err).Code.Retryable():
			return http.StatusServiceUnavailable, ""
		default:
			return http.StatusUnauthorized, ""
		}
	}
	fmt.Println(handle(httptest.NewRequest(http.MethodGet, "/payments", nil)))
	// Output: 401
}

// A platform may mint a token for one account and some of its items, such as a
// Thales ETP token: its sub is a merchant, and its claim "tokens" lists the card
// tokens that it is good for. The API compares each call with them.
func ExampleClaims_Texts() {
	allowed := func(claims *bearer.Claims, merchant, card string) bool {
		cards, _ := claims.Texts("tokens")
		return merchant != "" && merchant == claims.Subject && slices.Contains(cards, card)
	}
	claims := &bearer.Claims{Subject: "merchant-7", Payload: []byte(`{"sub":"merchant-7","tokens":["card-1","card-2"]}`)} // from Verify or ClaimsFrom

	fmt.Println("own merchant, own card:", allowed(claims, "merchant-7", "card-2"))
	fmt.Println("own merchant, another card:", allowed(claims, "merchant-7", "card-3"))
	fmt.Println("another merchant:", allowed(claims, "merchant-8", "card-2"))
	fmt.Println("no claim:", allowed(&bearer.Claims{Subject: "merchant-7", Payload: []byte(`{}`)}, "merchant-7", "card-1"))
	// Output:
	// own merchant, own card: true
	// own merchant, another card: false
	// another merchant: false
	// no claim: false
}

// An API asks its issuer what was revoked; RemoteKeys, here StaticKeys, serve
// tokens and list.
func ExampleRevocationList() {
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		log.Fatal(err)
	}
	public, err := bearer.NewKey(key.Public(), "ES256")
	if err != nil {
		log.Fatal(err)
	}
	issuer, err := jose.NewSigner(key, "ES256", "key-1", "at+jwt") // stands for an issuer, with the server
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Unix()
		list, _ := issuer.As("revocations+jwt").SignDocument(fmt.Appendf(nil, `{"iss":"http://%s","iat":%d,"exp":%d,"jti":["token-2"]}`, r.Host, now, now+60))
		_, _ = w.Write(list)
	}))
	defer server.Close()

	keys := bearer.StaticKeys{"key-1": public}
	verifier := &bearer.Verifier{
		Issuer:      server.URL,
		Audience:    []string{"https://api.example"},
		Keys:        keys,
		CacheSize:   10_000,
		Revocations: &bearer.RevocationList{Issuer: server.URL, Keys: keys, Interval: 5 * time.Second},
	}
	for _, id := range []string{"token-1", "token-2"} {
		token, _ := issuer.Sign(nil, fmt.Appendf(nil, `{"iss":%q,"aud":"https://api.example","exp":%d,"jti":%q}`, server.URL, time.Now().Unix()+60, id))
		_, err := verifier.Verify(context.Background(), string(token))
		fmt.Println(id, err)
	}
	// Output:
	// token-1 <nil>
	// token-2 invalid_token: the access token was revoked
}
