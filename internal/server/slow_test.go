package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"moneyer/internal/overload"
)

// TestSlowSendersKeepNobodyOut: whoever sends a body slowly is among the readers
// and takes no place from those whose requests have come.
func TestSlowSendersKeepNobodyOut(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/boltpay", "").open(t)
	url := h.setup.issuers[0].Endpoints()[0]
	answered := make(chan int)
	var bodies []*io.PipeWriter
	for range maxInFlight + 1 {
		body, sender := io.Pipe()
		bodies = append(bodies, sender)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
		must(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		go func() {
			status := 0
			if resp, err := h.client.Do(req); err == nil {
				status = resp.StatusCode
				_ = resp.Body.Close()
			}
			answered <- status
		}()
		_, err = sender.Write([]byte("grant_type="))
		must(t, err)
	}
	for h.admission.Readers.InUse() <= maxInFlight {
		runtime.Gosched()
	}
	resp, err := h.client.Post(url, "application/x-www-form-urlencoded", strings.NewReader("grant_type=client_credentials"))
	must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized { // judged, not turned away
		t.Errorf("status %d while others send slowly, want 401", resp.StatusCode)
	}
	for _, sender := range bodies {
		must(t, sender.Close())
		if status := <-answered; status != http.StatusBadRequest {
			t.Errorf("a slow request that came in the end: status %d, want 400", status)
		}
	}
}

// TestLongWaitIsRefused: when requests wait too long before they are read, those
// that are read are told to come again, before their bodies are looked at.
func TestLongWaitIsRefused(t *testing.T) {
	h := readSetup(t, "testdata/transcripts/boltpay", "").open(t)
	delay, err := overload.NewQueueDelay(-time.Hour, time.Now) // every wait of a crowd is too long
	must(t, err)
	defer func() { must(t, delay.Close()) }()
	h.admission.QueueDelay = delay
	url := h.setup.issuers[0].Endpoints()[0]
	for range 1000 {
		for range 1000 { // the crowd; what it finds out is believed for a moment only
			delay.TooLong()
		}
		resp, err := h.client.Post(url, "application/x-www-form-urlencoded", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			continue
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		return
	}
	t.Error("no request was told to come again")
}

// slowReader is a caller that does not take the answer: it notes what is at work meanwhile.
type slowReader struct {
	*httptest.ResponseRecorder
	limit  *overload.ConcurrencyLimit
	atWork int64
	asked  bool
}

func (r *slowReader) Write(p []byte) (int, error) {
	r.atWork, r.asked = r.limit.InUse(), true
	return r.ResponseRecorder.Write(p)
}

// TestSlowReadersKeepNobodyOut: whoever takes an answer slowly has no place among the
// requests at work.
func TestSlowReadersKeepNobodyOut(t *testing.T) {
	w := openPrivate(t, platforms[0])
	issuer := w.setup.issuers[0]
	for name, c := range map[string]struct {
		method, url, client, body string
		status                    int
	}{
		"a token":             {"POST", issuer.Endpoints()[0], "app-1", "grant_type=client_credentials", 200},
		"a refusal":           {"POST", issuer.Endpoints()[0], "nobody", "grant_type=client_credentials", 401},
		"an introspection":    {"POST", issuer.URL + "/introspect", "api-1", "token=x", 200},
		"the revocation list": {"GET", issuer.URL + "/revocations", "api-1", "", 200},
	} {
		req := httptest.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
		req.SetBasicAuth(c.client, "secret-of-"+c.client)
		if c.body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r := &slowReader{ResponseRecorder: httptest.NewRecorder(), limit: w.admission.AtWork}
		w.handler.ServeHTTP(r, req)
		if r.Code != c.status || !r.asked || r.atWork != 0 {
			t.Errorf("%s: status %d, %d at work while the answer is taken: %s", name, r.Code, r.atWork, r.Body)
		}
	}
}
