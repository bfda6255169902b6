package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tokenHeaders are the headers that a proxy forwards to the API.
var tokenHeaders = []string{"X-Token-Issuer", "X-Token-Client", "X-Token-Subject", "X-Token-Scope", "X-Token-Id", "X-Token-Expires", "X-Token-As-Of", "X-Token-Claims"}

// front is a proxy in front of an API, configured by its file in examples/.
type front struct {
	name string
	need func(*testing.T)
	// asks: it calls /check; otherwise it verifies with the published keys.
	asks bool
	// start starts the proxy.
	start func(*testing.T, *place)
}

func fronts() []front {
	needAll := func(needs ...func(*testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			for _, need := range needs {
				need(t)
			}
		}
	}
	return []front{
		{"nginx", needProgram("nginx"), true, startNginx},
		{"haproxy", needProgram("haproxy"), true, startHAProxyAsking},
		{"caddy", needProgram("caddy"), true, startCaddy},
		{"haproxy jwt", needAll(needProgram("haproxy"), needPython("jwcrypto", "python3-jwcrypto")), false, startHAProxyJWT},
		{"apache", needAll(needFile("/usr/sbin/apache2", "apache2-bin"),
			needFile("/usr/lib/apache2/modules/mod_auth_openidc.so", "libapache2-mod-auth-openidc")), false, startApache},
	}
}

func needFile(path, debian string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if _, err := os.Stat(path); err != nil {
			missing(t, path, "apt-get install "+debian)
		}
	}
}

// place is the environment in which a proxy is started.
type place struct {
	dir     string
	address string
	line    *line
	api     *api
	issuer  issuer
	url     string // of the issuer
	// required scope
	scope string
	// ca certifies the issuer if the proxy calls it over TLS.
	ca  string
	log *logBuffer
}

// write writes a file of examples/ to the place. swaps are pairs of text in it and its replacement;
// ports, issuer, scope and audience are replaced everywhere.
func (p *place) write(t *testing.T, example string, swaps ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", example))
	if err != nil {
		t.Fatal(err)
	}
	swaps = append(swaps, "127.0.0.1:8000", p.address, "127.0.0.1:9000", strings.TrimPrefix(p.api.URL, "http://"),
		"127.0.0.1:8080", p.line.address, "d1-s2s:api:merchant-gtw", p.scope)
	if p.issuer == boltpay { // its tokens have the client in aud, and no client_id and sub
		swaps = append(swaps, "/d1/authz/v1", "/boltpay", "https://api.example.com/d1", "demo-gtw01", `\"d1\"`, `\"boltpay\"`, "AuthName d1", "AuthName boltpay",
			"-m str ES256", "-m str RS256", "-m str at+jwt", "-m str JWT", "'$.client_id'", "'$.aud'", "Claim client_id", "Claim aud", "CLAIM_client_id", "CLAIM_aud")
	}
	path := filepath.Join(p.dir, filepath.Base(example))
	if err := os.WriteFile(path, []byte(strings.NewReplacer(swaps...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *place) tlsAddress() string { return strings.TrimPrefix(p.line.tls.URL, "https://") }

func startNginx(t *testing.T, p *place) {
	temp := "http {\naccess_log off;"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("\n%s_temp_path %s;", what, filepath.Join(p.dir, what))
	}
	swaps := []string{"http {", temp}
	if p.ca != "" {
		swaps = append(swaps, "#tls proxy_ssl", "proxy_ssl", "auth.example.com", "example.com", "/etc/ssl/certs/ca-certificates.crt", p.ca,
			"server 127.0.0.1:8080", "server "+p.tlsAddress(), "http://moneyer", "https://moneyer")
	}
	file := p.write(t, "nginx/nginx.conf", swaps...)
	p.log = daemon(t, p.address, "nginx", "-e", "stderr", "-p", p.dir, "-c", file, "-g", "daemon off; pid "+filepath.Join(p.dir, "pid")+";")
}

func startHAProxyAsking(t *testing.T, p *place) {
	socket := []string{"abns@moneyer-check", "unix@" + filepath.Join(p.dir, "check")} // several proxies may run at the same time
	swaps := append(socket, "/etc/haproxy/moneyer.lua", p.write(t, "haproxy/moneyer.lua", socket...))
	if p.ca != "" {
		swaps = append(swaps, "server issuer 127.0.0.1:8080", "", "#tls server", "server", "@system-ca", p.ca,
			"auth.example.com:443", p.tlsAddress(), "auth.example.com", "example.com")
	}
	p.log = daemon(t, p.address, "haproxy", "-db", "-f", p.write(t, "haproxy/haproxy.cfg", swaps...))
}

func startHAProxyJWT(t *testing.T, p *place) {
	keys := filepath.Join(p.dir, "keys")
	program(t, nil, python, filepath.Join("..", "examples", "haproxy", "keys.py"), p.url, keys)
	p.log = daemon(t, p.address, "haproxy", "-db", "-f", p.write(t, "haproxy/jwt.cfg", "/etc/haproxy/moneyer", keys))
}

func startCaddy(t *testing.T, p *place) {
	var swaps []string
	if p.ca != "" {
		swaps = append(swaps, "http://127.0.0.1:8080", p.line.tls.URL, "dial_timeout 1s", "dial_timeout 1s\ntls_trusted_ca_certs "+p.ca)
	}
	p.log = daemon(t, p.address, "env", "HOME="+p.dir, "XDG_DATA_HOME="+p.dir, "XDG_CONFIG_HOME="+p.dir,
		"caddy", "run", "--adapter", "caddyfile", "--config", p.write(t, "caddy/Caddyfile", swaps...))
}

func startApache(t *testing.T, p *place) {
	file := p.write(t, "apache/httpd.conf", "/run/apache2/apache2.pid", filepath.Join(p.dir, "pid"), "/var/log/apache2/error.log", "/dev/stderr",
		"Uri https://auth.example.com", "Uri "+p.line.tls.URL, "https://auth.example.com", "http://"+p.line.address,
		"OIDCCryptoPassphrase", "OIDCCABundlePath "+p.line.ca+"\nOIDCCryptoPassphrase")
	p.log = daemon(t, p.address, "/usr/sbin/apache2", "-DFOREGROUND", "-f", file)
}

// asking is a request of a caller.
type asking struct {
	method, uri, body string
	header            http.Header
}

// answered is the response. seen is nil if the request did not reach the API.
type answered struct {
	status int
	header http.Header
	body   string
	seen   *call
}

var callerClient = &http.Client{Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// ask calls the API through the proxy.
func (p *place) ask(t *testing.T, a asking) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), a.method, "http://"+p.address+a.uri, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, a.header)
	before := p.api.calls.Load()
	resp, err := callerClient.Do(req)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.log)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := answered{resp.StatusCode, resp.Header, string(body), nil}
	if p.api.calls.Load() != before {
		got.seen = &call{}
		if err := json.Unmarshal(body, got.seen); err != nil {
			t.Fatalf("the API was reached, and its answer was not handed back: %s %v: %s", resp.Status, resp.Header, body)
		}
	}
	return got
}

func (p *place) get(t *testing.T, token string) answered {
	t.Helper()
	a := asking{method: http.MethodGet, uri: "/cards", header: http.Header{}}
	if token != "" {
		a.header.Set("Authorization", "Bearer "+token)
	}
	return p.ask(t, a)
}

// refused checks for a status and a challenge with these words (RFC 6750 section 3), and that the
// request did not reach the API.
func (p *place) refused(t *testing.T, name string, got answered, status int, words string) {
	t.Helper()
	challenge := got.header.Values("WWW-Authenticate")
	if got.seen != nil || got.status != status || len(challenge) != 1 || !strings.HasPrefix(challenge[0], "Bearer") || !strings.Contains(challenge[0], words) {
		t.Errorf("%s: %d, %q, the API saw %v; want %d with one challenge %q\n%s", name, got.status, challenge, got.seen, status, words, p.log)
	}
}

// guarding is a Moneyer with proxies in front of an API.
type guarding struct {
	*sandbox
	line    *line
	api     *api
	expired map[issuer]string
	// valid tokens for all proxies
	good map[issuer]string
}

// TestForwardAuth: real proxies, configured by the files in examples/, forward requests with a
// valid token together with its claims, and refuse all others, even if the issuer fails. ES256 (D1)
// and RS256 (boltPay).
func TestForwardAuth(t *testing.T) {
	issuers := []issuer{d1, boltpay}
	needProgram("curl")(t)
	g := &guarding{api: newAPI(t), good: map[issuer]string{}}
	g.sandbox, g.line, g.expired = startBehind(t, issuers...)
	for _, i := range issuers {
		g.good[i] = g.minted(t, i)
		exp, ok := claimsOf(t, g.expired[i])["exp"].(float64)
		if !ok {
			t.Fatal("no exp")
		}
		time.Sleep(time.Until(time.Unix(int64(exp)+1, 0))) // some accept it until the second ends
	}
	for _, f := range fronts() {
		t.Run(f.name, func(t *testing.T) {
			f.need(t)
			for _, i := range issuers {
				t.Run(string(i), func(t *testing.T) { g.try(t, f, i) })
			}
		})
	}
}

// start starts a proxy in front of the API, which requires a scope.
func (g *guarding) start(t *testing.T, f front, i issuer, scope, ca string) *place {
	t.Helper()
	p := &place{dir: openDir(t), address: quietAddress(t), line: g.line, api: g.api,
		issuer: i, url: g.demo(t, i).Issuer, scope: scope, ca: ca}
	f.start(t, p)
	return p
}

func (g *guarding) try(t *testing.T, f front, i issuer) {
	scope := map[issuer]string{d1: "d1-s2s:api:merchant-gtw", boltpay: "roles"}[i]
	p := g.start(t, f, i, scope, "")
	g.line.since()
	g.lets(t, p, f)
	g.overwrites(t, p)
	g.keepsOut(t, p, f)
	wants := g.start(t, f, i, "more:than-that", "")
	wants.refused(t, "too little scope", wants.get(t, g.good[i]), http.StatusForbidden, `error="insufficient_scope"`)
	g.part(t, f, i)
	g.revoked(t, p, f)
	if f.asks {
		g.outage(t, p)
		g.overTLS(t, f, i, scope)
		return
	}
	g.line.cut()
	g.line.standIn.Store(&unavailable)
	if got := p.get(t, g.good[i]); got.status != http.StatusOK { // with the keys that it has
		t.Errorf("while the issuer is away: %d\n%s", got.status, p.log)
	}
	if f.name == "apache" { // it fetches the keys itself, on first use
		cold := g.start(t, f, i, scope, "")
		if got := cold.get(t, g.good[i]); got.seen != nil || got.status < 400 {
			t.Errorf("without keys: %d, the API saw %v", got.status, got.seen)
		}
	}
	g.line.standIn.Store(nil)
	g.line.restore(t)
}

// lets: the request is forwarded completely, and the API gets the result of /check.
func (g *guarding) lets(t *testing.T, p *place, f front) {
	want := g.tells(t, p)
	post := asking{http.MethodPost, "/cards/1%2F2?scope=none&audience=none&a=b", "the body", bearer(g.good[p.issuer])}
	post.header.Set("Cookie", "session=secret")
	post.header.Set("X-Request", "kept")
	got := p.ask(t, post)
	if got.status != http.StatusOK || got.seen == nil {
		t.Fatalf("good: %d %v\n%s", got.status, got.header, p.log)
	}
	if s := got.seen; s.Method != post.method || s.URI != post.uri || s.Body != post.body || s.Header.Get("X-Request") != "kept" {
		t.Errorf("the API saw %+v", s)
	}
	told(t, "good", got.seen, want)
	if f.asks {
		asked, _ := p.line.since()
		if len(asked) != 1 {
			t.Fatalf("asked %d times for one request", len(asked))
		}
		if h := asked[0]; h.Get("Cookie") != "" || h.Get("X-Forwarded-For") != "127.0.0.1" || h.Get("Content-Length") != "" {
			t.Errorf("asked with %v", h)
		}
	}
	for _, status := range []int{401, 403, 404, 500, 503} { // responses of the API itself, unchanged
		got := p.ask(t, asking{http.MethodGet, "/says/" + strconv.Itoa(status), "", bearer(g.good[p.issuer])})
		if c := got.header.Values("WWW-Authenticate"); got.status != status || got.seen == nil || len(c) != 1 || !strings.HasPrefix(c[0], "Custom") {
			t.Errorf("the API says %d: %d %q", status, got.status, c)
		}
	}
	if asked, dials := p.line.since(); f.asks && (len(asked) != 5 || dials != 0) {
		t.Errorf("asked %d times for 5 requests, over %d new connections", len(asked), dials)
	}
}

// tells returns what /check returns for the valid token.
func (g *guarding) tells(t *testing.T, p *place) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/check?scope="+p.scope, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = bearer(g.good[p.issuer])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, name := range tokenHeaders {
		if len(resp.Header[name]) != 1 {
			t.Fatalf("/check: %s: %q", resp.Status, resp.Header)
		}
	}
	g.line.since()
	return resp.Header
}

// told checks that the API received the eight headers and no token. A missing header is the same as
// an empty one.
func told(t *testing.T, name string, seen *call, want http.Header) {
	t.Helper()
	for _, header := range tokenHeaders {
		got := seen.Header.Values(header)
		if len(got) > 1 || seen.Header.Get(header) != want.Get(header) {
			t.Errorf("%s: the API saw %s %q, want %q", name, header, got, want.Get(header))
		}
	}
	if got := seen.Header.Values("Authorization"); got != nil {
		t.Errorf("%s: the API saw the token", name)
	}
}

// overwrites: headers of the caller never replace the result of /check.
func (g *guarding) overwrites(t *testing.T, p *place) {
	want := g.tells(t, p)
	for name, forge := range map[string]func(h http.Header, name string){
		"forged":            func(h http.Header, name string) { h[name] = []string{"forged"} },
		"forged twice":      func(h http.Header, name string) { h[name] = []string{"forged", "forged"} },
		"forged, small":     func(h http.Header, name string) { h[strings.ToLower(name)] = []string{"forged"} },
		"underscores":       func(h http.Header, name string) { h[strings.ReplaceAll(name, "-", "_")] = []string{"forged"} },
		"second underscore": func(h http.Header, name string) { h[strings.Replace(name, "n-", "n_", 1)] = []string{"forged"} },
		"first underscore":  func(h http.Header, name string) { h[strings.Replace(name, "X-", "X_", 1)] = []string{"forged"} },
		"hop by hop":        func(h http.Header, name string) { h["Connection"] = append(h["Connection"], name) },
		"hop by hop, one line": func(h http.Header, name string) {
			h["Connection"] = []string{strings.TrimPrefix(strings.Join(h["Connection"], "")+", "+name, ", ")}
		},
	} {
		a := asking{http.MethodGet, "/cards", "", bearer(g.good[p.issuer])}
		for _, header := range tokenHeaders {
			forge(a.header, header)
		}
		got := p.ask(t, a)
		switch {
		case got.seen == nil && strings.Contains(name, "underscore") && got.status == http.StatusForbidden: // also acceptable
			continue
		case got.seen == nil:
			t.Errorf("%s: %d\n%s", name, got.status, p.log)
			continue
		}
		told(t, name, got.seen, want)
		for header, values := range got.seen.Header {
			if strings.Contains(strings.Join(values, " "), "forged") {
				t.Errorf("%s: the API saw %s: %q", name, header, values)
			}
		}
	}
}

// keepsOut: requests without a valid token of the issuer are refused.
func (g *guarding) keepsOut(t *testing.T, p *place, f front) {
	good, other := g.good[p.issuer], g.good[d1]
	if p.issuer == d1 {
		other = g.good[boltpay]
	}
	p.refused(t, "no token", p.get(t, ""), http.StatusUnauthorized, "")
	for name, token := range map[string]string{
		"tampered claims":               tamperClaims(good),
		"tampered signature":            tamperSignature(good),
		"no signature":                  good[:strings.LastIndexByte(good, '.')+1],
		"alg none":                      withoutAlg(t, good),
		"public key as HMAC key":        withPublicKeyAsSecret(t, p.url+"/.well-known/jwks.json", good),
		"expired":                       g.expired[p.issuer],
		"another issuer's":              other,
		"what is no token":              "no-token",
		"what is no token and long":     strings.Repeat("x", 10_000),
		"what is no token and has dots": "a.b.c",
	} {
		p.refused(t, name, p.get(t, token), http.StatusUnauthorized, `error="invalid_token"`)
	}
	for name, a := range map[string]asking{
		"OPTIONS without a token":   {http.MethodOptions, "/cards", "", http.Header{}},
		"HEAD without a token":      {http.MethodHead, "/cards", "", http.Header{}},
		"a form's access_token":     {http.MethodPost, "/cards", "access_token=" + good, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
		"a query's access_token":    {http.MethodGet, "/cards?access_token=" + good, "", http.Header{}},
		"a cookie's access_token":   {http.MethodGet, "/cards", "", http.Header{"Cookie": {"access_token=" + good}}},
		"Basic":                     {http.MethodGet, "/cards", "", http.Header{"Authorization": {"Basic " + good}}},
		"Bearer without a token":    {http.MethodGet, "/cards", "", http.Header{"Authorization": {"Bearer"}}},
		"the path that is no guard": {http.MethodGet, "/../cards//..%2f/", "", http.Header{}},
	} {
		if got := p.ask(t, a); got.seen != nil || got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d, the API saw %v", name, got.status, got.seen)
		}
	}
	if got := p.ask(t, asking{http.MethodGet, "/_check", "", bearer(good)}); f.name == "nginx" && got.status != http.StatusNotFound {
		t.Errorf("nginx's own path: %d", got.status)
	}
	for name, tokens := range map[string][]string{
		"a good token and a bad one": {"Bearer " + good, "Bearer " + tamperSignature(good)},
		"a bad token and a good one": {"Bearer " + tamperSignature(good), "Bearer " + good},
		"a good token and Basic":     {"Bearer " + good, "Basic eDp5"},
	} {
		got := p.ask(t, asking{http.MethodGet, "/cards", "", http.Header{"Authorization": tokens}})
		if got.seen != nil || got.status < 400 || got.status >= 500 {
			t.Errorf("%s: %d, the API saw %v", name, got.status, got.seen)
		}
	}
	p.line.since()
}

// part: a part of a scope is not the scope.
func (g *guarding) part(t *testing.T, f front, i issuer) {
	p := g.start(t, f, i, map[issuer]string{d1: "d1-s2s:api:merchant", boltpay: "role"}[i], "")
	p.refused(t, "a part of the scope", p.get(t, g.good[i]), http.StatusForbidden, `error="insufficient_scope"`)
}

// revoked: a proxy that calls /check refuses a revoked token at once; others accept it until it
// expires, as the examples say.
func (g *guarding) revoked(t *testing.T, p *place, f front) {
	token := g.minted(t, p.issuer)
	if got := p.get(t, token); got.status != http.StatusOK {
		t.Fatalf("fresh: %d\n%s", got.status, p.log)
	}
	g.revoke(t, p.issuer, token)
	switch got := p.get(t, token); {
	case f.asks:
		p.refused(t, "revoked", got, http.StatusUnauthorized, `error="invalid_token"`)
	case got.status != http.StatusOK:
		t.Errorf("revoked: %d: it sees that after all: say so in examples/README.md", got.status)
	}
}

// outage: if /check fails or returns nonsense the proxy refuses requests, and accepts them again
// afterwards.
func (g *guarding) outage(t *testing.T, p *place) {
	good := g.good[p.issuer]
	g.line.cut()
	if got := p.get(t, good); got.seen != nil || got.status < 500 {
		t.Errorf("connection refused: %d, the API saw %v", got.status, got.seen)
	}
	g.line.restore(t)
	for name, h := range map[string]http.HandlerFunc{
		"503":            unavailable,
		"500":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"hangs":          func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hangs up":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"talks nonsense": talksNonsense,
		"404":            http.NotFound,
		"a login page":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
		"400":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"429":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
	} {
		g.line.standIn.Store(&h)
		began := time.Now()
		got := p.get(t, good)
		took := time.Since(began)
		t.Logf("%s: %d after %v", name, got.status, took.Round(time.Millisecond))
		closed := got.status >= 500
		switch name {
		case "503":
			closed = got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "1"
		case "404", "a login page", "400", "429":
			closed = got.status >= 300
		}
		if got.seen != nil || !closed || took > 10*time.Second {
			t.Errorf("%s: %d %v after %v, the API saw %v\n%s", name, got.status, got.header, took, got.seen, p.log)
		}
	}
	g.line.standIn.Store(nil)
	if got := p.get(t, good); got.status != http.StatusOK {
		t.Errorf("after the outage: %d\n%s", got.status, p.log)
	}
	p.line.since()
}

var unavailable http.HandlerFunc = func(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

func talksNonsense(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "+OK 200 welcome\r\n\r\n")
}

// overTLS: an issuer is trusted only with a certificate of the configured authority.
func (g *guarding) overTLS(t *testing.T, f front, i issuer, scope string) {
	if got := g.start(t, f, i, scope, g.line.ca).get(t, g.good[i]); got.status != http.StatusOK {
		t.Errorf("over TLS: %d", got.status)
	}
	dir := openDir(t)
	ca := filepath.Join(dir, "ca.pem")
	program(t, nil, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=somebody else", "-keyout", filepath.Join(dir, "key"), "-out", ca)
	if got := g.start(t, f, i, scope, ca).get(t, g.good[i]); got.seen != nil || got.status < 500 {
		t.Errorf("over TLS with a certificate of somebody else: %d, the API saw %v", got.status, got.seen)
	}
}

// TestUntestedExamples: the files for proxies that are not installed here are well formed, remove
// and set every header, and refuse by default. Whether these proxies accept them is not tested.
func TestUntestedExamples(t *testing.T) {
	if _, _, err := tryProgram(t.Context(), nil, python, "-c", "import yaml"); err != nil {
		missing(t, "python's yaml", "apt-get install python3-yaml")
	}
	type dict = map[string]any
	read := func(example string, to any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("..", "examples", example))
		if err != nil {
			t.Fatal(err)
		}
		out := program(t, text, python, "-c", "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)")
		if err := json.Unmarshal(out, to); err != nil {
			t.Fatalf("%s: %v", example, err)
		}
	}
	const query = "/d1/authz/v1/check?scope=d1-s2s:api:merchant-gtw&audience=https://api.example.com/d1"
	var traefik struct {
		HTTP struct {
			Routers     map[string]struct{ Middlewares []string }
			Middlewares map[string]struct {
				Headers     struct{ CustomRequestHeaders map[string]string }
				ForwardAuth struct {
					Address             string
					AuthResponseHeaders []string
				}
			}
		}
	}
	read("traefik/dynamic.yml", &traefik)
	if got := traefik.HTTP.Routers["api"].Middlewares; !slices.Equal(got, []string{"drop-forged", "moneyer", "drop-token"}) {
		t.Errorf("Traefik's middlewares: %v", got)
	}
	auth, dropped := traefik.HTTP.Middlewares["moneyer"].ForwardAuth, traefik.HTTP.Middlewares["drop-forged"].Headers.CustomRequestHeaders
	if !slices.Equal(auth.AuthResponseHeaders, tokenHeaders) || !strings.HasSuffix(auth.Address, query) {
		t.Errorf("Traefik's forwardAuth: %+v", auth)
	}
	for _, name := range tokenHeaders {
		for _, spelling := range []string{name, strings.ReplaceAll(name, "-", "_")} {
			if to, ok := dropped[spelling]; !ok || to != "" {
				t.Errorf("Traefik lets %s through", spelling)
			}
		}
	}
	var static dict
	read("traefik/traefik.yml", &static)
	if static["entryPoints"].(dict)["web"].(dict)["address"] != "127.0.0.1:8000" {
		t.Errorf("Traefik's entry points: %v", static)
	}

	var envoy struct {
		Static struct {
			Listeners []struct {
				Chains []struct {
					Filters []struct {
						Config dict `json:"typed_config"`
					}
				} `json:"filter_chains"`
			}
			Clusters []struct{ Name string }
		} `json:"static_resources"`
	}
	read("envoy/envoy.yaml", &envoy)
	manager := envoy.Static.Listeners[0].Chains[0].Filters[0].Config
	names := func(list any, member string) (all []string) {
		for _, entry := range list.([]any) {
			all = append(all, http.CanonicalHeaderKey(entry.(dict)[member].(string)))
		}
		return all
	}
	early := manager["early_header_mutation_extensions"].([]any)[0].(dict)["typed_config"].(dict)
	if got := names(early["mutations"], "remove"); !slices.Equal(got, tokenHeaders) {
		t.Errorf("Envoy takes out %v", got)
	}
	authz := manager["http_filters"].([]any)[0].(dict)["typed_config"].(dict)
	service := authz["http_service"].(dict)
	upstream := service["authorization_response"].(dict)["allowed_upstream_headers"].(dict)["patterns"]
	if got := names(upstream, "exact"); !slices.Equal(got, tokenHeaders) {
		t.Errorf("Envoy puts in %v", got)
	}
	if authz["failure_mode_allow"] != false || service["path_prefix"] != query+"&request=" {
		t.Errorf("Envoy's ext_authz: %v", authz)
	}
	// What Envoy would request with that prefix.
	token := d1.minted(t)
	for path, want := range map[string]int{
		"/cards?a=b": http.StatusOK, "/cards;x=%zz?scope=d1-s2s:api:merchant-gtw&a": http.StatusOK,
		"/cards?&scope=more": http.StatusForbidden, "/cards?&audience=other": http.StatusUnauthorized, "//a/../../b#": http.StatusOK,
	} {
		prefix, _ := service["path_prefix"].(string)
		req := &http.Request{Method: http.MethodGet, Header: bearer(token), URL: &url.URL{Scheme: "http",
			Host: strings.Split(d1.url(t), "/")[2], Opaque: prefix + path}}
		resp, err := http.DefaultClient.Do(req.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("asked about %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
