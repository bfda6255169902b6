package tokensource_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moneyer/oauth"
	"moneyer/tokensource"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// atNoon is a Source whose platform gives one answer, at noon.
func atNoon(e *endpoint) *tokensource.Source {
	s := withSecret(e)
	s.Now = func() time.Time { return noon }
	s.Scope = oauth.Scope{"asked"}
	return s
}

func unsigned(claims string) string {
	return "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestAnswers(t *testing.T) {
	jwt := unsigned(fmt.Sprintf(`{"exp":%d}`, noon.Add(7*time.Minute).Unix()))
	for _, test := range []struct {
		name, body string
		life       time.Duration
		scope      string
	}{
		{"RFC 6749", `{"access_token":"a","token_type":"Bearer","expires_in":600,"scope":"x y"}`, 10 * time.Minute, "x y"},
		{"lower-case type", `{"access_token":"a","token_type":"bearer","expires_in":600}`, 10 * time.Minute, "asked"},
		{"no type", `{"access_token":"a","expires_in":600}`, 10 * time.Minute, "asked"},
		{"null type", `{"access_token":"a","token_type":null,"expires_in":600}`, 10 * time.Minute, "asked"},
		{"seconds as a string", `{"access_token":"a","expires_in":"600"}`, 10 * time.Minute, "asked"},
		{"seconds with a fraction", `{"access_token":"a","expires_in":600.0}`, 10 * time.Minute, "asked"},
		{"seconds with an exponent", `{"access_token":"a","expires_in":6e2}`, 10 * time.Minute, "asked"},
		{"expires_in before expires_at", `{"access_token":"a","expires_in":"600","expires_at":"2026-11-23T13:00:00.000Z"}`, 10 * time.Minute, "asked"},
		{"ISO 8601 with milliseconds", `{"access_token":"a","expires_at":"2026-11-23T12:15:00.250Z"}`, 15*time.Minute + 250*time.Millisecond, "asked"},
		{"ISO 8601 with an offset", `{"access_token":"a","expires_at":"2026-11-23T13:15:00+01:00"}`, 15 * time.Minute, "asked"},
		{"ISO 8601 with a short offset", `{"access_token":"a","expires_at":"2026-11-23T13:15:00.000+0100"}`, 15 * time.Minute, "asked"},
		{"ISO 8601 without a zone", `{"access_token":"a","expires_at":"2026-11-23T12:15:00.5"}`, 15*time.Minute + 500*time.Millisecond, "asked"},
		{"expires_at as a number", fmt.Sprintf(`{"access_token":"a","expires_at":%d}`, noon.Unix()+60), time.Minute, "asked"},
		{"expires_at as a string of it", fmt.Sprintf(`{"access_token":"a","expires_at":"%d"}`, noon.Unix()+60), time.Minute, "asked"},
		{"expires_at in milliseconds", fmt.Sprintf(`{"access_token":"a","expires_at":%d}`, noon.UnixMilli()+90_500), 90500 * time.Millisecond, "asked"},
		{"exp of the token", `{"access_token":"` + jwt + `"}`, 7 * time.Minute, "asked"},
		{"null instead of times", `{"access_token":"` + jwt + `","expires_in":null,"expires_at":null}`, 7 * time.Minute, "asked"},
		{"a JWT without exp", `{"access_token":"` + unsigned(`{}`) + `"}`, 10 * time.Minute, "asked"},
		{"a JWT that is none", `{"access_token":"a.b.c"}`, 10 * time.Minute, "asked"},
		{"an exp that is none", `{"access_token":"` + unsigned(`{"exp":"x"}`) + `"}`, 10 * time.Minute, "asked"},
		{"nothing about time", `{"access_token":"opaque"}`, 10 * time.Minute, "asked"},
		{"camel case", `{"accessToken":"a","tokenType":"BEARER","expiresIn":600,"scope":"x"}`, 10 * time.Minute, "x"},
		{"camel case in ISO 8601", `{"accessToken":"a","expiresAt":"2026-11-23T12:15:00.000Z"}`, 15 * time.Minute, "asked"},
		{"scope as a list", `{"access_token":"a","expires_in":600,"scope":["x","y"]}`, 10 * time.Minute, "x y"},
		{"empty scope", `{"access_token":"a","expires_in":600,"scope":""}`, 10 * time.Minute, ""},
		{"a life beyond reason", `{"access_token":"a","expires_in":1e300}`, 365 * 24 * time.Hour, "asked"},
		{"an end beyond reason", `{"access_token":"a","expires_at":1e300}`, 365 * 24 * time.Hour, "asked"},
		{"an exp beyond reason", `{"access_token":"` + unsigned(`{"exp":1e300}`) + `"}`, 365 * 24 * time.Hour, "asked"},
		{"byte order mark", "\xef\xbb\xbf" + `{"access_token":"a","expires_in":600}`, 10 * time.Minute, "asked"},
		{"an exp in milliseconds", `{"access_token":"` + unsigned(fmt.Sprintf(`{"exp":%d}`, noon.UnixMilli()+90_500)) + `"}`, 90500 * time.Millisecond, "asked"},
		{"no end", `{"access_token":"a","expires_at":0}`, 10 * time.Minute, "asked"},
		{"words for seconds", `{"access_token":"a","expires_in":"soon"}`, 10 * time.Minute, "asked"},
		{"negative seconds", `{"access_token":"a","expires_in":-1}`, 10 * time.Minute, "asked"},
		{"NaN", `{"access_token":"a","expires_in":"NaN"}`, 10 * time.Minute, "asked"},
		{"true seconds", `{"access_token":"a","expires_in":true}`, 10 * time.Minute, "asked"},
		{"no seconds", `{"access_token":"a","expires_in":0}`, 10 * time.Minute, "asked"},
		{"a negative end", `{"access_token":"a","expires_at":-1}`, 10 * time.Minute, "asked"},
		{"words for an end", `{"access_token":"a","expires_at":"tomorrow"}`, 10 * time.Minute, "asked"},
		{"a scope that is none", `{"access_token":"a","scope":{}}`, 10 * time.Minute, "asked"},
		{"a scope of other characters", `{"access_token":"a","scope":"\""}`, 10 * time.Minute, "asked"},
		{"unreadable seconds beside an end", `{"access_token":"a","expires_in":"","expires_at":"2026-11-23T12:15:00.000Z"}`, 15 * time.Minute, "asked"},
		{"error that is empty", `{"access_token":"a","expires_in":600,"error":null}`, 10 * time.Minute, "asked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := atNoon(always(200, test.body)).Fetch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := token.Expiry.Sub(noon).Round(time.Millisecond); got != test.life {
				t.Errorf("life is %s, want %s", got, test.life)
			}
			if token.Scope.String() != test.scope || token.Type != "Bearer" {
				t.Errorf("%s token, scope %q", token.Type, token.Scope)
			}
		})
	}
}

func TestAnswersThatAreNotTokens(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"empty", ``, "not a JSON object"},
		{"an array", `["access_token"]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"cut off", `{"access_token":"a"`, "does not end"},
		{"cut off in a value", `{"access_token":"a`, "is not JSON"},
		{"no comma", `{"access_token":"a" "b":1}`, "not a JSON object"},
		{"something behind", `{"access_token":"a"}{}`, "follows"},
		{"twice", `{"access_token":"a","access_token":"b"}`, "twice"},
		{"no token", `{"expires_in":600}`, "no access token"},
		{"another case", `{"Access_Token":"a"}`, "no access token"},
		{"a number", `{"access_token":5}`, "no access token"},
		{"null token", `{"access_token":null}`, "no access token"},
		{"empty token", `{"access_token":""}`, "no access token"},
		{"line break in the token", `{"access_token":"a\r\nX: y"}`, "no header can carry"},
		{"blank in the token", `{"access_token":"a b"}`, "no header can carry"},
		{"not UTF-8", "{\"access_token\":\"a\xff\"}", "no header can carry"},
		{"another type", `{"access_token":"a","token_type":"DPoP"}`, "only Bearer"},
		{"a type that is a number", `{"access_token":"a","token_type":1}`, "only Bearer"},
		{"an end gone by", `{"access_token":"a","expires_at":"2026-11-23T11:59:59.000Z"}`, "before it came"},
		{"a web page", `<!DOCTYPE html><p>Sign in`, "web page"},
		{"a refusal under 200", `{"error":"invalid_client","error_description":"no"}`, "invalid_client: no"},
		{"a refusal with an empty token", `{"access_token":"","responseCode":"4010000","responseMessage":"Unauthorized"}`, "invalid_client (our word"},
		{"a refusal with a token", `{"error":"invalid_client","access_token":"a"}`, "invalid_client"},
		{"too long", `{"access_token":"` + strings.Repeat("a", 128<<10) + `"}`, "more than 131072 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := always(200, test.body)
			token, err := atNoon(e).Fetch(t.Context())
			if err == nil || token != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v; want %q", token, err, test.want)
			}
			if e.count() != 1 {
				t.Errorf("%d requests", e.count())
			}
		})
	}
}

func TestWebPageUnderItsMediaType(t *testing.T) {
	e := always(200, "Sign in", "Content-Type", "text/html; charset=utf-8")
	if _, err := atNoon(e).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "web page") {
		t.Error(err)
	}
}

func TestEndlessAnswer(t *testing.T) {
	e := &endpoint{answer: func(int, *http.Request) (*http.Response, error) {
		resp := reply(200, "")
		resp.Body = io.NopCloser(endless{})
		return resp, nil
	}}
	if _, err := atNoon(e).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// The profile's name for a member goes before a usual name that is there too.
func TestNamesOfTheProfile(t *testing.T) {
	p := builtin(t, "oauth2")
	response := p.Definition().Wire.Response
	response[0].Name, response[2].Name = "jeton", "duree"
	s := atNoon(always(200, `{"access_token":"usual","expires_in":1,"jeton":"own","duree":600,"customer":"c1"}`))
	s.Profile = p
	token := mustToken(t, s)
	if token.AccessToken != "own" || token.Expiry.Sub(noon) != 10*time.Minute {
		t.Errorf("%s until %s", token.AccessToken, token.Expiry)
	}
	extra := map[string]string{}
	for name, value := range token.Extra {
		extra[name] = string(value)
	}
	if diff := cmp.Diff(map[string]string{"customer": `"c1"`}, extra); diff != "" {
		t.Error(diff)
	}
}

// FuzzAnswer: whatever a platform answers, the outcome is an error, or a token
// that a header can carry and that ends in the next year.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","expires_in":"600","expires_at":"2026-11-23T12:15:00.250Z","scope":["x"]}`)
	f.Add(200, "", `{"accessToken":"`+unsigned(`{"exp":1795435200}`)+`","tokenType":"bearer"}`)
	f.Add(400, "application/json", `{"error":"invalid_grant","error_description":"no"}`)
	f.Add(503, "text/html", `<html>`)
	f.Add(400, "", `{"m":"s3cret-in\u002dthe-test czNjcmV0LWluLXRoZS10ZXN0 %73%33cret-in-the-test"}`)
	f.Add(200, "application/json", `{"access_token":"a","expires_at":1e14}`)
	oauth2 := builtin(f, "oauth2")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status == 429 || status >= 502 && status <= 504 {
			status = 500 // no pauses here
		}
		s := atNoon(always(status, body, "Content-Type", contentType))
		s.Profile = oauth2
		token, err := s.Fetch(t.Context())
		if err != nil {
			if token != nil {
				t.Error("a token beside an error")
			}
			if strings.Contains(err.Error(), s.Credential.Secret) || strings.ContainsAny(err.Error(), "\x1b\x00\u202e") {
				t.Errorf("an error with a secret or a control character: %q", err)
			}
			return
		}
		if token.AccessToken == "" || strings.ContainsAny(token.AccessToken, " \r\n\t\x00") {
			t.Errorf("token %q", token.AccessToken)
		}
		if !token.Expiry.After(noon) || token.Expiry.After(noon.AddDate(1, 0, 1)) {
			t.Errorf("until %s", token.Expiry)
		}
	})
}
