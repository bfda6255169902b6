package tokensource_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moneyer/oauth"
	"moneyer/tokensource"
)

// customer is the token endpoint of one whom D1 calls: there the platform is the
// client. It keeps what came, byte for byte.
type customer struct {
	*httptest.Server
	body   string
	header http.Header
	target string
}

func newCustomer(t *testing.T, answer string) *customer {
	c := &customer{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.body, c.header, c.target = string(body), r.Header, r.Method+" "+r.RequestURI
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(c.Close)
	return c
}

// checkWire holds a request to what D1 sends, headers that HTTP wants left aside.
func (c *customer) checkWire(t *testing.T, authorization, body string) {
	t.Helper()
	got := c.header.Clone()
	correlation := got.Get("X-Correlation-Id")
	for _, name := range []string{"User-Agent", "Accept-Encoding", "Content-Length"} {
		got.Del(name)
	}
	want := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "X-Correlation-Id": {correlation}}
	if authorization != "" {
		want["Authorization"] = []string{authorization}
	}
	if diff := cmp.Diff(want, got); diff != "" || correlation == "" {
		t.Errorf("correlation %q, headers: %s", correlation, diff)
	}
	if c.target != "POST /customer/token?tenant=1" || c.body != body {
		t.Errorf("%s with %q, want %q", c.target, c.body, body)
	}
}

func TestD1OutboundWithSecret(t *testing.T) {
	for name, test := range map[string]struct {
		scope oauth.Scope
		body  string
	}{
		"without scope": {nil, "grant_type=client_credentials"},
		"with scope":    {oauth.Scope{"notify:cards", "notify:accounts"}, "grant_type=client_credentials&scope=notify%3Acards+notify%3Aaccounts"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCustomer(t, `{"access_token":"a","token_type":"Bearer","expires_in":"600"}`)
			s := &tokensource.Source{
				TokenURL:   c.URL + "/customer/token?tenant=1",
				Credential: tokensource.Credential{ClientID: "d1-platform", Secret: "of-the-customer"},
				Scope:      test.scope,
			}
			mustToken(t, s)
			c.checkWire(t, "Basic ZDEtcGxhdGZvcm06b2YtdGhlLWN1c3RvbWVy", test.body) // d1-platform:of-the-customer
		})
	}
}

func TestD1OutboundWithAssertion(t *testing.T) {
	key := newKey(t, "ES256")
	c := newCustomer(t, `{"access_token":"a","token_type":"Bearer","expires_in":600}`)
	s := &tokensource.Source{
		TokenURL:   c.URL + "/customer/token?tenant=1",
		Credential: tokensource.Credential{ClientID: "d1", Subject: "customer01", Key: key, Kid: "d1-2026"},
		Scope:      oauth.Scope{"notify"},
	}
	mustToken(t, s)
	assertion := compact.FindString(c.body)
	c.checkWire(t, "", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="+assertion+"&client_id=d1&scope=notify")

	header, claims := readAssertion(t, c.body, key.Public())
	if diff := cmp.Diff(map[string]any{"alg": "ES256", "kid": "d1-2026"}, header); diff != "" {
		t.Error(diff)
	}
	jti, _ := claims["jti"].(string)
	issued, _ := claims["iat"].(float64)
	if age := time.Since(time.Unix(int64(issued), 0)); age < 0 || age > time.Minute || len(jti) < 16 {
		t.Errorf("issued %s ago with jti %q", age, jti)
	}
	want := map[string]any{"iss": "d1", "sub": "customer01", "aud": s.TokenURL, "iat": issued, "exp": issued + 180, "jti": jti}
	if diff := cmp.Diff(want, map[string]any(claims)); diff != "" {
		t.Error(diff)
	}
}

func TestD1OutboundAnswers(t *testing.T) {
	const end = "2026-11-23T12:15:00.250Z"
	for name, test := range map[string]struct {
		answer string
		life   time.Duration
	}{
		"a number":                  {`{"access_token":"a","token_type":"Bearer","expires_in":600}`, 10 * time.Minute},
		"a string":                  {`{"access_token":"a","token_type":"Bearer","expires_in":"600"}`, 10 * time.Minute},
		"a number and the instant":  {`{"access_token":"a","token_type":"Bearer","expires_in":600,"expires_at":"` + end + `"}`, 10 * time.Minute},
		"a string and the instant":  {`{"access_token":"a","token_type":"Bearer","expires_in":"600","expires_at":"` + end + `"}`, 10 * time.Minute},
		"the instant alone":         {`{"access_token":"a","token_type":"Bearer","expires_at":"` + end + `"}`, 15*time.Minute + 250*time.Millisecond},
		"nothing about time at all": {`{"access_token":"a","token_type":"Bearer"}`, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCustomer(t, test.answer)
			token := mustToken(t, &tokensource.Source{
				TokenURL:   c.URL,
				Credential: tokensource.Credential{ClientID: "d1-platform", Secret: "of-the-customer"},
				Now:        func() time.Time { return noon },
			})
			if life := token.Expiry.Sub(noon); life != test.life || token.AccessToken != "a" || len(token.Extra) != 0 {
				t.Errorf("%v, life %s, extra %v; want %s", token, life, token.Extra, test.life)
			}
		})
	}
}
