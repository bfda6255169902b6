package tokensource_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/tokensource"
)

// rotation is a Source with a credential from a file, and a platform that accepts one credential.
type rotation struct {
	*tokensource.Source
	*endpoint
	file     string
	old, new string // contents of the file
	mu       sync.Mutex
	accepted string // content whose credential the platform accepts
	at       time.Time
	logged   strings.Builder
}

func (r *rotation) accept(content string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = content
}

func (r *rotation) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.Add(d)
}

func (r *rotation) write(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answer refuses a request that does not show the accepted credential.
func (r *rotation) answer(n int, req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endpoint.mu.Lock()
	shown := req.Header.Get("Authorization") + r.bodies[n-1]
	r.endpoint.mu.Unlock()
	if key, err := assertion.ParseKey([]byte(r.accepted)); err == nil {
		public, err := jose.NewPublicKey(key.Public(), jose.ES256)
		if err != nil {
			return nil, err
		}
		_, compact, _ := strings.Cut(shown, "assertion=eyJ")
		compact, _, _ = strings.Cut("eyJ"+compact, "&")
		jws, err := jose.Parse(compact)
		if err != nil || jws.Verify(public) != nil {
			return reply(400, `{"error":"invalid_grant"}`), nil
		}
	} else if !strings.Contains(shown, strings.TrimSpace(r.accepted)) {
		return reply(401, `{"error":"bad_credentials"}`), nil
	}
	return reply(200, `{"access_token":"token","accessToken":"token","expires_in":600}`), nil
}

// newRotation is one of three kinds: by a client secret, an API key or a private key.
func newRotation(t *testing.T, kind string) *rotation {
	t.Helper()
	r := &rotation{file: filepath.Join(t.TempDir(), "credential"), old: "the-old-one-0123\n", new: "the-new-one-0123\r\n", at: time.Unix(1700000000, 0), endpoint: &endpoint{}}
	r.endpoint.answer = r.answer
	name := map[string]string{"secret": "boltpay", "API key": "thales-etp", "key": "thales-d1"}[kind]
	r.Source = sourceFor(t, name)
	r.HTTPClient, r.Logger = r.client(), textLogger(&r.logged)
	r.Now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.at
	}
	files := &tokensource.CredentialFiles{Now: r.Now, Logger: r.Logger}
	switch kind {
	case "secret":
		files.Secret = r.file
	case "API key":
		files.APIKey = r.file
	case "key":
		files.Key = r.file
		r.old, r.new = newPEM(t), newPEM(t)
	}
	r.write(t, r.old)
	r.accept(r.old)
	var err error
	if r.Credential, err = files.Read(r.Credential); err != nil {
		t.Fatal(err)
	}
	r.Rotated = files.Rotated
	return r
}

func newPEM(t *testing.T) string {
	t.Helper()
	pem, err := assertion.MarshalKey(newKey(t, "ES256"))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

// fetch makes an exchange, and checks whether there is a token and how many requests it took.
func (r *rotation) fetch(t *testing.T, good bool, requests int) error {
	t.Helper()
	before := r.count()
	_, err := r.Fetch(t.Context())
	if (err == nil) != good || r.count()-before != requests {
		t.Fatalf("%v after %d requests, want a token: %v, after %d", err, r.count()-before, good, requests)
	}
	return err
}

// A credential that was replaced in its file is used when the platform refuses the old one, in the
// same exchange and without a signal; until then the old one is.
func TestRotatedFile(t *testing.T) {
	for _, kind := range []string{"secret", "API key", "key"} {
		t.Run(kind, func(t *testing.T) {
			r := newRotation(t, kind)
			r.fetch(t, true, 1)
			r.write(t, r.new)
			r.fetch(t, true, 1) // with the old one, which is still good
			r.accept(r.new)
			r.fetch(t, true, 2)
			r.fetch(t, true, 1) // it stays
			if log := r.logged.String(); strings.Count(log, "trying the one that has replaced it") != 1 || strings.Contains(log, "one-0123") {
				t.Errorf("the log: %s", log)
			}
		})
	}
}

// A file that did not change costs no second request, and what cannot be used changes nothing; the
// log says so once.
func TestRotatedFileThatIsOfNoUse(t *testing.T) {
	for _, kind := range []string{"secret", "API key", "key"} {
		t.Run(kind, func(t *testing.T) {
			r := newRotation(t, kind)
			r.accept(r.new)
			r.fetch(t, false, 1) // refused: nothing has changed
			for range 3 {
				r.advance(2 * time.Second)
				r.write(t, "\ufeff"+"the-new-one-0123 \x00")
				r.fetch(t, false, 1)
			}
			if log := r.logged.String(); strings.Count(log, "cannot be used now; the old one stays") != 1 || strings.Contains(log, "one-0123") {
				t.Errorf("the log: %s", log)
			}
			r.accept(r.old)
			r.fetch(t, true, 1)
			r.accept(r.new)
			r.write(t, r.new)
			r.advance(2 * time.Second)
			r.fetch(t, true, 2)
		})
	}
}

// A file that was replaced too early, or by a wrong credential, does not take the place of one that
// the platform accepts again.
func TestRotatedFileThatIsRefused(t *testing.T) {
	r := newRotation(t, "secret")
	r.accept("something else")
	r.write(t, r.new)
	if err := r.fetch(t, false, 2); !strings.Contains(err.Error(), "with the one that has replaced it") {
		t.Error(err)
	}
	r.accept(r.old)
	r.fetch(t, true, 1)
}

// The files are read at most once a second, and again after a clock was set back.
func TestRotatedFileIsReadOnceASecond(t *testing.T) {
	r := newRotation(t, "secret")
	r.accept(r.new)
	r.fetch(t, false, 1)
	r.write(t, r.new)
	r.advance(minReread - time.Millisecond)
	r.fetch(t, false, 1)
	r.advance(-time.Hour)
	r.fetch(t, true, 2)
}

const minReread = time.Second

// Refusals that are not about the credential do not ask for another one.
func TestRotatedIsAskedAboutCredentialsAlone(t *testing.T) {
	for answer, want := range map[string]bool{
		`401 {}`: true, `403 {"error":"own_code"}`: true, `400 {"error":"invalid_client"}`: true, `400 {"error":"invalid_grant"}`: true,
		`400 {"error":"unauthorized_client"}`: true, `400 {"error":"invalid_scope"}`: false, `400 {}`: false, `404 {}`: false, `500 {}`: false, `200 {}`: false, `200 {"error":"invalid_client"}`: true,
	} {
		var status int
		var body string
		if _, err := fmt.Sscanf(answer, "%d %s", &status, &body); err != nil {
			t.Fatal(err)
		}
		s := withSecret(always(status, body))
		asked := false
		s.Rotated = func(_ context.Context, refused tokensource.Credential) (tokensource.Credential, bool) {
			asked = true
			return refused, false
		}
		if _, err := s.Fetch(t.Context()); err == nil || asked != want {
			t.Errorf("%s: asked %v, want %v (%v)", answer, asked, want, err)
		}
	}
}

// Callers for different requests share one rotation.
func TestRotatedFileForManyRequests(t *testing.T) {
	r := newRotation(t, "secret")
	r.accept(r.new)
	r.write(t, r.new)
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() {
			if _, err := r.FetchFor(t.Context(), tokensource.Request{Correlation: fmt.Sprintf("c%d", n)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	r.fetch(t, true, 1)
}
