package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"moneyer/profile"
)

// A secret that is sent as the request's name would stand in the log and the
// ledger, and in the answer.
func TestACredentialIsNoCorrelation(t *testing.T) {
	found, err := profile.Builtin("boltpay")
	p := found.Definition()
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Wire: &p.Wire, correlation: http.CanonicalHeaderKey(p.Wire.Correlation.Header)}
	for text, good := range map[string]bool{
		"try-1": true, "mns_" + strings.Repeat("a", 43): false, "mnk_" + strings.Repeat("a", 43): false, "eyJhbGciOiJFUzI1NiJ9.e30": false,
	} {
		r, rec := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
		r.Header.Set(w.correlation, text)
		id, err := w.correlate(rec, r)
		if (err == nil) != good || (id == text) != good || rec.Header().Get(w.correlation) != id {
			t.Errorf("%s: named %s, %v", text, id, err)
		}
	}
}

// A card number that is sent as the request's name is echoed, and neither logged nor recorded.
func TestACardNumberAsCorrelationIsMasked(t *testing.T) {
	found, err := profile.Builtin("boltpay")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Wire: &found.Definition().Wire, correlation: http.CanonicalHeaderKey(found.Definition().Wire.Correlation.Header)}
	r, rec := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
	r.Header.Set(w.correlation, "order-4111111111111111")
	id, err := w.correlate(rec, r)
	if err != nil || id != "order-411111******1111" || rec.Header().Get(w.correlation) != "order-4111111111111111" {
		t.Errorf("named %s, echoed %s, %v", id, rec.Header().Get(w.correlation), err)
	}
}
