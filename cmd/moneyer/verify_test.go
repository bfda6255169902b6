package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/jose"
)

// tokenIssuer is an issuer that publishes its key and what it revoked.
type tokenIssuer struct {
	t      *testing.T
	signer *jose.Signer
	url    string
	jwks   string // file
	list   string // members of the list; empty for no list
}

func newTokenIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	return newTokenIssuerOn(t, httptest.NewServer)
}

// newTokenIssuerOn starts the issuer's server by start.
func newTokenIssuerOn(t *testing.T, start func(http.Handler) *httptest.Server) *tokenIssuer {
	t.Helper()
	signer, err := jose.NewSigner(mustKey(t), jose.ES256, "k1", "at+jwt")
	if err != nil {
		t.Fatal(err)
	}
	i := &tokenIssuer{t: t, signer: signer, list: `"before":0`, jwks: filepath.Join(t.TempDir(), "jwks.json")}
	set := `{"keys":[` + string(signer.Public().AppendJWK(nil, "k1")) + `]}`
	if err := os.WriteFile(i.jwks, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/jwks")
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set) })
	mux.HandleFunc("GET /revocations", func(w http.ResponseWriter, _ *http.Request) {
		if i.list == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		list, err := signer.As("revocations+jwt").SignDocument(fmt.Appendf(nil, `{"iss":%q,"iat":%d,"exp":%d,%s}`, i.url, testNow.Unix(), testNow.Unix()+3600, i.list))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(list)
	})
	server := start(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// token signs a valid token of nine minutes, with changes to its members.
func (i *tokenIssuer) token(typ string, changes ...string) string {
	i.t.Helper()
	claims := fmt.Sprintf(`{"iss":%q,"sub":"shop","aud":"api","scope":"read write","iat":%d,"exp":%d,"jti":"id-1"}`, i.url, testNow.Unix()-60, testNow.Unix()+540)
	token, err := i.signer.As(typ).Sign(nil, []byte(strings.NewReplacer(changes...).Replace(claims)))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(token)
}

// verify runs the command and checks what holds for every result.
func (i *tokenIssuer) verify(token string, flags ...string) (code int, stdout, stderr string) {
	i.t.Helper()
	args := append([]string{"verify", "--issuer", i.url}, flags...)
	code, stdout, stderr = runCommand(i.t, token, args...)
	jsonCode, out, _ := runCommand(i.t, token, append(args, "--json")...)
	if strings.Contains(stdout+stderr+out, strings.Split(token+"..", ".")[1]) && strings.Contains(token, ".") {
		i.t.Errorf("the token is printed:\n%s%s%s", stdout, stderr, out)
	}
	if jsonCode != code {
		i.t.Errorf("exit code %d, with --json %d", code, jsonCode)
	}
	if code == exitUsage || out == "" {
		return code, stdout, stderr
	}
	var v verified
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		i.t.Fatalf("%v in:\n%s", err, out)
	}
	failing := 0
	for _, c := range v.Checks {
		if c.Result == checkFails || c.Result == checkUnknown {
			failing++
		}
	}
	if good := code == exitOK; v.Good != good || good != (failing == 0) || good == (v.GoodUntil == "") || good != (v.Error == "") || len(v.Checks) == 0 {
		i.t.Errorf("exit code %d, but:\n%s", code, out)
	}
	return code, stdout, stderr
}

func TestVerify(t *testing.T) {
	i := newTokenIssuer(t)
	stranger := newTokenIssuer(t)
	stranger.url = i.url
	good, api := i.token("at+jwt"), []string{"--audience", "api"}
	iat, exp := fmt.Sprintf(`"iat":%d`, testNow.Unix()-60), fmt.Sprintf(`"exp":%d`, testNow.Unix()+540)
	nbf := func(seconds int64) string { return fmt.Sprintf(`%s,"nbf":%d`, iat, seconds) }
	for name, test := range map[string]struct {
		token string
		flags []string
		list  string
		code  int
		want  []string // lines
	}{
		"good": {good, api, `"before":0`, exitOK, []string{
			"✓ signature  ES256 by key k1", "✓ time       issued 60 seconds ago, expires in 9 minutes", "✓ issuer     " + i.url, "✓ audience   api",
			"✓ typ        at+jwt", "✓ scope      read write", "✓ revocation not on the list of the issuer", "✓ good until 2026-11-23T12:09:00Z (in 9 minutes)"}},
		"good by a file of keys":  {good, []string{"--jwks", i.jwks}, `"before":0`, exitOK, []string{"✓ signature  ES256 by key k1", "✓ good until"}},
		"one of two audiences":    {i.token("at+jwt", `"api"`, `["x","api"]`), []string{"--audience", "y", "--audience", "api"}, `"before":0`, exitOK, []string{"✓ audience   x, api"}},
		"the scope":               {good, []string{"--scope", "write"}, `"before":0`, exitOK, []string{"✓ scope      read write"}},
		"no audience asked for":   {good, nil, `"before":0`, exitOK, []string{"- audience   api NOT CHECKED: give --audience to check it"}},
		"aud is the client":       {i.token("JWT", `"api"`, `"shop"`), []string{"--profile", "boltpay"}, `"before":0`, exitOK, []string{"✓ typ        JWT", "- audience   shop NOT CHECKED: the client, in tokens of boltpay"}},
		"a profile's typ":         {good, []string{"--profile", "boltpay"}, `"before":0`, exitRefused, []string{"✗ typ        at+jwt; expected JWT"}},
		"a typ before a profile":  {good, []string{"--profile", "boltpay", "--typ", "at+jwt"}, `"before":0`, exitOK, []string{"✓ typ        at+jwt"}},
		"a profile that names it": {good, []string{"--profile", "thales-d1"}, `"before":0`, exitOK, []string{"- audience   api NOT CHECKED: give --audience"}},
		"no typ, as asked":        {i.token(""), []string{"--typ", ""}, `"before":0`, exitOK, []string{"✓ typ        none"}},
		"no iat":                  {i.token("at+jwt", iat+",", ""), api, `"before":0`, exitOK, []string{"✓ time       expires in 9 minutes"}},
		"Bearer and quotes":       {`"` + good + `"`, api, `"before":0`, exitOK, []string{"! judged without quotes around it"}},
		"exp in milliseconds":     {i.token("at+jwt", exp, exp+"000"), api, `"before":0`, exitOK, []string{"✓ time       exp looks like milliseconds"}},
		"expired":                 {i.token("at+jwt", exp, `"exp":1`), api, `"before":0`, exitRefused, []string{"✗ time       it expired 20780 days ago, issued 60 seconds ago\n", "✓ issuer", "✗ not good: invalid_token: the access token has expired"}},
		"ends this second":        {i.token("at+jwt", exp, fmt.Sprintf(`"exp":%d`, testNow.Unix())), api, `"before":0`, exitRefused, []string{"✗ time       it expired now"}},
		"not yet":                 {i.token("at+jwt", iat, nbf(testNow.Unix()+300)), api, `"before":0`, exitRefused, []string{"✗ time       it is valid only from in 5 minutes on (nbf)"}},
		"not in a long time":      {i.token("at+jwt", iat, nbf(1<<53-1)), api, `"before":0`, exitRefused, []string{"✓ signature", "✗ claims     nbf is 285428751-"}},
		"another issuer":          {i.token("at+jwt", `"iss":"`, `"iss":"x`), api, `"before":0`, exitRefused, []string{"✗ issuer     x" + i.url + "; expected " + i.url, "✓ audience"}},
		"an empty issuer":         {i.token("at+jwt", i.url, ""), api, `"before":0`, exitRefused, []string{`✗ claims     iss is ""`}},
		"another audience":        {good, []string{"--audience", "y", "--audience", "z"}, `"before":0`, exitRefused, []string{"✗ audience   api; expected y or z", `✗ not good: invalid_token: the access token is not valid here: aud is ["api"]`}},
		"another typ":             {i.token("JWT"), api, `"before":0`, exitRefused, []string{"✗ typ        JWT; expected at+jwt or application/at+jwt"}},
		"too little scope":        {good, []string{"--scope", "read admin"}, `"before":0`, exitRefused, []string{"✗ scope      read write; expected read admin", "✗ not good: insufficient_scope: the access token lacks the scope admin"}},
		"revoked":                 {good, api, `"jti":["id-1"]`, exitRefused, []string{"✗ revocation the issuer revoked it", "✗ not good: invalid_token: the access token was revoked"}},
		"revoked, not asked":      {good, []string{"--no-revocations"}, `"jti":["id-1"]`, exitOK, []string{"- revocation the list of revocations was not read NOT CHECKED\n"}},
		"another list":            {good, []string{"--revocations", stranger.url + "/jwks"}, `"before":0`, exitUnavailable, []string{"? revocation no revocation list", "? unknown: a check could not be made"}},
		"no list":                 {good, api, "", exitUnavailable, []string{"✓ scope", "? revocation no revocation list of the issuer: bearer: " + i.url + "/revocations answered 503", "? unknown: a check could not be made"}},
		"no list, and expired":    {i.token("at+jwt", exp, `"exp":1`), api, "", exitRefused, []string{"✗ time", "? revocation", "✗ not good: invalid_token: the access token has expired"}},
		"a stranger's signature":  {stranger.token("at+jwt"), api, `"before":0`, exitRefused, []string{"✗ signature  signature does not verify; expected one by a key", "✗ not good"}},
		"no claims":               {i.token("at+jwt", "{", `{"scope":1,"x":{`, "}", "}}"), api, `"before":0`, exitRefused, []string{"✓ signature", "✗ claims     JWT claims not acceptable"}},
		"no exp":                  {i.token("at+jwt", exp+",", ""), api, `"before":0`, exitRefused, []string{"✗ claims     no iss or no exp"}},
		"a list of revocations":   {i.token("revocations+jwt"), api, `"before":0`, exitRefused, []string{"✗ typ        revocations+jwt"}},
		"no JWT":                  {"hunter2", api, `"before":0`, exitRefused, []string{"✗ form       not a strict compact JWS", "✗ not good"}},
	} {
		t.Run(name, func(t *testing.T) {
			i.t, i.list = t, test.list
			code, out, stderr := i.verify(test.token, test.flags...)
			if code != test.code || (stderr != "") != (code == exitUnavailable) {
				t.Errorf("exit code %d, want %d:\n%s%s", code, test.code, out, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains("\n"+out, "\n"+want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
		})
	}
}

// The content of a token with a bad signature is not shown.
func TestVerifyStopsAtBadSignature(t *testing.T) {
	i, stranger := newTokenIssuer(t), newTokenIssuer(t)
	stranger.url = i.url
	_, out, _ := i.verify(stranger.token("at+jwt"))
	if strings.Contains(out, "read write") || strings.Contains(out, "minutes") || strings.Count(out, "\n") != 2 {
		t.Errorf("told:\n%s", out)
	}
}

// Control characters in a token do not reach the terminal.
func TestVerifyIsSafeForTerminals(t *testing.T) {
	i := newTokenIssuer(t)
	for _, token := range []string{
		i.token("at\u009b+jwt", `"api"`, `"a\u001b[2Jpi`+"\u202e"+`"`),
		i.token("at+jwt", i.url, `\u001b[2J`+i.url),
	} {
		_, out, _ := i.verify(token, "--audience", "api")
		if strings.ContainsAny(out, "\x1b\u009b\u202e") {
			t.Errorf("%q", out)
		}
	}
}

func TestVerifyColours(t *testing.T) {
	i := newTokenIssuer(t)
	var out bytes.Buffer
	a := &app{in: strings.NewReader(i.token("JWT")), out: &out, err: &out, now: func() time.Time { return testNow }, color: true}
	a.run(t.Context(), []string{"verify", "--issuer", i.url, "--no-revocations"})
	for _, want := range []string{string(good) + "✓", string(bad) + "✗", string(bold) + "-", string(bad) + "✗ not good"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
