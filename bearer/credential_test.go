package bearer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/bearer"
	"moneyer/oauth"
)

// TestCredentialIsNotShown: whatever prints a credential, or a list that has one, shows
// no secret.
func TestCredentialIsNotShown(t *testing.T) {
	c := bearer.Credential{ClientID: "api", Secret: "SECRET", Header: http.Header{"Authorization": {"APIKEY SECRET"}}}
	var shown bytes.Buffer
	for _, v := range []any{c, &c, []any{c}, struct{ C bearer.Credential }{c}, map[string]any{"c": c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			shown.Write(text)
		}
	}
	for _, secret := range []string{"SECRET", fmt.Sprintf("%x", "SECRET")} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

// TestCredentialIsSent: each kind of credential is in the request as RFC 6749 and RFC 7523
// have it. A GET asks by ETag, a POST cannot.
func TestCredentialIsSent(t *testing.T) {
	for name, row := range map[string]struct {
		credential                      bearer.Credential
		method, authorization, form, by string
	}{
		"none":                  {bearer.Credential{}, "GET", "", "", `"e"`},
		"Basic":                 {bearer.Credential{ClientID: "a b", Secret: "c:d"}, "GET", "Basic YStiOmMlM0Fk", "", `"e"`},
		"form":                  {bearer.Credential{ClientID: "a", Secret: "c&d", Post: true}, "POST", "", "client_id=a&client_secret=c%26d", ""},
		"API key":               {bearer.Credential{Header: http.Header{"authorization": {"APIKEY k"}}}, "GET", "APIKEY k", "", `"e"`},
		"JWT":                   {bearer.Credential{Assertion: func(context.Context) (string, error) { return "e30.e30.AA", nil }}, "POST", "", "client_assertion=e30.e30.AA&client_assertion_type=" + "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer", ""},
		"secret with line end":  {bearer.Credential{ClientID: "a", Secret: "s\n"}, "", "", "", ""},
		"broken JWT":            {bearer.Credential{Assertion: func(context.Context) (string, error) { return "", errors.New("no key") }}, "", "", "", ""},
		"certificate":           {bearer.Credential{ClientID: "a b", Certificate: true}, "POST", "", "client_id=a+b", ""},
		"Basic and certificate": {bearer.Credential{ClientID: "a", Secret: "s", Certificate: true}, "POST", "Basic YTpz", "client_id=a", ""},
		"form and certificate":  {bearer.Credential{ClientID: "a", Secret: "s", Post: true, Certificate: true}, "POST", "", "client_id=a&client_secret=s", ""},
		"JWT and certificate": {bearer.Credential{ClientID: "a", Certificate: true, Assertion: func(context.Context) (string, error) { return "e30.e30.AA", nil }}, "POST", "",
			"client_assertion=e30.e30.AA&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=a", ""},
		"certificate of nobody": {bearer.Credential{Certificate: true}, "", "", "", ""},
		"two":                   {bearer.Credential{Secret: "s", Assertion: func(context.Context) (string, error) { return "x", nil }}, "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRevoker(t, nil)
				r.etag = `"e"`
				answer := r.answer
				var last *http.Request
				form := ""
				r.answer = func(req *http.Request) (*http.Response, error) {
					body, err := io.ReadAll(req.Body)
					last, form = req, string(body)
					if err != nil {
						return nil, err
					}
					return answer(req)
				}
				v, list := r.verifier(t)
				list.Credential = row.credential
				c := calls{t, v, r.mint.token(t, nil)}
				if row.method == "" {
					c.want(oauth.TemporarilyUnavailable, 0)
					if last != nil {
						t.Error("a request was sent")
					}
					return
				}
				c.want("", 0)
				time.Sleep(11 * time.Second)
				c.want("", 0)
				if last.Method != row.method || last.Header.Get("Authorization") != row.authorization || form != row.form || last.Header.Get("If-None-Match") != row.by {
					t.Errorf("%s with header %v and form %q", last.Method, last.Header, form)
				}
			})
		})
	}
}
