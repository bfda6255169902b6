package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/authority"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
	"moneyer/profile"
)

// FuzzDecode holds what the decoder accepts to what net/url and encoding/json
// make of the same body: every parameter that it knows, and no other, once.
func FuzzDecode(f *testing.F) {
	names := profile.BuiltinNames()
	for i := range names {
		for _, body := range []string{
			"grant_type=client_credentials&client_id=a+b%2Bc&client_secret=p%2540&scope=x",
			"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c&a;b=c&&=&x",
			"%67rant_type=x&assertion=%61",
			`{"grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","\u0061ssertion":"\ud83d\ude00"}`,
			` {"merchantId":"shop-1","tokens":["vts-1","mdes-1"],"scope":"PAYMENT_PASSKEY","x":{"a":[1,null]}} `,
		} {
			f.Add(i, body[0] == '{' || body[0] == ' ', []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, which int, isJSON bool, body []byte) {
		if which < 0 || which >= len(names) {
			return
		}
		found, err := profile.Builtin(names[which])
		p := found.Definition()
		if err != nil {
			t.Fatal(err)
		}
		w := newWire(&registry.Issuer{Name: "i", URL: "https://i.example.com", Profile: p})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", map[bool]string{true: "application/json", false: "application/x-www-form-urlencoded"}[isJSON])
		limits := overload.Default()
		req, err := w.decode(httptest.NewRecorder(), r, &limits)
		if err != nil {
			if code := oauth.AsError(err).Code; code == oauth.ServerError || code.Retryable() {
				t.Fatalf("a body of the caller's own making is refused with %v", err)
			}
			return
		}
		values, once := readAsStdlib(t, isJSON, body)
		for i := range w.Params {
			param := &w.Params[i]
			want, _ := json.Marshal(values[param.Name])
			if values[param.Name] == "" {
				want = []byte("null")
			}
			if got, _ := json.Marshal(taken(req, w, param)); !bytes.Equal(got, want) {
				t.Errorf("%s is %s here and %s for the standard library", param.Name, got, want)
			}
			if !once(param.Name) {
				t.Errorf("%s stands twice and was accepted", param.Name)
			}
		}
	})
}

// readAsStdlib reads a body that the decoder accepted.
func readAsStdlib(t *testing.T, isJSON bool, body []byte) (values map[string]any, once func(string) bool) {
	t.Helper()
	values = map[string]any{}
	if isJSON {
		if err := json.Unmarshal(body, &values); err != nil {
			t.Fatalf("encoding/json refuses what was accepted: %v", err)
		}
		return values, func(string) bool { return true }
	}
	// net/url alone still thinks that a semicolon could separate parameters.
	form, err := url.ParseQuery(strings.ReplaceAll(string(body), ";", "%3B"))
	if err != nil {
		t.Fatalf("net/url refuses what was accepted: %v", err)
	}
	for name := range form {
		values[name] = form.Get(name)
	}
	return values, func(name string) bool { return len(form[name]) < 2 }
}

// taken is what the decoder made of one parameter; nil for nothing.
func taken(req *authority.Request, w *wire, param *platform.Param) any {
	var shown authority.Credential
	for i := range req.Credentials {
		if c := req.Credentials[i]; c.Method == oauth.AuthPost {
			shown.Secret = c.Secret
		} else if c.Method == oauth.AuthPrivateKeyJWT {
			shown.Method, shown.Assertion = c.Method, c.Assertion
		}
	}
	text := map[platform.Meaning]string{
		platform.MeansGrantType: string(req.GrantType), platform.MeansAssertion: req.Assertion, platform.MeansScope: req.Scope,
		platform.MeansClientID: req.ClientID, platform.MeansClientSecret: shown.Secret, platform.MeansClientAssertion: shown.Assertion,
	}[param.Means]
	if param.Means == platform.MeansClientAssertionType && shown.Method == oauth.AuthPrivateKeyJWT {
		text = oauth.AssertionTypeJWT
	}
	i := slices.IndexFunc(req.Params, func(p authority.Param) bool { return p.Name == param.Name })
	switch {
	case param.Means == "" && i >= 0 && req.Params[i].Value.IsList:
		return req.Params[i].Value.List
	case param.Means == "" && i >= 0:
		text = req.Params[i].Value.Text
	}
	if text == "" {
		return nil
	}
	return text
}
