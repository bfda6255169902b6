package admin_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/clientcert/certtest"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// operator is the typed client of the test's API, with the operator's token.
func (w *testAPI) operator() *adminclient.Client {
	return adminclient.New("admin.json", adminclient.File{URL: strings.TrimSuffix(w.url, adminapi.Prefix), ClientID: "operator"},
		&http.Client{Transport: authorized{w}})
}

type authorized struct{ *testAPI }

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+a.token)
	return http.DefaultTransport.RoundTrip(r)
}

func publicKey(t *testing.T) string {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	must(t, err)
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	must(t, err)
	return string(public.PEM())
}

// TestClientMatchesAPI: the API takes every member of every request that the typed
// client can send, and null for what is removed.
func TestClientMatchesAPI(t *testing.T) {
	w := newTestAPI(t)
	api, ctx := w.operator(), t.Context()
	plain := api.At("plain")
	name, scope, uri, yes, no := "The shop", "pay", "https://c.example/jwks", true, false
	grants := []oauth.GrantType{oauth.ClientCredentials}
	change := adminapi.ClientChange{Name: &name, Scope: &scope, Grants: &grants, JWKSURI: &uri, Introspects: &yes, Disabled: &no,
		Attributes: map[string]*registry.Attribute{"none": nil}}
	made, err := plain.AddClient(ctx, adminapi.NewClient{ID: "a/..", ClientChange: change})
	must(t, err)
	if made.ID != "a/.." || made.Name != name || made.Scope != scope || !made.Introspects {
		t.Errorf("%+v", made)
	}
	_, err = plain.SetClient(ctx, "a/..", change)
	must(t, err)

	soon, later := &adminapi.Moment{Time: w.now().Add(time.Hour)}, &adminapi.Moment{Time: w.now().Add(2 * time.Hour)}
	key, err := plain.Keys().Add(ctx, "a/..", adminapi.NewKey{Key: publicKey(t), Kid: "k", Alg: "ES256", NotBefore: soon, NotAfter: later})
	must(t, err)
	if !key.NotBefore.Equal(soon.Time) || !key.NotAfter.Equal(later.Time) {
		t.Errorf("%+v", key)
	}
	key, err = plain.Keys().Set(ctx, "a/..", "k", adminapi.CredentialChange{NotBefore: &adminapi.Moment{}, NotAfter: later, Disabled: &yes})
	must(t, err)
	if !key.NotBefore.IsZero() || !key.Disabled {
		t.Errorf("%+v", key)
	}
	secret, err := plain.Secrets().Add(ctx, "a/..", adminapi.NewSecret{Kind: registry.ClientSecret, NotAfter: later})
	must(t, err)
	_, err = plain.Secrets().Set(ctx, "a/..", secret.ID, adminapi.CredentialChange{NotAfter: &adminapi.Moment{}, Disabled: &no})
	must(t, err)
	shown, err := plain.ShowClient(ctx, "a/..")
	must(t, err)
	if len(shown.Keys) != 1 || len(shown.Secrets) != 1 || !shown.Secrets[0].NotAfter.IsZero() {
		t.Errorf("%+v", shown)
	}
	_, err = plain.AnnounceSigningKey(ctx, adminapi.NewSigningKey{ActiveAt: later})
	must(t, err)
	_, err = plain.Revoke(ctx, adminapi.Target{Client: "a/..", At: &adminapi.Moment{Time: w.now()}})
	must(t, err)
	if _, err := plain.Revoke(ctx, adminapi.Target{Client: "a/..", Credential: "k"}); !refused(err, "a live token") {
		t.Errorf("a key without tokens: %v", err)
	}
	_, err = plain.Explain(ctx, adminapi.Question{Assertion: "x", Use: adminapi.UseClientAuth})
	must(t, err)
	must(t, plain.Secrets().Remove(ctx, "a/..", secret.ID))
	must(t, plain.Keys().Remove(ctx, "a/..", "k"))
	must(t, plain.RemoveClient(ctx, "a/.."))
	if _, err := plain.ShowClient(ctx, "a/.."); !refused(err, "not found") {
		t.Errorf("after it was removed: %v", err)
	}
}

// TestClientOfCredentials: the same for certificates and identities, and the settings of a
// client that go with them.
func TestClientOfCredentials(t *testing.T) {
	w := newTestAPI(t, trustKeycloak)
	ctx, plain, d1 := t.Context(), w.operator().At("plain"), w.operator().At("d1")
	bound, audience, none, yes, later := registry.BoundToTLS, registry.AudienceIssuerOrEndpoint, []string{}, true, &adminapi.Moment{Time: w.now().Add(time.Hour)}
	_, err := plain.AddClient(ctx, adminapi.NewClient{ID: "c", ClientChange: adminapi.ClientChange{Subjects: &none, BoundTokens: &bound, AssertionAudience: &audience}})
	must(t, err)
	pem := string(certtest.PEM(certtest.SelfSigned(t, start, "merchant", nil).Leaf))
	for _, n := range []adminapi.NewCertificate{{Certificate: pem, Disabled: true}, {SubjectDN: "CN=a"}, {SANDNS: "a.example"}, {SANURI: "a:b"}, {SANIP: "::1"}, {SANEmail: "a@b.example"}} {
		n.NotAfter = later
		c, err := plain.Certificates().Add(ctx, "c", n)
		must(t, err)
		c, err = plain.Certificates().Set(ctx, "c", c.ID, adminapi.CredentialChange{NotAfter: &adminapi.Moment{}, Disabled: &yes})
		if err != nil || !c.NotAfter.IsZero() || !c.Disabled {
			t.Errorf("%+v, %v", c, err)
		}
	}
	certificates, err := plain.Certificates().List(ctx, "c")
	if err != nil || len(certificates) != 6 {
		t.Errorf("%+v, %v", certificates, err)
	}
	must(t, plain.Certificates().Remove(ctx, "c", certificates[0].ID))

	_, err = d1.AddClient(ctx, adminapi.NewClient{ID: "merchant01"})
	must(t, err)
	made, err := d1.Identities().Add(ctx, "merchant01", adminapi.NewIdentity{Trusted: "keycloak", Claims: map[string]string{"azp": "m"}, NotAfter: later})
	must(t, err)
	i, err := d1.Identities().Set(ctx, "merchant01", made.ID, adminapi.CredentialChange{NotAfter: &adminapi.Moment{}, Disabled: &yes})
	if err != nil || !i.NotAfter.IsZero() || !i.Disabled || i.Claims["azp"] != "m" {
		t.Errorf("%+v, %v", i, err)
	}
	must(t, d1.Identities().Remove(ctx, "merchant01", made.ID))
	if left, err := d1.Identities().List(ctx, "merchant01"); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestClientOfAccounts: the same for accounts, items and imports.
func TestClientOfAccounts(t *testing.T) {
	w := newTestAPI(t)
	ctx, etp := t.Context(), w.operator().At("etp")
	_, err := etp.AddClient(ctx, adminapi.NewClient{ID: "gateway"})
	must(t, err)
	attributes := map[string]*registry.Attribute{"trId": {Text: "12345678901"}}
	_, err = etp.PutAccount(ctx, "m-1", adminapi.NewAccount{Client: "gateway", Disabled: true, Attributes: attributes})
	must(t, err)
	_, err = etp.PutItem(ctx, "t-1", adminapi.NewItem{Account: "m-1", Kind: "visa"})
	must(t, err)
	csv := adminclient.ConvertCSV(adminclient.ItemRows, strings.NewReader("id,account,kind\nt-2,m-1,visa\n"))
	last, err := etp.Import(ctx, adminclient.ItemRows, csv, func(adminapi.Progress) {})
	must(t, err)
	items, err := etp.Items(ctx, "m-1")
	must(t, err)
	if !last.Finished || last.Done != 1 || len(items) != 2 {
		t.Errorf("%+v, %+v", last, items)
	}
	if ids, err := etp.AccountIDs(ctx); err != nil || len(ids) != 1 || ids[0] != "m-1" {
		t.Errorf("%q, %v", ids, err)
	}
}

// TestClientReadsTheLedger: the selected entries arrive line by line.
func TestClientReadsTheLedger(t *testing.T) {
	w := newTestAPI(t)
	ctx, api := t.Context(), w.operator()
	_, err := api.At("plain").AddClient(ctx, adminapi.NewClient{ID: "shop"})
	must(t, err)
	lines := 0
	must(t, api.Ledger(ctx, adminclient.LedgerQuery{Kind: "admin", Issuer: "plain", Client: "shop", Since: w.now().Add(-time.Hour), Until: w.now().Add(time.Hour)},
		func(line []byte) error {
			lines++
			_, err := ledger.ParseRecord(line)
			return err
		}))
	verified, err := api.VerifyLedger(ctx, nil)
	must(t, err)
	if lines != 1 || !verified.Whole {
		t.Errorf("%d lines, %+v", lines, verified)
	}
	noted, err := ledger.ParseHeads(verified.Heads)
	must(t, err)
	if again, err := api.VerifyLedger(ctx, noted); err != nil || !again.Whole || again.HeadsCompared != 1 {
		t.Errorf("with the heads before: %+v, %v", again, err)
	}
	noted[0].Hash[0]++
	if again, err := api.VerifyLedger(ctx, noted); err != nil || again.Whole || again.Broken != noted[0].Seq {
		t.Errorf("with another head: %+v, %v", again, err)
	}
	w.token = "nonsense"
	if _, err := api.Issuers(ctx); !refused(err, "not granted") {
		t.Errorf("with a bad token: %v", err)
	}
}

// refused reports whether the server refused the request with these words.
func refused(err error, words string) bool {
	var no *adminclient.RefusedError
	return errors.As(err, &no) && strings.Contains(err.Error(), words)
}
