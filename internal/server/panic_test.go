package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// panicking is a body that cannot be read at all.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }
func (panicking) Close() error             { return nil }

// TestPanicGivesBackEverything: a request that ends in a panic holds no place
// afterwards, wherever it came to that.
func TestPanicGivesBackEverything(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/boltpay", "").open(t)
	issuer := h.setup.issuers[0]
	for _, url := range []string{issuer.Endpoints()[0], issuer.URL + "/revoke", issuer.URL + "/introspect"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.ContentLength, req.Body = 10, io.ReadCloser(panicking{})
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", url)
				}
			}()
			h.handler.ServeHTTP(httptest.NewRecorder(), req)
		}()
		if readers, atWork := h.admission.Readers.InUse(), h.admission.AtWork.InUse(); readers != 0 || atWork != 0 {
			t.Errorf("%s: %d are read and %d at work after the panic", url, readers, atWork)
		}
	}
}
