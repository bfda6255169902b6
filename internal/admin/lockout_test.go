package admin_test

import (
	"testing"
	"time"

	"moneyer/internal/jose"
)

// TestSelfLockoutIsRefused: a change that would lock out its own caller is refused
// with the reason, and another administrator can make it.
func TestSelfLockoutIsRefused(t *testing.T) {
	w := newTestAPI(t)
	const self = "/issuers/admin/clients/operator"
	w.do("POST", "/issuers/admin/clients", `{"id":"operator","scope":"`+both+`"}`, 201)
	w.do("POST", self+"/keys", `{"kid":"one","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
	w.do("POST", self+"/keys", `{"kid":"off","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
	w.do("PATCH", self+"/keys/off", `{"disabled":true}`, 200)

	const lastKey = "without a key active: add the next key first; another administrator can do that"
	slips := []struct{ method, path, body, reason string }{
		{"PATCH", self, `{"disabled":true}`, "it would disable the client that asks"},
		{"PATCH", self, `{"scope":"admin:read"}`, "it would take admin:write from the client that asks"},
		{"DELETE", self, "", "it would remove the client that asks"},
		{"PATCH", self + "/keys/one", `{"disabled":true}`, lastKey},
		{"PATCH", self + "/keys/one", `{"not_after":"2026-11-23T12:00:00Z"}`, lastKey},
		{"PATCH", self + "/keys/one", `{"not_before":"2026-11-24T12:00:00Z"}`, lastKey},
		{"DELETE", self + "/keys/one", "", lastKey},
	}
	before := w.do("GET", self, "", 200)
	for _, slip := range slips {
		w.refused(slip.method, slip.path, slip.body, 409, slip.reason)
	}
	if after := w.do("GET", self, "", 200); after != before {
		t.Errorf("what was refused was done: %s", after)
	}

	// Another client, or the same name elsewhere, is not the caller.
	w.do("POST", "/issuers/plain/clients", `{"id":"operator","disabled":true}`, 201)
	w.do("PATCH", "/issuers/plain/clients/operator", `{"disabled":true}`, 200)
	w.do("DELETE", "/issuers/plain/clients/operator", "", 204)

	// With a second key the first may go, and all the rest goes on.
	w.do("PATCH", self, `{"name":"Operator"}`, 200)
	w.do("PATCH", self+"/keys/one", `{"not_after":"2026-11-24T12:00:00Z"}`, 200)
	w.do("POST", self+"/keys", `{"kid":"two","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
	w.do("DELETE", self+"/keys/one", "", 204)
	w.do("DELETE", self+"/keys/off", "", 204)
	w.refused("DELETE", self+"/keys/two", "", 409, lastKey)

	w.token = w.mint("colleague", both, time.Hour)
	w.do("DELETE", self+"/keys/two", "", 204)
	w.do("PATCH", self, `{"disabled":true}`, 200)
	w.do("DELETE", self, "", 204)
}

// TestNewKeyAfterTheLast: a client without an active key can add one with its token.
func TestNewKeyAfterTheLast(t *testing.T) {
	w := newTestAPI(t)
	const self = "/issuers/admin/clients/operator"
	w.do("POST", "/issuers/admin/clients", `{"id":"operator","scope":"`+both+`"}`, 201)
	w.do("POST", self+"/keys", `{"kid":"one","not_after":"2026-11-23T12:30:00Z","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
	w.wait(45 * time.Minute)
	w.do("DELETE", self+"/keys/one", "", 204)
	w.do("POST", self+"/keys", `{"kid":"two","key":`+quoted(publicPEM(t, jose.ES256))+`}`, 201)
}
