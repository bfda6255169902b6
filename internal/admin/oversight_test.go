package admin_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/evidence"
	"moneyer/internal/jose"
	"moneyer/internal/keyring"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

func TestSigningKeyLife(t *testing.T) {
	w := newTestAPI(t)
	const path = "/issuers/d1/signing-keys"
	list := func() []keyring.KeyInfo { return get[adminapi.Page[keyring.KeyInfo]](w, path).Items }
	first := list()[0]
	if first.State != keyring.Signing || first.URI != "sealed:" {
		t.Fatalf("the first key is %+v", first)
	}
	w.wait(time.Minute)
	var second, third keyring.KeyInfo
	decode(t, w.do("POST", path, `{}`, 201), &second)
	if second.State != keyring.Announced {
		t.Errorf("the second key is %+v", second)
	}
	decode(t, w.do("POST", path+"/"+second.Kid+":activate", "", 200), &second)
	signer, err := w.keys.Signer("d1", w.now())
	must(t, err)
	if second.State != keyring.Signing || signer.Kid() != second.Kid {
		t.Errorf("the activated key is %+v, and %s signs", second, signer.Kid())
	}
	decode(t, w.do("POST", path, `{"active_at":"2026-11-24T00:00:00Z"}`, 201), &third)
	decode(t, w.do("POST", path+"/"+third.Kid+":retire", "", 200), &third)
	if third.State != keyring.Retired {
		t.Errorf("the retired key is %+v", third)
	}
	decode(t, w.do("POST", path+"/"+first.Kid+":revoke", "", 200), &first)
	if first.State != keyring.Revoked {
		t.Errorf("the revoked key is %+v", first)
	}
	w.refused("POST", path+"/"+first.Kid+":activate", "", 409, "state")
	w.refused("POST", path+"/"+second.Kid+":retire", "", 409)
	w.refused("POST", path+"/"+second.Kid, "", 404, ":activate")
	w.refused("POST", path+"/"+second.Kid+":sell", "", 404)
	w.refused("POST", path+"/nobody:revoke", "", 404)
	w.refused("POST", path, `{"active_at":"2020-01-01T00:00:00Z"}`, 422, "in the future")
	w.refused("POST", path, `{"alg":"ES256"}`, 400)
	w.refused("POST", path, `{"uri":"file:/nowhere/key.pem"}`, 422, "cannot be used")
	w.refused("GET", path+"?x=1", "", 400)
	files := t.TempDir()
	var outside keyring.KeyInfo
	decode(t, w.do("POST", path, `{"uri":`+quoted(privateFile(t, files, jose.ES256))+`}`, 201), &outside)
	w.refused("POST", path, `{"uri":`+quoted(outside.URI)+`}`, 409, "announced already")
	w.refused("POST", path, `{"uri":`+quoted(privateFile(t, files, jose.RS256))+`}`, 422, "cannot be used")
	checkEntries(t, w, "signing-key.announce", "signing-key.activate", "signing-key.announce", "signing-key.retire", "signing-key.revoke", "signing-key.announce")
}

// privateFile writes a new private key and returns its URI.
func privateFile(t *testing.T, dir string, alg jose.Alg) string {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	must(t, err)
	pem, err := jose.MarshalPrivatePEM(key)
	must(t, err)
	path := filepath.Join(dir, string(alg)+".pem")
	must(t, os.WriteFile(path, pem, 0o600))
	return "file:" + path
}

func TestLedgerQueries(t *testing.T) {
	w := newTestAPI(t)
	for i := range 3 {
		w.do("POST", "/issuers/plain/clients", fmt.Sprintf(`{"id":"c%d"}`, i), 201)
		w.wait(time.Hour / 4)
	}
	w.do("POST", "/issuers/bolt/clients", `{"id":"c0"}`, 201)
	count := func(query string) int { return strings.Count(w.do("GET", "/ledger"+query, "", 200), "\n") }
	all := count("")
	for query, want := range map[string]int{
		"?kind=admin":                              all,
		"?kind=token":                              0,
		"?client=c0":                               2,
		"?client=c0&issuer=bolt":                   1,
		"?client=c0&since=2026-11-23T12:30:00Z":    1,
		"?client=c0&until=2026-11-23T12:30:00Z":    1,
		fmt.Sprintf("?after=%d", all-1):            1,
		fmt.Sprintf("?after=3-0,%d,4-0", all-1):    1,
		fmt.Sprintf("?after=%d", all):              0,
		"?after=3-0":                               all,
		"?limit=2":                                 2,
		"?jti=x":                                   0,
		"?correlation=x":                           0,
		"?since=2026-11-23T13%3A45%3A00%2B01%3A00": 1,
	} {
		if n := count(query); n != want {
			t.Errorf("%s: %d entries, want %d of %d", query, n, want, all)
		}
	}
	for _, query := range []string{"?after=-1", "?after=", "?after=1,", "?after=1,2", "?after=8192-1", "?after=3-7", fmt.Sprintf("?after=%d", all+1), "?since=yesterday", "?colour=red", "?limit=0", "?kind=token&kind=admin", "?kind=tokens", "?kind=Token", "?kind="} {
		w.refused("GET", "/ledger"+query, "", 400)
	}
}

func TestLedgerLinesFollowTheChain(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c","name":"<Ünï & co>"}`, 201)
	var previous [32]byte
	last := int64(0)
	for line := range strings.Lines(w.do("GET", "/ledger", "", 200)) {
		line = strings.TrimSuffix(line, "\n")
		r, err := ledger.ParseRecord([]byte(line))
		must(t, err)
		if r.Seq != last+1 || r.Previous != previous || r.Hash != ledger.ChainHash(previous, r.Line) {
			t.Fatalf("entry %d does not follow entry %d", r.Seq, last)
		}
		if again := string(r.AppendJSON(nil)); again != line {
			t.Fatalf("line %s became %s", line, again)
		}
		last, previous = r.Seq, r.Hash
	}
	if v := get[adminapi.Verified](w, "/ledger/verify"); !v.Whole || v.First != 1 || v.Last != last || v.Head != fmt.Sprintf("%x", previous) ||
		v.CheckpointKey != get[adminapi.CheckpointKey](w, "/ledger/checkpoint-key").Key || len(v.Chains) != 1 || v.Chains[0].Head != v.Head {
		t.Errorf("verified: %+v, want head %x", v, previous)
	}
}

func TestBrokenLedgerIsAFinding(t *testing.T) {
	w := newTestAPI(t, func(w *testAPI) {
		w.api.Verify = func(context.Context, []ledger.Head) (ledger.VerifyReport, error) {
			return ledger.Report([]ledger.ChainReport{{Chain: 3, First: 3<<40 | 1, Last: 3<<40 | 2}, {First: 1, Last: 6, Broken: 7, How: "its line was changed"}}), nil
		}
	})
	if v := get[adminapi.Verified](w, "/ledger/verify"); v.Whole || v.Broken != 7 || v.How != "its line was changed" ||
		v.First != 0 || v.Head != "" || v.CheckpointKey != "" || len(v.Chains) != 2 || v.Chains[0].Broken != 7 || v.Chains[1].Last != 3<<40|2 {
		t.Errorf("verified: %+v", v)
	}
}

var errDisk = errors.New("disk on fire: pepper")

// failingStore fails every call.
type failingStore struct{}

func (failingStore) Client(context.Context, string, string) (*registry.Client, error) {
	return nil, errDisk
}
func (failingStore) Clients(context.Context, string, string, int) ([]*registry.Client, error) {
	return nil, errDisk
}
func (failingStore) Heads(context.Context) ([]ledger.Head, error)                     { return nil, errDisk }
func (failingStore) PutClient(context.Context, *registry.Client, *ledger.Entry) error { return errDisk }
func (failingStore) RemoveClient(context.Context, string, string, *ledger.Entry) error {
	return errDisk
}
func (failingStore) LastUsed(context.Context, string, string) (map[string]time.Time, error) {
	return nil, errDisk
}
func (failingStore) Account(context.Context, string, string) (*registry.Account, error) {
	return nil, errDisk
}
func (failingStore) Accounts(context.Context, string, string, int) ([]registry.Account, error) {
	return nil, errDisk
}
func (failingStore) PutAccounts(context.Context, []registry.Account, *ledger.Entry) error {
	return errDisk
}
func (failingStore) RemoveAccount(context.Context, string, string, *ledger.Entry) error {
	return errDisk
}
func (failingStore) Items(context.Context, string, []string) ([]registry.Item, error) {
	return nil, errDisk
}
func (failingStore) AccountItems(context.Context, string, string, string, int) ([]registry.Item, error) {
	return nil, errDisk
}
func (failingStore) PutItems(context.Context, []registry.Item, *ledger.Entry) error {
	return errDisk
}
func (failingStore) RemoveItem(context.Context, string, string, *ledger.Entry) error {
	return errDisk
}

func (failingStore) Entries(context.Context, ledger.Query, func(*ledger.Record) error) error {
	return errDisk
}

func TestStoreFailure(t *testing.T) {
	w := newTestAPI(t, func(w *testAPI) {
		w.api.Clients, w.api.Accounts, w.api.Ledger = failingStore{}, failingStore{}, failingStore{}
		w.api.Verify = func(context.Context, []ledger.Head) (ledger.VerifyReport, error) {
			return ledger.VerifyReport{}, errDisk
		}
	})
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/issuers/plain/clients", ""},
		{"POST", "/issuers/plain/clients", `{"id":"c"}`},
		{"GET", "/issuers/plain/clients/c", ""},
		{"PATCH", "/issuers/plain/clients/c", `{}`},
		{"DELETE", "/issuers/plain/clients/c", ""},
		{"POST", "/issuers/plain/clients/c/secrets", `{"kind":"secret"}`},
		{"GET", "/issuers/etp/accounts", ""},
		{"PUT", "/issuers/etp/accounts/m", `{"client":"c","attributes":{"trId":"40000000001"}}`},
		{"GET", "/issuers/etp/accounts/m/items", ""},
		{"GET", "/issuers/etp/items/t", ""},
		{"PUT", "/issuers/etp/items/t", `{"account":"m","kind":"visa"}`},
		{"DELETE", "/issuers/etp/items/t", ""},
		{"DELETE", "/issuers/etp/accounts/m", ""},
		{"GET", "/ledger/verify", ""},
	} {
		resp := w.send(c.method, c.path, "application/json", strings.NewReader(c.body))
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: status %d, Retry-After %q", c.method, c.path, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	text := w.do("GET", "/ledger", "", 200)
	if !strings.HasPrefix(text, `{"error":"temporarily_unavailable"`) || strings.Contains(text, "pepper") {
		t.Errorf("the ledger ends with %s", text)
	}
	last := w.imports(t, "accounts", `{"id":"m","client":"c","attributes":{"trId":"40000000001"}}`)
	if last.Line != 1 || last.Finished || strings.Contains(last.Error, "pepper") {
		t.Errorf("the import ends with %+v", last)
	}
	if n := strings.Count(w.log.String(), errDisk.Error()); n != 16 {
		t.Errorf("the log has the cause %d times, want 16", n)
	}
}

// TestExplainCertificate: a certificate is checked as a client would show it.
func TestExplainCertificate(t *testing.T) {
	w := withClient(t)
	pair := certtest.SelfSigned(t, time.Now(), "pay-1", nil)
	pem := quoted(string(certtest.PEM(pair.Leaf)))
	var f adminapi.Findings
	decode(t, w.do("POST", "/issuers/plain/explain", `{"certificate":`+pem+`,"client":"c"}`, 200), &f)
	if i := slices.IndexFunc(f.Findings, func(f evidence.Finding) bool { return f.Rule == "client certificate" }); f.Use != adminapi.UseClientAuth || i < 0 || f.Findings[i].Holds {
		t.Errorf("%+v", f)
	}
	w.refused("POST", "/issuers/plain/explain", `{"certificate":`+pem+`}`, 400, "client is missing")
	w.refused("POST", "/issuers/plain/explain", `{"certificate":"x","client":"c"}`, 400, "no certificate in PEM")
	w.refused("POST", "/issuers/plain/explain", `{"certificate":`+pem+`,"client":"c","assertion":"x"}`, 400, "belong together")
	w.refused("POST", "/issuers/etp/explain", `{"certificate":`+pem+`,"client":"c"}`, 422, "takes no client certificates")
}

func TestExplain(t *testing.T) {
	w := withClient(t)
	signer, text := keyPair(t, jose.ES256)
	w.do("POST", keysPath, `{"kid":"k1","key":`+quoted(text)+`}`, 201)
	assertion := w.assert(signer, "one")
	holds := func(body string, want bool) {
		t.Helper()
		var f adminapi.Findings
		decode(t, w.do("POST", "/issuers/plain/explain", body, 200), &f)
		all := len(f.Findings) > 10
		for _, finding := range f.Findings {
			all = all && finding.Holds
		}
		if all != want {
			t.Errorf("%s: %+v", body, f)
		}
	}
	for range 2 { // it is not consumed
		holds(`{"assertion":"`+assertion+`"}`, true)
	}
	holds(`{"assertion":"`+assertion+`","use":"client_authentication"}`, true)
	w.do("PATCH", keysPath+"/k1", `{"disabled":true}`, 200)
	holds(`{"assertion":"`+assertion+`"}`, false)
	holds(`{"assertion":"nonsense"}`, false)
	w.refused("POST", "/issuers/plain/explain", `{}`, 400, "missing")
	w.refused("POST", "/issuers/plain/explain", `{"assertion":"x","use":"lunch"}`, 400, "use is")
	w.refused("POST", "/issuers/etp/explain", `{"assertion":"x"}`, 422, "takes no assertions")
	w.refused("POST", "/issuers/plain/explain", `{"jwt":"x"}`, 400)
	demanded := func(use string, want bool) {
		t.Helper()
		var f adminapi.Findings
		if decode(t, w.do("POST", "/issuers/plain/explain", `{"assertion":"`+assertion+`","use":"`+use+`"}`, 200), &f); f.DemandsCertificate != want {
			t.Errorf("%s: a certificate is demanded: %t", use, f.DemandsCertificate)
		}
	}
	demanded("grant", false)
	plain := *w.issuers[4]
	p := *plain.Profile
	p.Policy = p.Policy.WithCertificate([]oauth.ClientAuth{oauth.AuthTLS})
	plain.Profile = &p
	w.issuers[4] = &plain
	demanded("grant", true)
	demanded("client_authentication", true)
	if strings.Contains(w.log.String(), assertion) || len(w.entries()) != 3 {
		t.Error("explaining left a trace")
	}
}

// TestActivateAtOnce: a key that verifiers may not know is activated only with
// at_once.
func TestActivateAtOnce(t *testing.T) {
	w := newTestAPI(t, func(w *testAPI) {
		s := w.keys.Issuers["d1"]
		s.MaxAge = 5 * time.Minute
		w.keys.Issuers["d1"] = s
	})
	const path = "/issuers/d1/signing-keys"
	var key keyring.KeyInfo
	decode(t, w.do("POST", path, `{}`, 201), &key)
	for _, body := range []string{"", "{}", `{"at_once":false}`} {
		w.refused("POST", path+"/"+key.Kid+":activate", body, 409, "until 2026-11-23T12:05:05Z", "at_once")
	}
	w.refused("POST", path, `{"active_at":"2026-11-23T12:05:00Z"}`, 409, "until 2026-11-23T12:05:05Z")
	w.refused("POST", path+"/"+key.Kid+":activate", `{"at_twice":true}`, 400, "at_once")
	decode(t, w.do("POST", path+"/"+key.Kid+":activate", `{"at_once":true}`, 200), &key)
	if key.State != keyring.Signing {
		t.Errorf("the key is %+v", key)
	}
	decode(t, w.do("POST", path, `{}`, 201), &key)
	w.wait(5*time.Minute + 5*time.Second)
	decode(t, w.do("POST", path+"/"+key.Kid+":activate", "", 200), &key)
	if key.State != keyring.Signing {
		t.Errorf("the key that all know is %+v", key)
	}
}

func TestCheckpointKeyText(t *testing.T) {
	key := ed25519.PublicKey(strings.Repeat("k", ed25519.PublicKeySize))
	text := adminapi.ShowCheckpointKey(key)
	if got, err := adminapi.ParseCheckpointKey(text); err != nil || !got.Equal(key) {
		t.Errorf("%s is read as %x, %v", text, got, err)
	}
	for _, text := range []string{"", text[1:], text + "A", text + "=", text[:42] + "_"} {
		if key, err := adminapi.ParseCheckpointKey(text); err == nil {
			t.Errorf("%q is read as %x", text, key)
		}
	}
}

// TestLedgerByMaskedCorrelation: a request whose correlation id had a card number is found by the id
// that was sent.
func TestLedgerByMaskedCorrelation(t *testing.T) {
	w := newTestAPI(t)
	must(t, w.db.Append(t.Context(), &ledger.Entry{Kind: ledger.KindToken, Time: w.now(), Correlation: "order-411111******1111"}))
	if got := w.do("GET", "/ledger?correlation=order-4111111111111111", "", 200); !strings.Contains(got, "order-411111******1111") {
		t.Errorf("found %q", got)
	}
}
