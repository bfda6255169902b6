package tokensource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moneyer/oauth"
	"moneyer/tokensource"
)

const (
	grantOf        = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
	authOf         = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-"
	providersFirst = "eyJa.eyJi.eyJj-1"
)

// TestProvidedAssertion: an assertion that somebody else made is the grant (RFC 7523 §2.1)
// or the client's authentication (§2.2), unchanged and without a client_id.
func TestProvidedAssertion(t *testing.T) {
	key := newKey(t, "ES256")
	for name, row := range map[string]struct {
		profile    string
		credential tokensource.Credential
		want       string
	}{
		"D1's grant":           {"thales-d1", tokensource.Credential{}, grantOf + "&assertion=" + providersFirst},
		"authentication":       {"oauth2", tokensource.Credential{}, "grant_type=client_credentials&" + authOf + "bearer&client_assertion=" + providersFirst},
		"the grant":            {"oauth2", tokensource.Credential{Grant: oauth.JWTBearer}, grantOf + "&assertion=" + providersFirst},
		"SPIFFE":               {"oauth2", tokensource.Credential{AssertionType: oauth.AssertionTypeSPIFFE}, "grant_type=client_credentials&" + authOf + "spiffe&client_assertion=" + providersFirst},
		"with a client id":     {"oauth2", tokensource.Credential{ClientID: "shop"}, "grant_type=client_credentials&client_id=shop&" + authOf + "bearer&client_assertion=" + providersFirst},
		"instead of a key":     {"oauth2", tokensource.Credential{ClientID: "shop", Key: key}, "grant_type=client_credentials&client_id=shop&" + authOf + "bearer&client_assertion=" + providersFirst},
		"a secret beside it":   {"oauth2", tokensource.Credential{ClientID: "shop", Secret: "s", Grant: oauth.JWTBearer, Auth: oauth.AuthPost}, grantOf + "&assertion=" + providersFirst + "&client_id=shop&client_secret=s"},
		"a key beside it":      {"oauth2", tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer, Auth: oauth.AuthPrivateKeyJWT, AssertionType: oauth.AssertionTypeSPIFFE}, grantOf + "&assertion=" + providersFirst + "&client_id=shop&" + authOf + "bearer&client_assertion=SIGNED"},
		"a kid is not of them": {"thales-d1", tokensource.Credential{ClientID: "merchant01"}, grantOf + "&assertion=" + providersFirst},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			row.credential.Assertion = func(context.Context) (string, error) {
				n++
				return fmt.Sprintf("eyJa.eyJi.eyJj-%d", n), nil
			}
			e := always(200, `{"access_token":"a","expires_in":60}`)
			s := &tokensource.Source{Profile: builtin(t, row.profile), Issuer: "https://issuer.example", Credential: row.credential, HTTPClient: e.client()}
			mustToken(t, s)
			got := e.bodies[0]
			if before, signed, ok := strings.Cut(got, "client_assertion=eyJh"); ok && strings.Count(signed, ".") == 2 {
				got = before + "client_assertion=SIGNED"
			}
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// TestProvidedAssertionIsAskedForEachTry: it may have been renewed, or be good once.
func TestProvidedAssertionIsAskedForEachTry(t *testing.T) {
	n := 0
	e := &endpoint{answer: func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return reply(503, ""), nil
		}
		return reply(200, `{"access_token":"a"}`), nil
	}}
	s := &tokensource.Source{Issuer: "https://issuer.example", HTTPClient: e.client(), Credential: tokensource.Credential{
		Assertion: func(context.Context) (string, error) { n++; return fmt.Sprintf("a.b.%d", n), nil }}}
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n != 2 || !strings.Contains(e.bodies[0], "a.b.1") || !strings.Contains(e.bodies[1], "a.b.2") {
		t.Errorf("asked %d times: %q", n, e.bodies)
	}
}

// TestProvidedAssertionFails: what the provider cannot give is not sent, and what it gave
// is in no error.
func TestProvidedAssertionFails(t *testing.T) {
	long := "a.b." + strings.Repeat("c", 8192)
	give := func(text string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return text, nil }
	}
	for name, row := range map[string]struct {
		credential tokensource.Credential
		want       string
	}{
		"no answer":            {tokensource.Credential{Assertion: func(context.Context) (string, error) { return "", errors.New("Keycloak is down") }}, "the provider of the assertion: Keycloak is down"},
		"nothing":              {tokensource.Credential{Assertion: give("")}, "something else than a signed JWT"},
		"an error page":        {tokensource.Credential{Assertion: give("<p>a.b.c</p>\n")}, "something else than a signed JWT"},
		"a JWE":                {tokensource.Credential{Assertion: give("a.b.c.d.e")}, "something else than a signed JWT"},
		"too long":             {tokensource.Credential{Assertion: give(long)}, `parameter "client_assertion" is longer than`},
		"a subject":            {tokensource.Credential{Assertion: give("a.b.c"), Grant: oauth.JWTBearer, Subject: "x"}, "that of Credential.Assertion has its own"},
		"an audience":          {tokensource.Credential{Assertion: give("a.b.c"), Grant: oauth.JWTBearer, Audience: "x"}, "that of Credential.Assertion has its own"},
		"an unknown type":      {tokensource.Credential{Assertion: give("a.b.c"), AssertionType: "saml"}, `AssertionType "saml" is not known`},
		"the form of a client": {tokensource.Credential{Assertion: give("a.b.c"), ClientID: strings.Repeat("x", 300)}, "does not have the form"},
	} {
		t.Run(name, func(t *testing.T) {
			e := always(200, `{"access_token":"a"}`)
			s := &tokensource.Source{Issuer: "https://issuer.example", HTTPClient: e.client(), Credential: row.credential}
			_, err := s.Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "ccccc") || strings.Contains(err.Error(), "a.b.c") || e.count() != 0 {
				t.Errorf("%v after %d requests, want %q", err, e.count(), row.want)
			}
		})
	}
	e := always(400, `{"error":"invalid_grant","error_description":"eyJhbGciOiJIUzI1NiJ9.b.c is not good"}`)
	s := &tokensource.Source{Issuer: "https://issuer.example", HTTPClient: e.client(), Credential: tokensource.Credential{Assertion: give("eyJhbGciOiJIUzI1NiJ9.b.c")}}
	if _, err := s.Fetch(t.Context()); err == nil || strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), "[withheld] is not good") {
		t.Errorf("a server quotes it: %v", err)
	}
}

// TestLongAssertionIsWithheld: what a server quotes is removed before its text is cut to a
// length for the log, so that no part of it stays.
func TestLongAssertionIsWithheld(t *testing.T) {
	jwt := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("c", 600) + ".sig"
	for _, status := range []int{200, 400} {
		e := always(status, `{"error":"invalid_grant","error_description":"the assertion `+jwt+` is not good"}`)
		s := &tokensource.Source{Issuer: "https://issuer.example", HTTPClient: e.client(), Credential: tokensource.Credential{
			Assertion: func(context.Context) (string, error) { return jwt, nil }}}
		if _, err := s.Fetch(t.Context()); err == nil || strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), "the assertion [withheld] is not good") {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// TestAssertionFile: the file is read each time, without its line end.
func TestAssertionFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	read := tokensource.AssertionFile(name)
	if _, err := read(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	for _, text := range []string{"a.b.c", "d.e.f"} {
		if err := os.WriteFile(name, []byte(text+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := read(t.Context()); err != nil || got != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.WriteFile(name, make([]byte, 64<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t.Context()); err == nil {
		t.Error("a file of any length is read")
	}
}
