package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/registry"
	"moneyer/internal/server"
	"moneyer/profile"
)

// ask makes a request without a body; headers are pairs.
func (h *testServer) ask(t *testing.T, method, target string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	must(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(body)
}

const d1 = "https://d1.example.com/authz/v1"

func openD1(t *testing.T) *testServer {
	t.Helper()
	return readSetup(t, "testdata/transcripts/thales-d1", "").open(t)
}

// TestMetadataPaths finds metadata at the paths of RFC 8414 §3.1 and of OpenID, under https and
// nowhere else. Only the latter have what parsers of OpenID demand.
func TestMetadataPaths(t *testing.T) {
	h := openD1(t)
	var first string
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/authz/v1", "/authz/v1/.well-known/oauth-authorization-server",
		"/.well-known/openid-configuration/authz/v1", "/authz/v1/.well-known/openid-configuration",
	} {
		resp, body := h.ask(t, "GET", "https://d1.example.com"+path)
		if first == "" {
			first = body
		}
		if strings.Contains(path, "openid") {
			rest, found := strings.CutSuffix(body, `,"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}`)
			if body = rest + "}"; !found {
				t.Errorf("%s: %s", path, body)
			}
		}
		if resp.StatusCode != 200 || body != first || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	var m struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
		JWKSURI       string `json:"jwks_uri"`
	}
	must(t, json.Unmarshal([]byte(first), &m))
	if m.Issuer != d1 || m.TokenEndpoint != d1+"/oauth2/token" || m.JWKSURI != d1+"/.well-known/jwks.json" {
		t.Errorf("metadata %+v", m)
	}
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/authz", "/authz/v1/.well-known/", "/authz/v1"} {
		if resp, _ := h.ask(t, "GET", "https://d1.example.com"+path); resp.StatusCode != 404 {
			t.Errorf("%s: %d, want 404", path, resp.StatusCode)
		}
	}
	if resp, _ := h.ask(t, "POST", d1+"/.well-known/jwks.json"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

// TestMetadataNameEachMethod: without a list of methods a client would take client_secret_basic, so
// there is one for every profile, and it names no method that is not enough by itself.
func TestMetadataNameEachMethod(t *testing.T) {
	for profile, row := range map[string]struct{ url, want string }{
		"thales-d1":  {d1, `"none"`},
		"boltpay":    {"https://pay.example.com", `"client_secret_post","client_secret_basic"`},
		"thales-etp": {"https://etp.example.com/tsh-cof", `"urn:x-moneyer:client-auth:api_key"`},
	} {
		_, body := readSetup(t, "testdata/transcripts/"+profile, "").open(t).ask(t, "GET", row.url+"/.well-known/oauth-authorization-server")
		if !strings.Contains(body, `"token_endpoint_auth_methods_supported":[`+row.want+`]`) {
			t.Errorf("%s: want %s: %s", profile, row.want, body)
		}
		for _, endpoint := range []string{"revocation", "introspection"} {
			if !strings.Contains(body, `"`+endpoint+`_endpoint_auth_methods_supported":["`) {
				t.Errorf("%s: no methods of %s: %s", profile, endpoint, body)
			}
		}
	}
}

// TestConditional asks again for what it has (RFC 9110 §13.1.2), and for the
// head alone.
func TestConditional(t *testing.T) {
	h := openD1(t)
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
		got, body := h.ask(t, "GET", d1+path)
		etag := got.Header.Get("ETag")
		if got.StatusCode != 200 || body == "" || len(etag) < 10 || etag[0] != '"' || got.ContentLength != int64(len(body)) {
			t.Fatalf("%s: %d, ETag %s, length %d of %d", path, got.StatusCode, etag, got.ContentLength, len(body))
		}
		head, none := h.ask(t, "HEAD", d1+path)
		for _, name := range []string{"Content-Type", "ETag", "Cache-Control", "Content-Length"} {
			if head.Header.Get(name) != got.Header.Get(name) || head.Header.Get(name) == "" {
				t.Errorf("%s: HEAD has %s %q, GET %q", path, name, head.Header.Get(name), got.Header.Get(name))
			}
		}
		if none != "" {
			t.Errorf("%s: HEAD with a body", path)
		}
		for condition, want := range map[string]int{
			etag: 304, "W/" + etag: 304, `"other", ` + etag: 304, "*": 304, `"other"`: 200, strings.Trim(etag, `"`): 200,
		} {
			resp, body := h.ask(t, "GET", d1+path, "If-None-Match", condition)
			if resp.StatusCode != want || (body == "") != (want == 304) || resp.Header.Get("ETag") != etag || resp.Header.Get("Cache-Control") == "" {
				t.Errorf("%s: If-None-Match %s: %d %q, want %d", path, condition, resp.StatusCode, body, want)
			}
		}
	}
}

// TestMaxAge never lets a verifier keep the keys beyond their next change.
func TestMaxAge(t *testing.T) {
	h := openD1(t)
	age := func(want string) string {
		t.Helper()
		resp, body := h.ask(t, "GET", d1+"/.well-known/jwks.json")
		if got := resp.Header.Get("Cache-Control"); got != "public, max-age="+want {
			t.Errorf("Cache-Control %q, want max-age %s", got, want)
		}
		if resp.Header.Get("Content-Type") != "application/jwk-set+json" {
			t.Errorf("Content-Type %q", resp.Header.Get("Content-Type"))
		}
		keys, err := bearer.ParseKeys([]byte(body))
		must(t, err)
		if len(keys) == 0 || strings.Contains(body, `"d"`) {
			t.Errorf("keys %s", body)
		}
		return resp.Header.Get("ETag")
	}
	before := age("300")
	info, err := h.keyring.Announce(t.Context(), "d1", "test", keyring.NewKey{})
	must(t, err)
	if age("300") == before {
		t.Error("a new key, and the same ETag")
	}
	must(t, h.keyring.Activate(t.Context(), "d1", "test", info.Kid)) // the old key leaves after an hour
	age("300")
	h.Advance(58 * time.Minute)
	age("120")
	h.Advance(119*time.Second + 600*time.Millisecond)
	age("0")
	h.Advance(time.Second)
	if after := age("300"); after == before {
		t.Error("the retired key is still there, or the new one is not")
	}
}

// TestMetadataNameTheAlgOfTheKeyThatSigns: after alg is changed the old key signs until a new one takes
// over, and so long the metadata name the old algorithm.
func TestMetadataNameTheAlgOfTheKeyThatSigns(t *testing.T) {
	h := openD1(t)
	named := func(want string) {
		t.Helper()
		for path, members := range map[string][]string{
			"/.well-known/oauth-authorization-server": {"introspection_signing_alg_values_supported"},
			"/.well-known/openid-configuration":       {"introspection_signing_alg_values_supported", "id_token_signing_alg_values_supported"},
		} {
			_, body := h.ask(t, "GET", d1+path)
			for _, member := range members {
				if !strings.Contains(body, `"`+member+`":["`+want+`"]`) {
					t.Errorf("%s: %s of %s is not %s", path, member, body, want)
				}
			}
		}
	}
	settings := h.keyring.Issuers["d1"]
	settings.Alg = jose.RS256
	h.keyring.Issuers["d1"] = settings
	named("ES256")
	info, err := h.keyring.Announce(t.Context(), "d1", "test", keyring.NewKey{})
	must(t, err)
	named("ES256")
	must(t, h.keyring.Activate(t.Context(), "d1", "test", info.Kid))
	named("RS256")
}

// TestDisabledIssuerStaysReadable: what it signed before must stay verifiable.
func TestDisabledIssuerStaysReadable(t *testing.T) {
	h := openD1(t)
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server"} {
		if resp, _ := h.ask(t, "GET", "https://d1.example.com/off"+path); resp.StatusCode != 200 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// TestIssuersByHost tells issuers that share a path apart by host, in any case
// and with any port; a third host is nobody's.
func TestIssuersByHost(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/oauth2", "").open(t)
	for host, want := range map[string]string{
		"auth.example.com": "https://auth.example.com", "auth2.example.com": "https://auth2.example.com",
		"AUTH2.Example.COM": "https://auth2.example.com", "auth2.example.com:8443": "https://auth2.example.com",
		"auth3.example.com": "", "elsewhere.example.com": "",
	} {
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/.well-known/oauth-authorization-server", nil)
		req.Host = host
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		var m struct {
			Issuer string `json:"issuer"`
		}
		_ = json.Unmarshal(w.Body.Bytes(), &m) // a 404 is no JSON
		if m.Issuer != want || (want == "") != (w.Code == 404) {
			t.Errorf("%s: %d, issuer %q, want %q", host, w.Code, m.Issuer, want)
		}
	}
}

// TestConflictingIssuers refuses issuers that no request could tell apart.
func TestConflictingIssuers(t *testing.T) {
	for _, row := range []struct {
		name      string
		a, b      string
		pa, pb    string
		complaint string
	}{
		{"same URL", "https://a.example.com", "https://a.example.com", "oauth2", "thales-d1", `issuers one and two both want "a.example.com/oauth2/token": give them URLs with different paths or hosts`},
		{"ports do not tell", "https://a.example.com:1", "https://a.example.com:2", "oauth2", "oauth2", `both want "a.example.com/oauth2/token"`},
		{"host in another case", "https://A.example.com", "https://a.example.com", "oauth2", "oauth2", `both want "a.example.com/oauth2/token"`},
		{"paths that meet", "https://a.example.com/auth", "https://b.example.com", "oauth2", "boltpay", ""},
		{"other paths", "https://a.example.com/x", "https://a.example.com/y", "oauth2", "oauth2", ""},
		{"other hosts", "https://a.example.com/x", "https://b.example.com/x", "oauth2", "oauth2", ""},
		{"not a URL", "https://a.example.com", "https://b.example.com/%zz", "oauth2", "oauth2", `issuer two: parse "https://b.example.com/%zz"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &server.Server{}
			for i, url := range []string{row.a, row.b} {
				found, err := profile.Builtin([]string{row.pa, row.pb}[i])
				p := found.Definition()
				must(t, err)
				s.Issuers = append(s.Issuers, &registry.Issuer{Name: []string{"one", "two"}[i], URL: url, Profile: p})
			}
			_, err := s.Handler()
			switch {
			case row.complaint == "" && err != nil:
				t.Errorf("refused: %v", err)
			case row.complaint != "" && (err == nil || !strings.Contains(err.Error(), row.complaint)):
				t.Errorf("error %v, want %q", err, row.complaint)
			}
		})
	}
}

func TestHealth(t *testing.T) {
	h := openD1(t)
	check := func(path string, status int, text string) {
		t.Helper()
		resp, body := h.ask(t, "GET", "https://d1.example.com"+path)
		if resp.StatusCode != status || body != text || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q %v, want %d %q", path, resp.StatusCode, body, resp.Header, status, text)
		}
	}
	check("/healthz", 200, "ok\n")
	check("/readyz", 200, "ready\n")
	draining := errors.New("shutting down")
	h.notice.Store(&draining)
	check("/healthz", 200, "ok\n")
	check("/readyz", 503, "not ready: shutting down\n")
	if resp, _ := h.ask(t, "POST", "https://d1.example.com/readyz"); resp.StatusCode != 405 {
		t.Errorf("POST /readyz: %d", resp.StatusCode)
	}
}

// TestAddressBudget counts refusals by the caller's network, as trusted proxies
// tell it, and gives back what a good request took.
func TestAddressBudget(t *testing.T) {
	s := readSetup(t, "testdata/transcripts/boltpay", "limit address=0.1/2")
	s.proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	h := s.open(t)
	post := func(peer, forwarded, body string) int {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/auth/token", strings.NewReader(body))
		req.RemoteAddr = peer
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, req)
		return w.Code
	}
	const good = "grant_type=client_credentials&client_id=shop-1&client_secret=mns_new-secret-of-the-overlap"
	const bad = "grant_type=client_credentials&client_id=shop-1&client_secret=wrong"
	var got []int
	for _, step := range []struct{ peer, forwarded, body string }{
		{"192.0.2.1:1", "", good}, {"192.0.2.1:2", "", good}, {"192.0.2.1:3", "", good},
		{"192.0.2.1:4", "", bad}, {"192.0.2.1:5", "198.51.100.7", bad}, // who is not trusted speaks for itself
		{"192.0.2.1:6", "198.51.100.8", good},
		{"198.51.100.7:1", "", good},
		{"10.0.0.1:1", "192.0.2.1", good}, {"10.0.0.1:1", "192.0.2.2", good},
		{"[2001:db8::1]:1", "", bad}, {"[2001:db8::2]:1", "", bad}, {"[2001:db8::3]:1", "", good}, // one /64
		{"[2001:db8:0:1::3]:1", "", good},
	} {
		got = append(got, post(step.peer, step.forwarded, step.body))
	}
	want := []int{200, 200, 200, 401, 401, 429, 200, 429, 200, 401, 401, 429, 200}
	if !slices.Equal(got, want) {
		t.Errorf("statuses %v, want %v", got, want)
	}
}

// TestBodyCutShort answers what it can of a body that breaks off: 400, and no
// rule of authentication was asked.
func TestBodyCutShort(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/boltpay", "").open(t)
	body := io.MultiReader(strings.NewReader("grant_type=client_credentials"), iotest.ErrReader(io.ErrUnexpectedEOF))
	req := httptest.NewRequestWithContext(t.Context(), "POST", "/auth/token", body)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, req)
	if want := `{"error":"invalid_request","error_description":"the body did not arrive whole"}`; w.Code != 400 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
