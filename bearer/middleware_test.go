package bearer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// What WWW-Authenticate says.
const (
	plain     = `Bearer realm="payments"`
	malformed = plain + `, error="invalid_request", error_description="the Authorization header is not Bearer and one token"`
	two       = plain + `, error="invalid_request", error_description="more than one credential"`
	invalid   = plain + `, error="invalid_token", error_description="the access token is not valid here"`
	ended     = plain + `, error="invalid_token", error_description="the access token has expired"`
	scope     = plain + `, error="insufficient_scope", error_description="the access token lacks the scope %s", scope="read write"`
)

func TestRequire(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.Realm, v.RequiredScope = "payments", oauth.Scope{"read"}
	good, expired := m.token(t, nil), m.token(t, map[string]any{"exp": 1})
	for _, test := range []struct {
		name          string
		authorization []string
		query         string
		status        int
		challenge     string
	}{
		{"good", []string{"Bearer " + good}, "", 200, ""},
		{"scheme without case", []string{"bEARER " + good}, "", 200, ""},
		{"several blanks", []string{"Bearer   " + good}, "", 200, ""},
		{"none", nil, "", 401, plain},
		{"in the query", nil, "?access_token=" + good, 401, plain},
		{"another scheme", []string{"Basic YTpi"}, "", 401, plain},
		{"no blank", []string{"Bearer:" + good}, "", 401, plain},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, "", 400, two},
		{"header and query", []string{"Bearer " + good}, "?access_token=" + good, 400, two},
		{"a parameter that is only alike", []string{"Bearer " + good}, "?my_access_token=1", 200, ""},
		{"no token", []string{"Bearer"}, "", 400, malformed},
		{"two tokens", []string{"Bearer " + good + " " + good}, "", 400, malformed},
		{"a list", []string{"Bearer " + good + ",Bearer"}, "", 400, malformed},
		{"a bad one", []string{"Bearer " + good + "x"}, "", 401, invalid},
		{"not of this alphabet", []string{"Bearer \"\xff\\"}, "", 401, invalid},
		{"expired", []string{"Bearer " + expired}, "", 401, ended},
		{"the handler's scope", []string{"Bearer " + m.token(t, map[string]any{"scope": "read"})}, "", 403, fmt.Sprintf(scope, "write")},
		{"the verifier's scope", []string{"Bearer " + m.token(t, map[string]any{"scope": "write"})}, "", 403, fmt.Sprintf(scope, "read")},
		{"no scope", []string{"Bearer " + m.token(t, map[string]any{"scope": nil})}, "", 403, fmt.Sprintf(scope, "read")},
	} {
		t.Run(test.name, func(t *testing.T) {
			called := false
			handler := v.Require("write")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				called = true
				if c := bearer.ClaimsFrom(r.Context()); c == nil || c.ClientID != "client-1" {
					t.Errorf("claims %v", c)
				}
			}))
			req := httptest.NewRequest(http.MethodGet, "/"+test.query, nil)
			req.Header["Authorization"] = test.authorization
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			if w.Code != test.status || called != (test.status == 200) {
				t.Errorf("status %d, called: %t", w.Code, called)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != test.challenge {
				t.Errorf("got  %s\nwant %s", got, test.challenge)
			}
			if !called && (w.Header().Get("Cache-Control") != "no-store" || w.Body.Len() > 0) {
				t.Errorf("%v %q", w.Header(), w.Body)
			}
		})
	}
}

// VerifyRequest reads the header as Require does, and leaves the handler's scope to
// its caller.
func TestVerifyRequest(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.RequiredScope = oauth.Scope{"read"}
	good := m.token(t, nil)
	for _, test := range []struct {
		name          string
		authorization []string
		query         string
		code          oauth.Code // empty when the token is accepted
	}{
		{"good", []string{"Bearer " + good}, "", ""},
		{"scheme without case", []string{"bearer " + good}, "", ""},
		{"none", nil, "", oauth.InvalidToken},
		{"an empty header", []string{""}, "", oauth.InvalidToken},
		{"in the query alone", nil, "?access_token=" + good, oauth.InvalidToken},
		{"another scheme", []string{"DPoP " + good}, "", oauth.InvalidToken},
		{"two headers", []string{"Bearer " + good, "Basic YTpi"}, "", oauth.InvalidRequest},
		{"header and query", []string{"Bearer " + good}, "?a=1&access_token=" + good, oauth.InvalidRequest},
		{"header and a disguised query", []string{"Bearer " + good}, "?access%5Ftoken=" + good, oauth.InvalidRequest},
		{"scheme alone", []string{"Bearer "}, "", oauth.InvalidRequest},
		{"two tokens", []string{"Bearer " + good + "," + good}, "", oauth.InvalidRequest},
		{"a bad token", []string{"Bearer " + good + "x"}, "", oauth.InvalidToken},
		{"too little scope", []string{"Bearer " + m.token(t, map[string]any{"scope": "write"})}, "", oauth.InsufficientScope},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/"+test.query, nil)
			r.Header["Authorization"] = test.authorization
			claims, err := v.VerifyRequest(r)
			var refused *oauth.Error
			switch {
			case test.code == "" && (err != nil || claims.ClientID != "client-1"):
				t.Errorf("%v, %v", claims, err)
			case test.code != "" && (claims != nil || !errors.As(err, &refused) || refused.Code != test.code):
				t.Errorf("%v, %v; want %s", claims, err, test.code)
			}
		})
	}
}

// The scheme of the header and of the challenge is a value.
func TestTokenType(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.TokenType = "Token"
	good := m.token(t, nil)
	for authorization, want := range map[string]string{
		"token " + good:  "",
		"Bearer " + good: "Token",
		"Token":          `Token error="invalid_request", error_description="the Authorization header is not Token and one token"`,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		v.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if got := w.Header().Get("WWW-Authenticate"); got != want || (w.Code == http.StatusOK) != (want == "") {
			t.Errorf("%.20s: %d, %q; want %q", authorization, w.Code, got, want)
		}
	}
}

func TestRequireWhenNobodyCanJudge(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	serve := func(v *bearer.Verifier) *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+m.token(t, nil))
		w := httptest.NewRecorder()
		v.Require()(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let pass") })).ServeHTTP(w, req)
		return w
	}
	v := m.verifier(t)
	v.Keys = bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return bearer.Key{}, errors.New("PRIVATE") })
	v.Refuse = func(w http.ResponseWriter, _ *http.Request, status int, err *oauth.Error) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s, %s", err.Code, err.Description)
	}
	w := serve(v)
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if want := "temporarily_unavailable, access tokens cannot be checked at the moment"; w.Body.String() != want {
		t.Errorf("body %q", w.Body)
	}
	if w := serve(&bearer.Verifier{}); w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}

func TestChallengeHoldsNoQuotes(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.Realm = "a\"b\\c\r\nd"
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer "+m.token(t, nil))
	w := httptest.NewRecorder()
	v.Require("x\", error=\"y")(http.NotFoundHandler()).ServeHTTP(w, req)
	want := `Bearer realm="abcd", error="insufficient_scope", error_description="the access token lacks the scope x', error='y", scope="x, error=y"`
	if got := w.Header().Get("WWW-Authenticate"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestClaimsFromNowhere(t *testing.T) {
	if bearer.ClaimsFrom(t.Context()) != nil {
		t.Error("claims")
	}
}
