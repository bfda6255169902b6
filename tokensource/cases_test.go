package tokensource_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

// answers reads the answers in a folder of testdata/answers, by the names of their files without the
// ending. Every file must be wanted.
func answers[T any](t *testing.T, folder string, wanted map[string]T) map[string]*endpoint {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata/answers", folder, "*.http"))
	if err != nil || len(files) != len(wanted) {
		t.Fatalf("%d files, %d are wanted (%v)", len(files), len(wanted), err)
	}
	all := map[string]*endpoint{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, body, _ := bytes.Cut(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\n\n"))
		resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\n\n"))), nil)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		if _, ok := wanted[name]; !ok {
			t.Errorf("%s: nobody says what is wanted", file)
		}
		all[name] = always(resp.StatusCode, string(body), "Content-Type", resp.Header.Get("Content-Type"))
	}
	return all
}

// The platform's own words reach the user, whatever their form. A code that is made from the status
// is marked.
func TestRefusalsInThePlatformsWords(t *testing.T) {
	wanted := map[string]struct {
		code     oauth.Code
		inferred bool
		words    string
	}{
		"ref-rfc":       {oauth.InvalidClient, false, "the certificate of this client has ended"},
		"ref-spring":    {"Unauthorized", false, "Full authentication is required"},
		"ref-apigee":    {oauth.InvalidClient, true, "Invalid API call as no apiproduct match found"},
		"ref-apigee2":   {oauth.InvalidClient, true, "ClientId is Invalid"},
		"ref-azureapim": {oauth.InvalidClient, true, "Access denied due to missing subscription key."},
		"ref-errobj":    {oauth.UnauthorizedClient, true, "client is suspended"},
		"ref-problem":   {oauth.UnauthorizedClient, true, "The source address is not on the allow-list"},
		"ref-snap":      {oauth.InvalidClient, true, "Unauthorized. Invalid X-TIMESTAMP"},
		"ref-200-snap":  {oauth.InvalidClient, true, "Unauthorized. [Signature]"},
		"ref-text":      {oauth.InvalidRequest, true, "client certificate is not registered"},
		"ref-waf":       {oauth.UnauthorizedClient, true, "Request blocked Reference 18.abc"},
	}
	for name, e := range answers(t, "refusals", wanted) {
		want := wanted[name]
		_, err := atNoon(e).Fetch(t.Context())
		var refused *oauth.Error
		if !errors.As(err, &refused) || refused.Code != want.code || refused.Inferred != want.inferred || !strings.Contains(err.Error(), want.words) {
			t.Errorf("%s: %v (%#v), want %q and code %q", name, err, refused, want.words, want.code)
		}
		if marked := strings.Contains(err.Error(), "our word"); marked != want.inferred {
			t.Errorf("%s: marked %t: %v", name, marked, err)
		}
	}
}

func TestAnswersThatAreServedAsHTML(t *testing.T) {
	wanted := map[string]string{"html-json": "", "html-error": "invalid_client: unknown client"}
	for name, e := range answers(t, "as-html", wanted) {
		token, err := atNoon(e).Fetch(t.Context())
		if want := wanted[name]; want == "" && (err != nil || token.Expiry.Sub(noon) != time.Hour) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
}

// What only informs and cannot be read is left in Extra. The life is then the profile's.
func TestUnreadableMembers(t *testing.T) {
	wanted := map[string]struct {
		life  time.Duration
		extra string
	}{
		"exp-zero": {10 * time.Minute, "expires_in"}, "exp-minus1": {10 * time.Minute, "expires_in"}, "exp-empty": {10 * time.Minute, "expires_in"},
		"at-empty": {10 * time.Minute, "expires_at"}, "at-space": {10 * time.Minute, "expires_at"},
		"scope-bool": {time.Hour, "scope"}, "scope-quote": {time.Hour, "scope"}, "scope-utf8": {time.Hour, "scope"},
	}
	for name, e := range answers(t, "unreadable", wanted) {
		token, err := atNoon(e).Fetch(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := wanted[name]
		if life := token.Expiry.Sub(noon); life != want.life || token.Extra[want.extra] == nil || len(token.Extra) != 1 || token.Scope.String() != "asked" {
			t.Errorf("%s: good for %s, want %s; left: %s; scope %q", name, life, want.life, token.Extra, token.Scope)
		}
	}
}

// A profile says how its platform calls the type; it is used as Bearer.
func TestTokenTypes(t *testing.T) {
	own := changed(t, "oauth2", `errors = "rfc6749"`, "errors = \"rfc6749\"\ntoken_type = \"BearerToken\"")
	plain, err := profile.Builtin("oauth2")
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]struct{ byPlain, byOwn bool }{
		"bearertoken": {false, true}, "snap-bearertoken": {false, true}, "tt-empty": {true, true},
	}
	for name, e := range answers(t, "token-types", wanted) {
		for p, takes := range map[*profile.Profile]bool{plain: wanted[name].byPlain, own: wanted[name].byOwn} {
			s := atNoon(e)
			s.Profile = p
			token, err := s.Fetch(t.Context())
			if takes != (err == nil) || takes && (token.Type != oauth.TokenTypeBearer || token.Expiry.Sub(noon) > time.Hour) {
				t.Errorf("%s by %s: %v, %v", name, p.Name(), token, err)
			}
			if !takes && !strings.Contains(err.Error(), "wire.token_type") {
				t.Error(err)
			}
		}
	}
}

// changed is a built-in profile with other texts in place of some, in pairs.
func changed(t *testing.T, name string, pairs ...string) *profile.Profile {
	t.Helper()
	p, err := profile.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(p.Source())
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %s", name, pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	file := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = profile.Load(file); err != nil {
		t.Fatal(err)
	}
	return p
}

// A member is read by what the profile says that it is, before any usual name.
func TestMembersByMeaning(t *testing.T) {
	p := changed(t, "oauth2", `{ name = "access_token", from = "access_token" }`, `{ name = "token", from = "access_token" }`,
		`{ name = "expires_in", from = "expires_in" }`, `{ name = "expires_in", from = "expires_at" }`)
	for _, end := range []string{`"2026-11-23T12:15:00.000Z"`, strconv.FormatInt(noon.Unix()+900, 10)} { // a number is not a life either
		s := atNoon(always(200, `{"access_token":"session","token":"own","expires_in":`+end+`}`))
		s.Profile = p
		token, err := s.Fetch(t.Context())
		if err != nil || token.AccessToken != "own" || token.Expiry.Sub(noon) != 15*time.Minute {
			t.Errorf("%s: %v, %v", end, token, err)
		}
	}
}

// Whatever a server quotes of the request, in whatever form, does not reach the error.
func TestExcerptsWithholdWhatWasSent(t *testing.T) {
	const secret = "s3cr3t/+0123456789abcdefghijklmnop"
	for name, body := range map[string]string{
		"the secret":              `{"message":"bad secret ` + secret + `"}`,
		"a part of it":            `{"message":"bad secret ...6789abcdefghijklmnop"}`,
		"form-encoded":            `{"message":"client_secret s3cr3t%2F%2B0123456789abcdefghijklmnop"}`,
		"Basic":                   `{"message":"Basic ` + "Y2xpZW50OnMzY3IzdCUyRiUyQjAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9w" + `"}`,
		"behind a script":         `<html><script a>"6789abcdef"</script><STYLE>6789abcdef</STYLE ><b>` + secret + `</b></html>`,
		"in a page":               `<html><p>` + secret + `</p></html>`,
		"a token":                 `{"fault":"x","access_token":"6789abcdef"}`,
		"a token of another form": `error=x&refresh_token=6789abcdef`,
		"a JWT":                   `{"detail":"eyJhbGciOiJFUzI1NiJ9.6789abcdef.x"}`,
	} {
		s := atNoon(always(400, body))
		s.Credential = tokensource.Credential{ClientID: "client", Secret: secret}
		_, err := s.Fetch(t.Context())
		if err == nil || strings.Contains(err.Error(), "6789abcdef") || strings.Contains(err.Error(), "Y2xpZW50") || !strings.Contains(err.Error(), "[withheld]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A secret is found however the server escaped it, wherever in the answer it stands, and whatever the
// answer is wrong in.
func TestExcerptsWithholdEscaped(t *testing.T) {
	const secret = `pa$s/horse&"bat"+<b 3`
	for name, row := range map[string]struct {
		status int
		body   string
	}{
		"JSON":                       {400, `{"message":"pa$s\/horse\u0026\"bat\"+\u003Cb 3"}`},
		"JSON in JSON":               {400, `{"fault":"{\"message\":\"pa$s/horse\\u0026\\\"bat\\\"+<b 3\"}"}`},
		"a page":                     {400, `<p>pa$s/horse&amp;&quot;bat&#34;+&lt;b 3</p>`},
		"a form":                     {400, `client_id=x pa%24s%2Fhorse%26%22bat%22%2B%3Cb+3`},
		"a form in small letters":    {400, `client_id=x pa%24s%2fhorse%26%22bat%22%2b%3cb%203`},
		"a part between punctuation": {400, `...s/horse&"bat"+<b 3`},
		"far behind":                 {400, strings.Repeat(" ", 8<<10-10) + secret},
		"a name that occurs twice":   {200, `{"pa$s/horse&\"bat\"+<b 3":1,"pa$s/horse&\"bat\"+<b 3":2}`},
		"a name of no value":         {200, `{"pa$s/horse&\"bat\"+<b 3":x}`},
		"the type":                   {200, `{"access_token":"a","token_type":"pa$s/horse&\"bat\"+<b 3"}`},
		"a token with a quote":       {400, `{"access_token":"horse\"bat"}`},
		"a token in a text":          {400, `{"fault":"{\"access_token\":\"horse\"}"}`},
	} {
		s := atNoon(always(row.status, row.body))
		s.Credential = tokensource.Credential{ClientID: "client", Secret: secret}
		_, err := s.Fetch(t.Context())
		if err == nil || strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "bat") || !strings.Contains(err.Error(), "[withheld]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The words around what is withheld stay.
func TestExcerptsKeepTheRest(t *testing.T) {
	s := atNoon(always(400, `{"message":"no client has the secret 0123456789abcdef%26xyz&more, see https:\/\/help.example"}`))
	s.Credential = tokensource.Credential{ClientID: "client", Secret: "0123456789abcdef&xyz"}
	_, err := s.Fetch(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), `{"message":"no client has the secret [withheld]&more, see https:\/\/help.example"}`) {
		t.Error(err)
	}
}

// Of a long answer no more is looked at than is needed, and a secret that stands where the look ends is
// not shown in part.
func TestExcerptsOfLongAnswers(t *testing.T) {
	const secret = "0123456789abcdefghij"
	for _, escaped := range []string{secret, `\u0030\u0031\u0032\u0033\u0034\u0035\u0036\u0037\u0038\u0039abcdefghij`} {
		for at := 4<<10 - 2*len(escaped); at < 4<<10; at++ {
			// What stands before it is withheld, so that the end is within what is shown.
			s := atNoon(always(400, "eyJaaaaa."+strings.Repeat("a", at-10)+" "+escaped+strings.Repeat(" and more", 12<<10)))
			s.Credential = tokensource.Credential{ClientID: "client", Secret: secret}
			_, err := s.Fetch(t.Context())
			if err == nil || strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "0030") || strings.Contains(err.Error(), "more and more") {
				t.Fatalf("at %d: %v", at, err)
			}
		}
	}
}

// BenchmarkExcerpt reads answers that a server made to be slow to read.
func BenchmarkExcerpt(b *testing.B) {
	for _, piece := range []string{"<script>", "<style ", `\\u0026`, "token=%26&amp;+", "eyJaaaaa.", `"token":"`, "<"} {
		b.Run(piece, func(b *testing.B) {
			s := atNoon(always(400, "<p>"+strings.Repeat(piece, 120<<10/len(piece))))
			for b.Loop() {
				_, _ = s.Fetch(b.Context())
			}
		})
	}
}

// garbled is the error of an answer that is not HTTP, which net/http quotes.
type garbled struct{}

func (garbled) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("malformed MIME header line: X-Echo 0123456789abcdef\x1b[31m")
}

// A failed connection may quote the server, too: what is not HTTP, or the names of a certificate.
func TestConnectionErrorsAreClean(t *testing.T) {
	s := &tokensource.Source{Issuer: "https://issuer.example", HTTPClient: &http.Client{Transport: garbled{}},
		Credential: tokensource.Credential{ClientID: "client", Secret: "0123456789abcdef"}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Fetch(ctx); err == nil || strings.Contains(err.Error(), "cdef") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "X-Echo [withheld]?[31m") {
		t.Errorf("%q", err)
	}
}

// Terminals are not controlled by what a server says, and a long text is cut.
func TestExcerptsAreClean(t *testing.T) {
	_, err := atNoon(always(200, "{\"access_token\":\"a\",\"token_type\":\"\u009b31m\u202eback\"}")).Fetch(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\u009b\u202e") {
		t.Errorf("%q", err)
	}
	_, err = atNoon(always(403, "a\x1b[31mred\x00\u202eback\xff"+strings.Repeat(" long", 2000))).Fetch(t.Context())
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x00\u202e") || !utf8.ValidString(err.Error()) || len(err.Error()) > 800 || !strings.Contains(err.Error(), "a?[31mred??back") {
		t.Errorf("%d bytes: %v", len(err.Error()), err)
	}
}

// What a profile says of its platform's requests is what the client sends.
func TestWordsOfTheProfile(t *testing.T) {
	key := newKey(t, "ES256")
	for name, row := range map[string]struct {
		pairs      []string
		issuer     string
		credential tokensource.Credential
		check      func(t *testing.T, req *http.Request, body string)
	}{
		"claims that must not be there": {
			[]string{`require = ["iss", "sub", "aud", "exp"]`, `require = ["iss", "exp"]` + "\n" + `forbid = ["iat", "jti"]`}, "https://issuer.example",
			tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer},
			func(t *testing.T, _ *http.Request, body string) {
				_, claims := readAssertion(t, body, key.Public())
				if claims["iat"] != nil || claims["jti"] != nil || claims["sub"] == nil || claims["exp"] == nil {
					t.Errorf("claims %v", claims)
				}
			},
		},
		"nbf": {
			[]string{`require = ["iss", "sub", "aud", "exp"]`, `require = ["iss", "exp", "nbf"]`}, "https://issuer.example",
			tokensource.Credential{ClientID: "shop", Key: key, Grant: oauth.JWTBearer},
			func(t *testing.T, _ *http.Request, body string) {
				if _, claims := readAssertion(t, body, key.Public()); claims["nbf"] == nil || claims["nbf"] != claims["iat"] || claims["iat"].(float64) > float64(time.Now().Unix()-5) {
					t.Errorf("claims %v", claims)
				}
			},
		},
		"no header of the correlation": {
			[]string{"[wire.correlation]\nheader = \"x-correlation-id\"\nmax_length = 64\nchars = \"url-safe\"\n", ""}, "https://issuer.example",
			tokensource.Credential{ClientID: "shop", Secret: "s"},
			func(t *testing.T, req *http.Request, _ string) {
				if len(req.Header) != 3 {
					t.Errorf("headers %v", req.Header)
				}
			},
		},
		"Basic as it is": {
			[]string{`errors = "rfc6749"`, "errors = \"rfc6749\"\nbasic = \"plain\""}, "https://issuer.example",
			tokensource.Credential{ClientID: "a/b", Secret: "p%2F+ü"},
			func(t *testing.T, req *http.Request, _ string) {
				if id, secret, _ := req.BasicAuth(); id != "a/b" || secret != "p%2F+ü" {
					t.Errorf("%q, %q", id, secret)
				}
			},
		},
		"Basic form-encoded": {
			nil, "https://issuer.example", tokensource.Credential{ClientID: "a/b", Secret: "p%2F+ü"},
			func(t *testing.T, req *http.Request, _ string) {
				if id, secret, _ := req.BasicAuth(); id != "a%2Fb" || secret != "p%252F%2B%C3%BC" {
					t.Errorf("%q, %q", id, secret)
				}
			},
		},
		"an issuer and a path that end in a slash": {
			[]string{`path = "/oauth2/token"`, `path = "/oauth2/token/"`}, "https://issuer.example/t/",
			tokensource.Credential{ClientID: "shop", Key: key},
			func(t *testing.T, req *http.Request, body string) {
				if req.URL.String() != "https://issuer.example/t/oauth2/token/" {
					t.Error(req.URL)
				}
				if _, claims := readAssertion(t, body, key.Public()); claims["aud"] != "https://issuer.example/t/" {
					t.Errorf("claims %v", claims)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := always(200, `{"access_token":"a","expires_in":60}`)
			s := &tokensource.Source{Profile: changed(t, "oauth2", row.pairs...),
				Issuer: row.issuer, Credential: row.credential, HTTPClient: e.client()}
			if _, err := s.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			row.check(t, e.asked[0], e.bodies[0])
		})
	}
}
