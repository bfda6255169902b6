package server_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

var update = flag.Bool("update", false, "write the answers of testdata/transcripts/*/*.http anew")

// TestTranscripts holds the server to what testdata/transcripts says of each
// platform. A directory is a platform, a file a conversation with a fresh server:
//
//	# lines of setup for this file alone
//	=== what is shown
//	# why, and where contracts.md says so
//	@ ledger down
//	POST /path
//	Header: value
//
//	body
//	--- 200
//	Header: value
//
//	body
//	header and claims of a token in it
//
// Before the request may stand @ advance 5m, @ registry|ledger down|up,
// @ gate full|free, @ disable|enable client|issuer ID, or an account by its name in the
// profile, such as merchant ID, of the first issuer,
// and @ keep NAME, for a later {token NAME} of what it gets.
func TestTranscripts(t *testing.T) {
	for _, dir := range transcriptDirs(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(dir, "*.http"))
			must(t, err)
			if len(files) == 0 {
				t.Fatal("no transcript")
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) { playFile(t, file) })
			}
		})
	}
}

func transcriptDirs(t testing.TB) []string {
	t.Helper()
	setups, err := filepath.Glob("testdata/transcripts/*/setup")
	must(t, err)
	var dirs []string
	for _, file := range setups {
		dirs = append(dirs, filepath.Dir(file))
	}
	if len(dirs) < 6 {
		t.Fatalf("only %d platforms: %v", len(dirs), dirs)
	}
	return dirs
}

// exchange is one request and the answer that is expected.
type exchange struct {
	title    string
	before   []string // comments and @ lines, as they stand
	request  string
	expected string
}

// run is one file being played.
type run struct {
	testing.TB
	server  *testServer
	kept    map[string]string // assertions and tokens by name
	keep    string            // under which name the next token is kept
	secrets []string          // what must be in no log
	jtis    []string          // of tokens that were handed out
	refused int               // requests that the log must tell of
}

// hide says that a text may be in no log and no ledger entry.
func (r *run) hide(text string) {
	if len(text) >= 8 {
		r.secrets = append(r.secrets, text)
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	must(t, err)
	preamble, exchanges := parseTranscript(t, string(text))
	s := readSetup(t, filepath.Dir(file), preamble)
	r := &run{TB: t, server: s.open(t), kept: map[string]string{}, secrets: slices.Clone(s.secrets)}
	out := preamble
	for i, x := range exchanges {
		got := r.play(x)
		if got != x.expected && !*update {
			t.Errorf("%s: exchange %d: %s\nwant:\n%s\ngot:\n%s", file, i+1, x.title, x.expected, got)
		}
		out += "=== " + x.title + "\n" + strings.Join(append(x.before, x.request), "\n") + "\n" + got
	}
	r.checkLedger()
	r.checkSecrets()
	if *update {
		must(t, os.WriteFile(file, []byte(strings.TrimRight(out, "\n")+"\n"), 0o644))
	}
}

func parseTranscript(t *testing.T, text string) (preamble string, all []exchange) {
	t.Helper()
	parts := strings.Split("\n"+strings.TrimRight(text, "\n")+"\n\n", "\n=== ")
	for _, part := range parts[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		request, answer, answered := strings.Cut(rest, "\n--- ")
		x := exchange{title: title}
		if answered {
			x.expected = "--- " + strings.TrimRight(answer, "\n") + "\n\n"
		}
		lines := strings.Split(strings.TrimRight(request, "\n"), "\n")
		for len(lines) > 0 && (strings.HasPrefix(lines[0], "#") || strings.HasPrefix(lines[0], "@")) {
			x.before, lines = append(x.before, lines[0]), lines[1:]
		}
		x.request = strings.Join(lines, "\n")
		all = append(all, x)
	}
	if len(all) == 0 {
		t.Fatal("the transcript holds no exchange")
	}
	if preamble = strings.TrimSpace(parts[0]); preamble != "" {
		preamble += "\n\n"
	}
	return preamble, all
}

// play makes one exchange and writes down the answer.
func (r *run) play(x exchange) string {
	r.Helper()
	for _, line := range x.before {
		if action, ok := strings.CutPrefix(line, "@ "); ok {
			r.obey(strings.Fields(action))
		}
	}
	req := r.request(x.request)
	resp, err := r.server.client.Do(req)
	if err != nil {
		r.Fatalf("%s: %v", x.title, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(r, err)
	if resp.ContentLength != int64(len(body)) && req.Method != http.MethodHead {
		r.Errorf("%s: Content-Length %d of a body of %d bytes", x.title, resp.ContentLength, len(body))
	}
	return r.show(x.title, req, resp, string(body))
}

// obey does what stands behind an @.
func (r *run) obey(words []string) {
	h := r.server
	switch strings.Join(words, " ") {
	case "registry down", "registry up":
		h.store.registryDown.Store(words[1] == "down")
	case "ledger down", "ledger up":
		h.store.ledgerDown.Store(words[1] == "down")
	case "gate full":
		for h.admission.AtWork.Acquire() {
		}
	case "gate free":
		for range maxInFlight {
			h.admission.AtWork.Release()
		}
	default:
		if words[0] == "keep" {
			r.keep = words[1]
			return
		}
		if words[0] == "disable" || words[0] == "enable" {
			r.able(words[1], words[2], words[0] == "disable")
			return
		}
		by, err := time.ParseDuration(words[len(words)-1])
		if words[0] != "advance" || err != nil {
			r.Fatalf("cannot %v", words)
		}
		h.Advance(by)
	}
}

// able disables something of the first issuer, or enables it.
func (r *run) able(what, id string, disabled bool) {
	issuer, entry := r.server.setup.issuers[0], &ledger.Entry{Kind: ledger.KindAdmin, Time: r.server.Now(), Actor: "test"}
	switch what {
	case "client":
		c, err := r.server.store.DB.Client(r.Context(), issuer.Name, id)
		must(r, err)
		changed := *c
		changed.Disabled = disabled
		must(r, r.server.store.PutClient(r.Context(), &changed, entry))
	case issuer.Profile.Policy.Account.Name:
		a, err := r.server.store.DB.Account(r.Context(), issuer.Name, id)
		must(r, err)
		changed := *a
		changed.Disabled = disabled
		must(r, r.server.store.PutAccounts(r.Context(), []registry.Account{changed}, entry))
	case "issuer":
		issuer.Disabled = disabled
	default:
		r.Fatalf("cannot disable a %s", what)
	}
}

// request reads a request as it stands in the file. It goes to the first issuer's
// host unless it names another.
func (r *run) request(text string) *http.Request {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	host := hostOf(r.server.setup.issuers[0].URL)
	body = r.expand(body)
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.Context(), method, "https://"+host+path, reader)
	must(r, err)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		value = r.expand(value)
		switch name {
		case "Host":
			req.URL.Host, req.Host = value, value
		case "Transfer-Encoding":
			req.ContentLength, req.Body = -1, io.NopCloser(strings.NewReader(body))
		default:
			req.Header[name] = append(req.Header[name], value)
		}
	}
	r.hideCredentials(req, body)
	return req
}

// hideCredentials collects what the request shows, right or wrong.
func (r *run) hideCredentials(req *http.Request, body string) {
	for _, s := range r.server.setup.issuers[:1] {
		for name, values := range req.Header {
			if strings.EqualFold(name, s.Profile.Wire.APIKey.Header) || strings.EqualFold(name, "Authorization") {
				for _, value := range values {
					_, key, _ := strings.Cut(value, " ")
					r.hide(value)
					r.hide(key)
				}
			}
		}
	}
	values, _ := url.ParseQuery(body) // what cannot be read is left out
	var members map[string]any
	if json.Unmarshal([]byte(body), &members) == nil {
		for name, value := range members {
			values.Add(name, fmt.Sprint(value))
		}
	}
	for _, name := range []string{"token", "assertion", "client_assertion", "client_secret", "clientAssertion", "clientSecret"} {
		for _, value := range values[name] {
			r.hide(value)
			r.hide(value[strings.LastIndexByte(value, '.')+1:]) // its signature
		}
	}
}

// headerOrder is the order of an answer's headers; others come behind, sorted.
var headerOrder = []string{"Allow", "Retry-After", "Www-Authenticate", "Cache-Control", "Pragma", "Content-Type"}

// show writes down an answer, with what differs from run to run masked, after
// checking that it is well made.
func (r *run) show(title string, req *http.Request, resp *http.Response, body string) string {
	r.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "--- %d\n", resp.StatusCode)
	names := slices.Clone(headerOrder)
	for name := range resp.Header {
		if !slices.Contains(headerOrder, name) && name != "Date" && name != "Content-Length" && name != "Connection" {
			names = append(names, name)
		}
	}
	slices.Sort(names[len(headerOrder):])
	for _, name := range names {
		for _, value := range resp.Header[name] {
			fmt.Fprintln(&b, strings.TrimRight(name+": "+r.maskHeader(req, name, value), " "))
		}
	}
	token := compactJWS.FindString(body)
	retryable := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable
	if retryable != (resp.Header.Get("Retry-After") != "") {
		r.Errorf("%s: status %d with Retry-After %q", title, resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if req.Method == http.MethodPost && r.mints(req) && (token != "") != (resp.StatusCode == http.StatusOK) {
		r.Errorf("%s: status %d with token %q", title, resp.StatusCode, token)
	}
	if resp.StatusCode >= 400 && (resp.Header.Get("Pragma") != "" || r.correlated(resp)) { // our own answer, not the mux's
		r.refused++
	}
	if body != "" {
		b.WriteString("\n" + strings.TrimSuffix(r.maskJTIs(strings.Replace(body, token, "{token}", min(len(token), 1))), "\n") + "\n")
	}
	switch {
	case token != "" && r.mints(req):
		b.WriteString(r.showToken(title, req, token))
	case token != "":
		b.WriteString(r.showSigned(title, req, token))
	}
	return b.String() + "\n"
}

// mints reports whether a request goes to a token endpoint.
func (r *run) mints(req *http.Request) bool {
	for _, issuer := range r.server.setup.issuers {
		if slices.Contains(issuer.Endpoints(), "https://"+req.URL.Host+req.URL.Path) {
			return true
		}
	}
	return false
}

// correlated reports whether an answer has the name of its request.
func (r *run) correlated(resp *http.Response) bool {
	for _, issuer := range r.server.setup.issuers {
		if resp.Header.Get(issuer.Profile.Wire.Correlation.Header) != "" {
			return true
		}
	}
	return false
}

// maskHeader hides what differs from run to run, and decodes X-Token-Claims.
func (r *run) maskHeader(req *http.Request, name, value string) string {
	if name != "X-Token-Claims" {
		return r.maskJTIs(r.maskCorrelation(req, name, value))
	}
	claims, err := base64.RawURLEncoding.DecodeString(value)
	must(r, err)
	return "base64url of " + r.maskJTIs(string(claims))
}

// maskJTIs hides the jti of every token that was handed out.
func (r *run) maskJTIs(text string) string {
	for _, jti := range r.jtis {
		text = strings.ReplaceAll(text, jti, "{jti}")
	}
	return text
}

var compactJWS = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`)

// maskCorrelation hides a correlation identifier that the server made up.
func (r *run) maskCorrelation(req *http.Request, name, value string) string {
	for _, issuer := range r.server.setup.issuers {
		policy := &issuer.Profile.Wire.Correlation
		if !strings.EqualFold(name, policy.Header) || slices.Contains(sent(req, name), value) {
			continue
		}
		if len(value) < 20 || len(value) > policy.MaxLength || !policy.Chars.Allow(value) {
			r.Errorf("made up %q as %s", value, name)
		}
		return "{made}"
	}
	return value
}

// sent lists the values of a header that the request wrote in any case.
func sent(req *http.Request, name string) []string {
	var all []string
	for other, values := range req.Header {
		if strings.EqualFold(other, name) {
			all = append(all, values...)
		}
	}
	return all
}

// showToken verifies a token as its reader would, and decodes it.
func (r *run) showToken(title string, req *http.Request, token string) string {
	r.Helper()
	r.hide(token)
	parts := strings.Split(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	must(r, err)
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(r, err)
	var said struct {
		Iss, Jti, Kid string
	}
	must(r, json.Unmarshal(claims, &said))
	must(r, json.Unmarshal(header, &said))
	verifier := r.server.verifiers[said.Iss]
	if verifier == nil || !strings.HasPrefix(req.URL.String(), said.Iss+"/") {
		r.Fatalf("%s: a token of issuer %q from %s", title, said.Iss, req.URL)
	}
	if _, err := verifier.Verify(r.Context(), token); err != nil {
		r.Errorf("%s: the token does not verify: %v", title, err)
	}
	if len(said.Jti) != 21 || len(said.Kid) != 43 {
		r.Errorf("%s: jti %q, kid %q", title, said.Jti, said.Kid)
	}
	r.jtis = append(r.jtis, said.Jti)
	if r.keep != "" {
		r.kept[r.keep], r.keep = token, ""
	}
	return "header " + strings.Replace(string(header), quoteJSON(said.Kid), `"{kid}"`, 1) +
		"\nclaims " + strings.Replace(string(claims), quoteJSON(said.Jti), `"{jti}"`, 1) + "\n"
}

// showSigned verifies a signed answer, which no verifier of tokens takes, by the
// keys that the issuer publishes.
func (r *run) showSigned(title string, req *http.Request, signed string) string {
	r.Helper()
	for url, verifier := range r.server.verifiers {
		if _, err := verifier.Verify(r.Context(), signed); err == nil {
			r.Errorf("%s: the verifier of %s takes this for an access token", title, url)
		}
	}
	issuer := "https://" + req.URL.Host + strings.TrimSuffix(req.URL.Path, "/introspect")
	jws := r.server.published(r, issuer, signed)
	header, err := base64.RawURLEncoding.DecodeString(signed[:strings.IndexByte(signed, '.')])
	must(r, err)
	return "header " + strings.Replace(string(header), jws.Header.Kid, "{kid}", 1) +
		"\nclaims " + r.maskJTIs(string(jws.Payload)) + "\n"
}

// checkLedger holds the ledger to invariant 3 of ARCHITECTURE.md: each token that was handed
// out is in it, once, and the chain holds.
func (r *run) checkLedger() {
	r.Helper()
	r.server.store.ledgerDown.Store(false)
	must(r, r.server.refusals.Flush(r.Context(), r.server.Now()))
	master, err := keyring.NewMasterKey()
	must(r, err)
	_, err = r.server.store.Checkpoint(r.Context(), master.SignCheckpoint) // the clock may have leapt
	must(r, err)
	report, err := r.server.store.Verify(r.Context(), nil)
	must(r, err)
	if report.Broken != 0 {
		r.Errorf("the ledger is broken at %d: %s", report.Broken, report.How)
	}
	recorded := map[string]int{}
	for _, record := range r.server.entries(r) {
		entry, err := record.Entry()
		must(r, err)
		if entry.Kind == ledger.KindToken {
			recorded[entry.JTI]++
		}
	}
	slices.Sort(r.jtis)
	for _, jti := range slices.Compact(r.jtis) {
		if recorded[jti] != 1 {
			r.Errorf("token %s is in the ledger %d times", jti, recorded[jti])
		}
		delete(recorded, jti)
	}
	for jti := range recorded {
		r.Errorf("token %s is in the ledger and was given to nobody", jti)
	}
}

// checkSecrets searches log and ledger for everything that was shown or given
// (ARCHITECTURE.md, invariant 8).
func (r *run) checkSecrets() {
	r.Helper()
	seen := r.server.log.String()
	if lines := strings.Count(seen, `"msg":"token refused"`); lines != r.refused {
		r.Errorf("the log tells of %d refusals, there were %d", lines, r.refused)
	}
	for _, record := range r.server.entries(r) {
		seen += string(record.Line) + "\n"
	}
	for _, secret := range r.secrets {
		quoted := strconv.Quote(secret)
		if strings.Contains(seen, secret) || strings.Contains(seen, quoted[1:len(quoted)-1]) {
			r.Errorf("a log line or a ledger entry holds %q", secret)
		}
	}
}
