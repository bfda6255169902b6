package admin_test

import (
	"encoding/json"
	"moneyer/internal/adminapi"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// streamRecorder is a recorder with the methods that an import needs.
type streamRecorder struct{ *httptest.ResponseRecorder }

func (streamRecorder) EnableFullDuplex() error          { return nil }
func (streamRecorder) SetReadDeadline(time.Time) error  { return nil }
func (streamRecorder) SetWriteDeadline(time.Time) error { return nil }

// answer sends a body straight to the handler.
func (w *testAPI) answer(method, path, mediaType, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, adminapi.Prefix+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", mediaType)
	rec := httptest.NewRecorder()
	w.api.Handler().ServeHTTP(streamRecorder{rec}, req)
	return rec
}

// FuzzBodies sends anything to everything that reads one JSON object. The
// response is JSON, and never a server failure.
func FuzzBodies(f *testing.F) {
	w := newTestAPI(f)
	w.do("POST", "/issuers/plain/clients", `{"id":"c"}`, 201)
	w.do("POST", "/issuers/etp/clients", `{"id":"g"}`, 201)
	targets := []target{
		{"POST", "/issuers/bolt/clients"}, {"PATCH", "/issuers/plain/clients/c"}, {"POST", "/issuers/plain/clients/c/keys"},
		{"PATCH", "/issuers/plain/clients/c/keys/k"}, {"POST", "/issuers/plain/clients/c/secrets"},
		{"PUT", "/issuers/etp/accounts/m"}, {"PUT", "/issuers/etp/items/t"}, {"POST", "/issuers/plain/explain"},
	}
	fuzzBodies(f, w, targets, []string{
		`{"id":"c","name":"n","scope":"openid roles","grants":["client_credentials"],"attributes":{"roles":["a"],"accountId":"1"}}`,
		`{"name":null,"jwks_uri":"https://c.example/j","disabled":true,"attributes":null}`,
		`{"kid":"k","key":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},"not_after":"2030-01-01T00:00:00Z"}`,
		`{"disabled":true,"not_before":null}`, `{"kind":"secret"}`, `{"client":"g","attributes":{"trId":"40000000001"}}`, `{"account":"m","kind":"visa"}`,
		`{"assertion":"e30.e30.AA"}`,
	})
}

// target reads one JSON object.
type target struct{ method, path string }

// fuzzBodies sends anything to targets; each of bodies is for the target in its place.
func fuzzBodies(f *testing.F, w *testAPI, targets []target, bodies []string) {
	for i, body := range bodies {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, target uint8, body string) {
		to := targets[int(target)%len(targets)]
		rec := w.answer(to.method, to.path, "application/json", body)
		if rec.Code >= 500 || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s %s: status %d: %s", to.method, to.path, rec.Code, rec.Body)
		}
	})
}

// FuzzImport sends anything as rows. The last line of the response is the result.
func FuzzImport(f *testing.F) {
	w := newTestAPI(f)
	w.do("POST", "/issuers/etp/clients", `{"id":"g"}`, 201)
	w.do("PUT", "/issuers/etp/accounts/m", `{"client":"g","attributes":{"trId":"40000000001"}}`, 200)
	f.Add("accounts", `{"id":"a","client":"g","attributes":{"trId":"40000000001"}}`+"\n\r\n"+`{"id":"b","client":"x","attributes":{"trId":"40000000001"}}`)
	f.Add("items", `{"id":"a","account":"m","kind":"visa"}`+"\n"+`{"id":"b"}`)
	f.Fuzz(func(t *testing.T, what, body string) {
		if what != "accounts" {
			what = "items"
		}
		rec := w.answer("POST", "/issuers/etp/"+what+":import", "application/x-ndjson", body)
		lines := strings.Split(strings.TrimSpace(rec.Body.String()), "\n")
		var last adminapi.Progress
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || rec.Code != 200 {
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
		if last.Finished == (last.Error != "") || last.Finished == (last.Line != 0) || strings.Contains(last.Error, "just now") {
			t.Errorf("the last line is %+v", last)
		}
	})
}

// FuzzQuery sends any query to the ledger.
func FuzzQuery(f *testing.F) {
	w := newTestAPI(f)
	f.Add("after=1&since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00%2B02:00&kind=admin&issuer=d1&client=c&correlation=x&jti=y&limit=3")
	f.Add("limit=00&after=")
	f.Fuzz(func(t *testing.T, query string) {
		req := httptest.NewRequest("GET", adminapi.Prefix+"/ledger", nil)
		req.URL.RawQuery = query
		req.Header.Set("Authorization", "Bearer "+w.token)
		rec := httptest.NewRecorder()
		w.api.Handler().ServeHTTP(streamRecorder{rec}, req)
		if rec.Code != 200 && rec.Code != 400 {
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		}
	})
}
