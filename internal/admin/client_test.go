package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/admin"
	"moneyer/internal/adminapi"
	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
)

func TestIssuers(t *testing.T) {
	w := newTestAPI(t)
	page := get[adminapi.Page[adminapi.Issuer]](w, "/issuers?limit=2")
	if len(page.Items) != 2 || page.Items[0].Name != "admin" || page.Next != "bolt" {
		t.Errorf("the first page is %+v", page)
	}
	page = get[adminapi.Page[adminapi.Issuer]](w, "/issuers?after=bolt")
	if len(page.Items) != 3 || page.Next != "" || page.Items[0] != (adminapi.Issuer{Name: "d1", URL: "https://d1.example", Profile: "thales-d1", Environment: "test"}) {
		t.Errorf("the second page is %+v", page)
	}
}

// A jwks_uri is of one environment, as a key is: at registration and when it is changed.
func TestJWKSURIOfAnotherEnvironment(t *testing.T) {
	w := newTestAPI(t)
	for _, issuer := range w.issuers {
		issuer.Environment = map[string]string{"d1": "prd"}[issuer.Name]
	}
	const uri = `"jwks_uri":"https://idp.example/keys"`
	w.do("POST", "/issuers/d1/clients", `{"id":"gateway001",`+uri+`}`, 201)
	w.do("POST", "/issuers/d1/clients", `{"id":"gateway002",`+uri+`}`, 201)
	const taken = "the jwks_uri is registered already: for client 'gateway001' of issuer 'd1', environment 'prd'"
	w.refused("POST", "/issuers/plain/clients", `{"id":"app",`+uri+`}`, 409, taken)
	w.do("POST", "/issuers/plain/clients", `{"id":"app","jwks_uri":"https://idp.example/stg"}`, 201)
	w.refused("PATCH", "/issuers/plain/clients/app", `{`+uri+`}`, 409, taken)
	w.do("PATCH", "/issuers/plain/clients/app", `{"name":"an app"}`, 200)
	w.refused("PATCH", "/issuers/d1/clients/gateway001", `{"jwks_uri":"https://idp.example/stg"}`, 409, "environment ''")
	w.do("PATCH", "/issuers/d1/clients/gateway001", `{"jwks_uri":null}`, 200)
	w.do("DELETE", "/issuers/d1/clients/gateway002", "", 204)
	w.do("PATCH", "/issuers/plain/clients/app", `{`+uri+`}`, 200)
}

func TestClientLife(t *testing.T) {
	w := newTestAPI(t)
	resp := w.send("POST", "/issuers/bolt/clients", "application/json", strings.NewReader(
		`{"id":"shop 1/2","name":"Shop","scope":"openid roles","grants":["client_credentials"],"attributes":{"accountId":"42","roles":["buyer"]}}`))
	if resp.StatusCode != http.StatusCreated || resp.Header.Get("Location") != adminapi.Prefix+"/issuers/bolt/clients/shop%201%2F2" {
		t.Fatalf("status %d, Location %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	path := "/issuers/bolt/clients/shop%201%2F2"
	c := get[adminapi.Client](w, path)
	if c.ID != "shop 1/2" || c.Issuer != "bolt" || c.Name != "Shop" || c.Scope != "openid roles" || c.Revision != 1 || !c.Created.Equal(start) ||
		c.Attributes["accountId"].Text != "42" || fmt.Sprint(c.Attributes["roles"].List) != "[buyer]" {
		t.Errorf("the new client is %+v", c)
	}
	w.refused("POST", "/issuers/bolt/clients", `{"id":"shop 1/2"}`, 409, "exists already")

	w.do("PATCH", path, `{"scope":"openid","attributes":{"accountId":null,"username":"u"},"grants":null}`, 200)
	c = get[adminapi.Client](w, path)
	if c.Name != "Shop" || c.Scope != "openid" || len(c.Attributes) != 2 || c.Attributes["username"].Text != "u" || c.Grants != nil || c.Revision != 2 {
		t.Errorf("the changed client is %+v", c)
	}
	w.do("PATCH", path, `{"attributes":null,"disabled":true}`, 200)
	if c = get[adminapi.Client](w, path); c.Attributes != nil || !c.Disabled {
		t.Errorf("the disabled client is %+v", c)
	}
	w.do("PATCH", path, `{"disabled":false}`, 200)
	w.do("DELETE", path, "", 204)
	w.refused("GET", path, "", 404, "shop 1/2")
	w.refused("PATCH", path, `{"name":"x"}`, 404)
	w.refused("DELETE", path, "", 404)
	checkEntries(t, w, "client.add", "client.set", "client.disable", "client.enable", "client.remove")
	for _, e := range w.entries() {
		if e.Object != "clients/shop 1/2" || e.Client != "shop 1/2" || e.Issuer != "bolt" || !e.Time.Equal(start) {
			t.Errorf("the entry is %+v", e)
		}
	}
}

// checkEntries checks that the operator made these changes, in that order.
func checkEntries(t *testing.T, w *testAPI, actions ...string) {
	t.Helper()
	var found []string
	for _, e := range w.entries() {
		found = append(found, e.Action)
	}
	if fmt.Sprint(found) != fmt.Sprint(actions) {
		t.Errorf("the ledger has %v, want %v", found, actions)
	}
	if _, err := w.db.Checkpoint(t.Context(), w.keys.Master.SignCheckpoint); err != nil { // the clock may have leapt by days
		t.Fatal(err)
	}
	var v adminapi.Verified
	if decode(t, w.do("GET", "/ledger/verify", "", 200), &v); !v.Whole {
		t.Errorf("the ledger is broken: %+v", v)
	}
}

func TestClientRefusals(t *testing.T) {
	w := newTestAPI(t)
	clients := func(issuer string) string { return "/issuers/" + issuer + "/clients" }
	w.refused("POST", clients("d1"), `{"id":"short"}`, 422, "client id 'short'")
	w.refused("POST", clients("plain"), `{}`, 422, "client id")
	w.refused("POST", clients("bolt"), `{"id":"c","scope":"gold"}`, 422, "scope word 'gold'")
	w.refused("POST", clients("bolt"), `{"id":"c","grants":["password"]}`, 422, "grant 'password'")
	w.refused("POST", clients("bolt"), `{"id":"c","attributes":{"colour":"red"}}`, 422, "no attribute 'colour'")
	w.refused("POST", clients("bolt"), `{"id":"c","attributes":{"roles":"buyer"}}`, 422, "roles is a list")
	w.refused("POST", clients("bolt"), `{"id":"c","jwks_uri":"https://c.example/jwks"}`, 422, "no client keys")
	for _, uri := range []string{"http://c.example/jwks", "https:///jwks", "https://u@c.example/", "https://c.example/#f", "ftp://c", ":", "https://c.example/" + strings.Repeat("x", 1024)} {
		w.refused("POST", clients("plain"), `{"id":"c","jwks_uri":`+quoted(uri)+`}`, 422, "https URL")
	}
	w.do("POST", clients("plain"), `{"id":"c","jwks_uri":"https://c.example/jwks"}`, 201)
	w.refused("PATCH", clients("plain")+"/c", `{"jwks_uri":"http://c.example"}`, 422)
	w.refused("PATCH", clients("plain")+"/c", `{"id":"d"}`, 400, "unknown member 'id'")
	if c := get[adminapi.Client](w, clients("plain")+"/c"); c.Revision != 1 || c.JWKSURI != "https://c.example/jwks" {
		t.Errorf("what was refused changed the client: %+v", c)
	}
}

func TestDotsInPath(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":".."}`, 201)
	if c := get[adminapi.Client](w, "/issuers/plain/clients/%2E%2E"); c.ID != ".." {
		t.Errorf("the client is %+v", c)
	}
}

func TestClientPages(t *testing.T) {
	w := newTestAPI(t)
	for i := range 25 {
		w.do("POST", "/issuers/plain/clients", fmt.Sprintf(`{"id":"c%02d"}`, i), 201)
	}
	var all []string
	after := ""
	for pages := 1; ; pages++ {
		page := get[adminapi.Page[adminapi.Client]](w, "/issuers/plain/clients?limit=10&after="+after)
		for i := range page.Items {
			all = append(all, page.Items[i].ID)
		}
		if after = page.Next; after == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
	}
	if len(all) != 25 || all[0] != "c00" || all[24] != "c24" {
		t.Errorf("the pages hold %v", all)
	}
	if text := w.do("GET", "/issuers/d1/clients", "", 200); text != "{\"items\":[]}\n" {
		t.Errorf("an empty list is %q", text)
	}
}

func TestConcurrentChangesAllHappen(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	const many = 12
	var wg sync.WaitGroup
	for i := range many {
		pem := publicPEM(t, jose.ES256)
		req := w.request("POST", "/issuers/plain/clients/c/keys", fmt.Sprintf(`{"kid":"k%d","key":%s}`, i, quoted(pem)))
		wg.Go(func() {
			resp, err := http.DefaultClient.Do(req)
			if err != nil || resp.StatusCode != http.StatusCreated {
				t.Errorf("key %d: %v, %v", i, resp, err)
			}
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
	c := get[adminapi.Client](w, "/issuers/plain/clients/c")
	if len(c.Keys) != many || c.Revision != many+1 {
		t.Errorf("%d keys at revision %d", len(c.Keys), c.Revision)
	}
	if n := len(w.entries()); n != many+1 {
		t.Errorf("%d entries", n)
	}
}

type clientStore = admin.Clients

// busyClients answers every change with a conflict.
type busyClients struct{ clientStore }

func (busyClients) PutClient(context.Context, *registry.Client, *ledger.Entry) error {
	return registry.ErrConflict
}

func TestChangeThatAlwaysComesTooLate(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	w.api.Clients = busyClients{w.db}
	w.refused("PATCH", "/issuers/plain/clients/c", `{"name":"x"}`, 409, "20 times")
}

func TestListsOfAClientPage(t *testing.T) {
	w := newTestAPI(t)
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	for _, kid := range []string{"a", "b", "c"} {
		w.do("POST", "/issuers/plain/clients/c/keys", `{"kid":"`+kid+`","key":`+quoted(publicPEM(t, jose.EdDSA))+`}`, 201)
		w.wait(time.Second)
	}
	page := get[adminapi.Page[adminapi.Key]](w, "/issuers/plain/clients/c/keys?limit=2")
	if len(page.Items) != 2 || page.Next != "b" {
		t.Errorf("the first page is %+v", page)
	}
	page = get[adminapi.Page[adminapi.Key]](w, "/issuers/plain/clients/c/keys?limit=2&after=b")
	if len(page.Items) != 1 || page.Next != "" || page.Items[0].Kid != "c" {
		t.Errorf("the second page is %+v", page)
	}
	w.refused("GET", "/issuers/plain/clients/nobody/keys", "", 404)
	w.refused("GET", "/issuers/plain/clients/c/keys?x=1", "", 400)
}
