package agent

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// accepting is a token endpoint that takes requests which show one secret.
type accepting struct {
	endpoint
	secret string
}

func (a *accepting) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.down = !strings.Contains(req.Header.Get("Authorization")+string(body), a.secret)
	a.mu.Unlock()
	return a.endpoint.RoundTrip(req)
}

// TestRotatedSecret: when the platform no longer accepts a secret or an API key and the file has
// another one, the agent uses that, without a signal. A file that cannot be used changes nothing.
func TestRotatedSecret(t *testing.T) {
	for setting, toml := range map[string]string{"secret_file": boltToken, "api_key_file": etpToken} {
		dir := folder(t)
		file := filepath.Join(dir, "bolt.secret")
		token := load(t, dir, tcp+toml+boltFile).Tokens["bolt"]
		log := &journal{}
		synctest.Test(t, func(t *testing.T) {
			e := &accepting{endpoint: endpoint{life: time.Minute}, secret: "new-secret-0123"}
			logger := slog.New(slog.NewTextHandler(log, nil))
			k := &renewer{name: "bolt", settings: token, log: logger, now: time.Now, source: token.source(logger, time.Now)}
			k.source.HTTPClient = &http.Client{Transport: e}
			ctx, cancel := context.WithCancel(t.Context())
			go k.run(ctx)
			time.Sleep(time.Minute)
			want := func(what string, valid bool) {
				t.Helper()
				time.Sleep(maxBackoff)
				synctest.Wait()
				if expiry, _ := k.state(); expiry.After(time.Now()) != valid {
					t.Errorf("%s, %s: a token until %s:\n%s", setting, what, expiry, log)
				}
			}
			want("the old one in the file", false)
			write(t, file, "\ufeffnew-secret-0123\n")
			want("a file with a byte order mark", false)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			want("no file", false)
			write(t, file, "new-secret-0123\n")
			want("the new one in the file", true)
			cancel()
			synctest.Wait()
		})
		for _, line := range []string{"byte order mark", "no such file", "trying the one that has replaced it", "got a token"} {
			if strings.Count(log.String(), line) != 1 {
				t.Errorf("%s: %q is in the log %d times:\n%s", setting, line, strings.Count(log.String(), line), log)
			}
		}
		if strings.Contains(log.String(), "0123") || strings.Contains(log.String(), secret) {
			t.Errorf("%s: the log shows a secret:\n%s", setting, log)
		}
	}
}

// TestPlatformsWords: what the platform says is in the log, without secrets, and not in the agent's
// own answers.
func TestPlatformsWords(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	p.refuseWith(func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"fault":{"code":"E-17","message":"partner suspended, was `+secret+`"}}`)
	})
	r := simple(t, p, a)
	resp := r.do(t, "GET", "/api/x", nil)
	wantStatus(t, resp, 503, "no_token")
	if body := text(t, resp); strings.Contains(body, "E-17") || !strings.Contains(body, `"reason":"unauthorized_client"`) {
		t.Errorf("the answer: %s", body)
	}
	if body := text(t, r.do(t, "GET", "/-/readyz", nil)); strings.Contains(body, "E-17") {
		t.Errorf("the state: %s", body)
	}
	if log := r.log.String(); !strings.Contains(log, "E-17") || !strings.Contains(log, "partner suspended, was [withheld]") {
		t.Errorf("the log: %s", log)
	}
}
