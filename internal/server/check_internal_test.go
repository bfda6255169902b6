package server

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"moneyer/internal/authority"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// TestHeaderValue: what a proxy hands on is one line that nobody trims, and can be
// read back.
func TestHeaderValue(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "gateway-1": "gateway-1", "read write": "read write", "100%": "100%25", "%41": "%2541", "a,b;c=\"d\"": "a,b;c=\"d\"",
		"café": "caf%C3%A9", "a\r\nX-Token-Client: b": "a%0D%0AX-Token-Client: b", "\x00\x7f": "%00%7F",
		" admin": "%20admin", "admin ": "admin%20", " ": "%20", "  a  ": "%20 a %20",
	} {
		if got := headerValue(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzHeaderValue: visible ASCII, no blank at the ends, and no two texts in one
// form.
func FuzzHeaderValue(f *testing.F) {
	for _, text := range []string{"", " a ", "café", "%41", "\r\n", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value := headerValue(text)
		if strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q becomes %q", text, value)
		}
		if back, err := url.PathUnescape(value); err != nil || back != text {
			t.Errorf("%q becomes %q, and that %q (%v)", text, value, back, err)
		}
	})
}

// FuzzRequired: every scope and audience that the standard library finds in a query
// is required, and the caller's own query in front or behind takes none away.
func FuzzRequired(f *testing.F) {
	for _, query := range []string{
		"", "scope=a&audience=b", "scope=a+b&scope=c", "%73cope=a", "scope", "scope=%zz", "audience=&audience=x", "a;scope=b&scope=c;d",
		strings.Repeat("&", 10_001) + "scope=a", "Scope=a&scope[]=b", "scope=a=b&scope==",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, _ := url.ParseQuery(query)
		scope, audiences, err := required(query)
		if err != nil {
			return
		}
		for _, text := range values["scope"] {
			if missing := scope.Missing(strings.Fields(text)); len(values["scope"]) == 1 && !strings.Contains(query, ";") && missing != "" {
				t.Errorf("%q requires scope %q, which nobody wrote", query, missing)
			}
			for _, word := range strings.Fields(text) {
				if !scope.Has(word) {
					t.Errorf("%q does not require scope %q", query, word)
				}
			}
		}
		for _, text := range values["audience"] {
			if !slices.Contains(audiences, text) {
				t.Errorf("%q does not require audience %q", query, text)
			}
		}
		for _, around := range []string{query + "&scope=mine&audience=ours", "scope=mine&audience=ours&" + query} {
			scope, audiences, err := required(around)
			if err != nil || !scope.Has("mine") || !slices.Contains(audiences, "ours") {
				t.Errorf("%q: %v %v, %v", around, scope, audiences, err)
			}
		}
	})
}

// FuzzBearerToken: what comes out stood behind one scheme and its blanks in one header, and
// nothing else is taken off it.
func FuzzBearerToken(f *testing.F) {
	f.Add("Bearer abc", "")
	f.Add("bearer  abc", "x")
	f.Add("Basic abc", "Bearer abc")
	f.Add("Bearer", "")
	f.Add("", "Bearer")
	f.Fuzz(func(t *testing.T, first, second string) {
		token, err := presentedToken([]string{first})
		scheme, rest := first[:min(len(first), len("Bearer"))], first[min(len(first), len("Bearer")):]
		want := strings.TrimLeft(rest, " ")
		wants := strings.EqualFold(scheme, "Bearer") && want != "" && want != rest
		if (err == nil) != wants || err == nil && token != want {
			t.Errorf("%q: %q, %v", first, token, err)
		}
		if token, err := presentedToken([]string{first, second}); err == nil {
			t.Errorf("%q is taken out of two headers", token)
		}
	})
}

// FuzzIntrospection: an answer is one JSON object whose members are each there
// once, whatever the token and the client are called; of a good token no claim is
// missing.
func FuzzIntrospection(f *testing.F) {
	for _, payload := range []string{
		`{"iss":"https://a","aud":["x","y"],"exp":1}`, `{"active":false,"token_type":"mac","client_id":"other","sub":"s"}`,
		`{"client_id":"a","client_id":"b"}`, `{"as_of":1,"sub":"s"}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, `{"a":1}}`, `{"a":`, "", `[]`, `{"":null, "\ud83d\ude00" : [ ] }`,
	} {
		f.Add("gateway-1", []byte(payload))
		f.Add("\"},\"active\":true,\"\x00é", []byte(payload))
		f.Add("", []byte(payload))
	}
	f.Fuzz(func(t *testing.T, client string, payload []byte) {
		claims := map[string]string{}
		err := strictjson.Object(payload, strictjson.Limits{}, func(name string, v strictjson.Value) error {
			claims[name] = string(v.Raw())
			return nil
		})
		if err != nil || !utf8.ValidString(client) {
			return // nothing that we signed, nobody that we know
		}
		answer := appendIntrospection(nil, &authority.ActiveToken{Type: oauth.TokenTypeBearer, Client: client, Payload: payload}, time.Time{})
		told := map[string]string{}
		err = strictjson.Object(answer, strictjson.Limits{Depth: 9, Members: 100}, func(name string, v strictjson.Value) error {
			told[name] = string(v.Raw())
			return nil
		})
		if err != nil || !json.Valid(answer) {
			t.Fatalf("%s: %v", answer, err)
		}
		claims["active"], claims["token_type"] = "true", `"Bearer"`
		delete(claims, "client_id")
		delete(claims, "as_of")
		if client != "" {
			claims["client_id"] = string(strictjson.AppendString(nil, client))
		}
		for name, value := range claims {
			if told[name] != value {
				t.Errorf("%q is %s, want %s", name, told[name], value)
			}
		}
		if len(told) != len(claims) {
			t.Errorf("%s has members that nobody gave", answer)
		}
	})
}

// TestIntrospectionOfNothing says no more than that.
func TestIntrospectionOfNothing(t *testing.T) {
	if got := string(appendIntrospection([]byte("x"), nil, time.Time{})); got != `x{"active":false}` {
		t.Error(got)
	}
	if got := string(appendIntrospection(nil, nil, time.Unix(1795435200, 999))); got != `{"active":false,"as_of":1795435200}` {
		t.Error(got)
	}
}
