package tokensource_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// quoted are forms in which a server may quote what was sent, and parts of it.
var quoted = map[string]func(sent string) string{
	"as it is":                 func(s string) string { return s },
	"in capitals":              strings.ToUpper,
	"its start":                func(s string) string { return s[:len(s)*2/3] + "..." },
	"its end":                  func(s string) string { return "..." + s[len(s)/3:] },
	"among others":             func(s string) string { return "id=1;key=" + s + ";x" },
	"form-encoded":             url.QueryEscape,
	"percent-encoded":          func(s string) string { return strings.ToLower(url.PathEscape("/" + s)) },
	"each byte":                everyByte,
	"percent-encoded twice":    func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"in JSON in JSON":          func(s string) string { return strings.ReplaceAll(s, "/", `\\/`) },
	"with escapes of JSON":     func(s string) string { return strings.ReplaceAll(s, "+", `\u002b`) },
	"in HTML":                  func(s string) string { return strings.ReplaceAll(s, "/", "&#x2F;") },
	"base64":                   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x:" + s)) },
	"base64url":                func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("id:" + s)) },
	"base64 without its start": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("id:" + s))[3:] },
	"base64 without its end":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("id:" + s))[:len(s)] },
	"base64 of a form": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte("client_key=" + everyByte(s)))
	},
}

// everyByte percent-encodes every byte.
func everyByte(s string) string {
	var b strings.Builder
	for i := range len(s) {
		const hex = "0123456789ABCDEF"
		b.WriteString("%" + string(hex[s[i]>>4]) + string(hex[s[i]&15]))
	}
	return b.String()
}

// TestWithheld: whatever a server quotes of a secret, an API key or an assertion does not reach the error,
// whatever the form of the answer.
func TestWithheld(t *testing.T) {
	const secret = "s3cr!t/+01@34:67*9abc#efgh$jkl"
	boltpay := builtin(t, "boltpay")
	assertion := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("claims", 9) + "." + strings.Repeat("SiGnA-tUr_", 8)
	for _, what := range []struct {
		name, sent string
		use        func(s *tokensource.Source)
	}{
		{"secret", secret, func(s *tokensource.Source) { s.Credential = tokensource.Credential{ClientID: "client", Secret: secret} }},
		{"short secret", "k3y+/pass0rd", func(s *tokensource.Source) {
			s.Credential = tokensource.Credential{ClientID: "client", Secret: "k3y+/pass0rd"}
		}},
		{"API key", secret, func(s *tokensource.Source) {
			s.Profile, s.Credential = boltpay, tokensource.Credential{APIKey: secret}
		}},
		{"signature", assertion[60:], func(s *tokensource.Source) {
			s.Credential = tokensource.Credential{Assertion: func(context.Context) (string, error) { return assertion, nil }}
		}},
	} {
		for form, quote := range quoted {
			text := quote(what.sent)
			for shape, body := range map[string]string{
				"in JSON":                  `{"message":"is wrong: ` + text + `"}`,
				"as a description":         `{"error":"invalid_client","error_description":"is wrong: ` + text + `"}`,
				"in text":                  "is wrong: " + text,
				"in a page":                "<html><p>is wrong: " + text + "</p></html>",
				"in the name of a member":  `{"` + text + `":1,"` + text + `":1,"x":"is wrong:"}`,
				"in the type of the token": `{"access_token":"a","token_type":"is wrong: ` + text + `"}`,
			} {
				status := map[bool]int{true: 200, false: 400}[shape == "in the type of the token"]
				s := atNoon(always(status, body))
				what.use(s)
				_, err := s.Fetch(t.Context())
				if err == nil {
					t.Fatalf("%s, %s: no error", what.name, shape)
				}
				leaks(t, what.name+", "+form+", "+shape, err.Error(), text)
			}
		}
	}
}

// leaks fails the test when eight bytes in a row of what the server quoted stand in a text.
func leaks(t *testing.T, name, text, quoted string) {
	t.Helper()
	text, quoted = strings.ToLower(text), strings.ToLower(quoted)
	for i := 0; i+8 <= len(quoted); i++ {
		if part := quoted[i : i+8]; strings.Contains(text, part) && !strings.Contains("id=1;key=", part) {
			t.Errorf("%s: %s in %s", name, part, text)
			return
		}
	}
}

// Words that were not sent are not lost.
func TestWordsAreKept(t *testing.T) {
	const words = "the certificate CN=gateway.example.com,O=Example/serial:0123456789abcdef of client_credentials at https://issuer.example/oauth2/token has ended"
	s := atNoon(always(400, words))
	s.Credential = tokensource.Credential{ClientID: "client", Secret: "0123-4567-89ab-cdef"}
	if _, err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), words) {
		t.Error(err)
	}
}

// An error under a good status is a refusal, beside a token too; what says that there is none is not.
func TestErrorsUnderAGoodStatus(t *testing.T) {
	for body, want := range map[string]oauth.Code{
		`{"error":"invalid_client","access_token":"a"}`:                               oauth.InvalidClient,
		`{"error":{"code":"X1","message":"no"},"access_token":"a"}`:                   oauth.InvalidRequest,
		`{"responseCode":"4017300","responseMessage":"no","accessToken":"a"}`:         oauth.InvalidClient,
		`{"responseCode":"5007300","responseMessage":"General Error"}`:                oauth.ServerError,
		`{"statusCode":403,"message":"no","access_token":"a"}`:                        oauth.UnauthorizedClient,
		`{"fault":{"faultstring":"no"},"access_token":"a"}`:                           oauth.InvalidRequest,
		`{"code":401,"msg":"no"}`:                                                     oauth.InvalidClient,
		`{"success":false}`:                                                           oauth.InvalidRequest,
		`{"title":"no","status":403}`:                                                 oauth.UnauthorizedClient,
		`{"error":"","access_token":"a"}`:                                             "",
		`{"error":0,"fault":null,"access_token":"a"}`:                                 "",
		`{"responseCode":"2007300","responseMessage":"Successful","accessToken":"a"}`: "",
		`{"status":"approved","code":500123,"access_token":"a"}`:                      "",
	} {
		_, err := atNoon(always(http.StatusOK, body)).Fetch(t.Context())
		var refused *oauth.Error
		if errors.As(err, &refused); want == "" && err != nil || want != "" && (refused == nil || refused.Code != want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A platform that has no header for a correlation id is not said to know one.
func TestNoCorrelation(t *testing.T) {
	p := changed(t, "oauth2", "[wire.correlation]\nheader = \"x-correlation-id\"\nmax_length = 64\nchars = \"url-safe\"\n", "")
	for status, body := range map[int]string{400: "no", 200: "{}", 201: `{"access_token":"a"}`} {
		s := atNoon(always(status, body))
		s.Profile = p
		token, err := s.Fetch(t.Context())
		if status == 201 && (err != nil || token.Correlation != "") || status != 201 && (err == nil || strings.Contains(err.Error(), "correlation")) {
			t.Errorf("%d: %v, %v", status, token, err)
		}
	}
}
