package admin_test

import (
	"encoding/json"
	"moneyer/internal/adminapi"
	"net/http"
	"strings"
	"testing"
	"time"
)

// operations are all operations of the API, on objects that do not exist.
var operations = []struct{ method, path, scope string }{
	{"GET", "/issuers", adminapi.ScopeRead},
	{"GET", "/issuers/d1/clients", adminapi.ScopeRead},
	{"POST", "/issuers/d1/clients", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/clients/c", adminapi.ScopeRead},
	{"PATCH", "/issuers/d1/clients/c", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/clients/c", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/clients/c/keys", adminapi.ScopeRead},
	{"POST", "/issuers/d1/clients/c/keys", adminapi.ScopeWrite},
	{"PATCH", "/issuers/d1/clients/c/keys/k", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/clients/c/keys/k", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/clients/c/secrets", adminapi.ScopeRead},
	{"POST", "/issuers/d1/clients/c/secrets", adminapi.ScopeWrite},
	{"PATCH", "/issuers/d1/clients/c/secrets/s", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/clients/c/secrets/s", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/clients/c/certificates", adminapi.ScopeRead},
	{"POST", "/issuers/d1/clients/c/certificates", adminapi.ScopeWrite},
	{"PATCH", "/issuers/d1/clients/c/certificates/k", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/clients/c/certificates/k", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/clients/c/identities", adminapi.ScopeRead},
	{"POST", "/issuers/d1/clients/c/identities", adminapi.ScopeWrite},
	{"PATCH", "/issuers/d1/clients/c/identities/i", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/clients/c/identities/i", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/accounts", adminapi.ScopeRead},
	{"GET", "/issuers/d1/accounts/m", adminapi.ScopeRead},
	{"PUT", "/issuers/d1/accounts/m", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/accounts/m", adminapi.ScopeWrite},
	{"POST", "/issuers/d1/accounts:import", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/accounts/m/items", adminapi.ScopeRead},
	{"GET", "/issuers/d1/items/t", adminapi.ScopeRead},
	{"PUT", "/issuers/d1/items/t", adminapi.ScopeWrite},
	{"DELETE", "/issuers/d1/items/t", adminapi.ScopeWrite},
	{"POST", "/issuers/d1/items:import", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/signing-keys", adminapi.ScopeRead},
	{"POST", "/issuers/d1/signing-keys", adminapi.ScopeWrite},
	{"POST", "/issuers/d1/signing-keys/k:activate", adminapi.ScopeWrite},
	{"GET", "/issuers/d1/revocations", adminapi.ScopeRead},
	{"POST", "/issuers/d1/revocations", adminapi.ScopeWrite},
	{"POST", "/issuers/d1/explain", adminapi.ScopeRead},
	{"GET", "/ledger", adminapi.ScopeRead},
	{"GET", "/ledger/verify", adminapi.ScopeRead},
	{"POST", "/ledger/verify", adminapi.ScopeRead},
}

func TestEveryOperationRequiresItsScope(t *testing.T) {
	w := newTestAPI(t)
	other := map[string]string{adminapi.ScopeRead: adminapi.ScopeWrite, adminapi.ScopeWrite: adminapi.ScopeRead}
	read, write := w.mint("auditor", adminapi.ScopeRead, time.Hour), w.mint("robot", adminapi.ScopeWrite, time.Hour)
	token := map[string]string{adminapi.ScopeRead: read, adminapi.ScopeWrite: write}
	over := w.mint("operator", both, -time.Minute)
	for _, op := range operations {
		for _, c := range []struct {
			name, token string
			status      int
		}{
			{"no token", "", 401},
			{"a token of nobody", "eyJhbGciOiJub25lIn0.e30.AA", 401},
			{"a token that is over", over, 401},
			{"the other scope", token[other[op.scope]], 403},
		} {
			resp := w.sendAs(c.token, op.method, op.path, "application/json", strings.NewReader("{}"))
			if resp.StatusCode != c.status {
				t.Errorf("%s %s with %s: status %d, want %d", op.method, op.path, c.name, resp.StatusCode, c.status)
			}
			if resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %s: no WWW-Authenticate", op.method, op.path, c.name)
			}
			var f adminapi.Failure
			if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Code == "" {
				t.Errorf("%s %s with %s: the body is no failure: %v", op.method, op.path, c.name, err)
			}
		}
		resp := w.sendAs(token[op.scope], op.method, op.path, "application/json", strings.NewReader("{}"))
		if s := resp.StatusCode; s == 401 || s == 403 || s == 405 || s >= 500 {
			t.Errorf("%s %s with its scope: status %d", op.method, op.path, s)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: Cache-Control is %q", op.method, op.path, resp.Header.Get("Cache-Control"))
		}
	}
	if n := len(w.entries()); n != 0 {
		t.Errorf("%d changes were recorded where all were refused", n)
	}
}

func TestWrongPathAndMethod(t *testing.T) {
	w := newTestAPI(t)
	w.refused("GET", "/nothing", "", 404, "nothing at this path")
	w.refused("GET", "/issuers/nobody/clients", "", 404, "issuer 'nobody': not found; there is admin, bolt, d1, ")
	w.refused("DELETE", "/issuers", "", 405, "GET")
	resp := w.send("PUT", "/issuers/d1/clients/c", "", nil)
	if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "DELETE, GET, PATCH" {
		t.Errorf("status %d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestBodies(t *testing.T) {
	w := newTestAPI(t)
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","colour":"red"}`, 400, "unknown member 'colour'", "jwks_uri")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","ID":"d"}`, 400, "unknown member 'ID'")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","id":"d"}`, 400)
	w.refused("POST", "/issuers/plain/clients", `{"id":"c"`, 400, "JSON at byte")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c"}{}`, 400)
	w.refused("POST", "/issuers/plain/clients", `[]`, 400)
	w.refused("POST", "/issuers/plain/clients", `{"id":7}`, 400, "id:", "want a string")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","disabled":"yes"}`, 400, "disabled:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","scope":"a\"b"}`, 400, "scope:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","grants":"client_credentials"}`, 400, "grants:", "array")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","grants":[1]}`, 400, "grants:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","attributes":[]}`, 400, "attributes:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","attributes":{"a":1}}`, 400, "attributes:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","attributes":{"a":[1]}}`, 400, "attributes:")
	w.refused("POST", "/issuers/plain/clients", `{"id":"c","name":"`+strings.Repeat("x", 200<<10)+`"}`, 413, "longer than")
	resp := w.send("POST", "/issuers/plain/clients", "text/plain", strings.NewReader(`{"id":"c"}`))
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a text body: status %d", resp.StatusCode)
	}
	w.refused("GET", "/issuers/plain/clients?page=2", "", 400, "unknown parameter 'page'", "after, limit")
	w.refused("GET", "/issuers/plain/clients?limit=1&limit=2", "", 400, "more than once")
	w.refused("GET", "/issuers/plain/clients?limit=0", "", 400, "limit:", "1 to 1000")
	w.refused("GET", "/issuers/plain/clients?limit=1001", "", 400)
	w.refused("GET", "/issuers/plain/clients?limit=x", "", 400)
	w.refused("GET", "/issuers/plain/clients?limit=%zz", "", 400)
}
