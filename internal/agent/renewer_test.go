package agent

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/tokensource"
)

// endpoint is a token endpoint without a network.
type endpoint struct {
	life time.Duration
	mu   sync.Mutex
	n    int
	down bool
	stop chan struct{}        // nil: answer at once
	ends map[string]time.Time // of the issued tokens
}

func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	e.mu.Lock()
	stop := e.stop
	e.mu.Unlock()
	if stop != nil {
		select {
		case <-stop:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	resp := &http.Response{StatusCode: 200, Header: http.Header{}}
	if e.down {
		resp.StatusCode = http.StatusUnauthorized
	}
	// Tokens have different lengths, and all end with their only full stop.
	token := fmt.Sprintf("%s-%d.", strings.Repeat("x", e.n%7*1000), e.n)
	if e.ends == nil {
		e.ends = map[string]time.Time{}
	}
	e.ends[token] = time.Now().Add(e.life)
	body := fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, int(e.life.Seconds()))
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

func (e *endpoint) set(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = down
}

// hang lets requests wait until it is called with false.
func (e *endpoint) hang(wait bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if wait {
		e.stop = make(chan struct{})
		return
	}
	close(e.stop)
	e.stop = nil
}

// left returns how long a token is still valid.
func (e *endpoint) left(token string) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Until(e.ends[token])
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

func newRenewer(e *endpoint, files ...*tokenFile) *renewer {
	return &renewer{name: "t", files: files, now: time.Now, log: slog.New(slog.DiscardHandler), source: &tokensource.Source{
		Issuer: "https://issuer.example", HTTPClient: &http.Client{Transport: e}, Credential: tokensource.Credential{ClientID: "c", Secret: "s"}}}
}

// TestFileIsAlwaysValid: the file contains a valid token at every moment, also through outages at
// any moment. (A failure is cached for a second, in which a token with a lifetime of two has
// expired.)
func TestFileIsAlwaysValid(t *testing.T) {
	for _, life := range []time.Duration{2 * time.Second, time.Minute, 10 * time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{life: life}
			f := &tokenFile{name: "f", path: filepath.Join(t.TempDir(), "f"), mode: 0o640}
			k := newRenewer(e, f)
			ctx, cancel := context.WithCancel(t.Context())
			go k.run(ctx)
			for i := range 200 {
				synctest.Wait()
				data, err := os.ReadFile(f.path)
				if left := e.left(string(data)); err != nil || left <= 0 {
					t.Fatalf("life %s, step %d: %v, a token of %d bytes with %s left", life, i, err, len(data), left)
				}
				e.set(i%20 == 17 && life >= time.Minute)
				time.Sleep(life / 20) // fake time of the synctest bubble
			}
			if n := e.count(); n < 10 || n > 60 {
				t.Errorf("life %s: the platform was asked %d times in ten lives", life, n)
			}
			if info, err := os.Stat(f.path); err != nil || info.Mode() != 0o640 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// TestBackoff: while the platform refuses, the agent asks less and less often, and once the
// platform issues a token again the file has it within half a minute.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{life: time.Minute, down: true}
		f := &tokenFile{name: "f", path: filepath.Join(t.TempDir(), "f"), mode: 0o600}
		k := newRenewer(e, f)
		ctx, cancel := context.WithCancel(t.Context())
		go k.run(ctx)
		time.Sleep(10 * time.Minute)
		if n := e.count(); n < 20 || n > 60 {
			t.Errorf("it was asked %d times in ten minutes", n)
		}
		if _, reason := k.state(); reason != "invalid_client" {
			t.Errorf("reason %q", reason)
		}
		if _, err := os.Stat(f.path); err == nil {
			t.Error("there is a file without a token")
		}
		e.set(false)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if _, err := os.Stat(f.path); err != nil {
			t.Error(err)
		}
		cancel()
		synctest.Wait()
	})
}

// TestUnwritableFile: an error of a file is logged once, and the file is written once that is
// possible.
func TestUnwritableFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		f := &tokenFile{name: "f", path: filepath.Join(dir, "f"), mode: 0o600}
		k := newRenewer(&endpoint{life: time.Hour}, f)
		log := &journal{}
		k.log = slog.New(slog.NewTextHandler(log, nil))
		g := &snapshot{renewers: []*renewer{k}}
		g.start()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := strings.Count(log.String(), "could not be updated"); n != 1 || g.readiness(time.Now()).Ready {
			t.Errorf("logged %d times, ready %v:\n%s", n, g.readiness(time.Now()).Ready, log)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !g.readiness(time.Now()).Ready || !strings.Contains(log.String(), "wrote the token file") {
			t.Errorf("not written:\n%s", log)
		}
		g.retire()
	})
}

// TestReadersSeeWholeTokens: a reader of the file sees one complete token even while it is written.
func TestReadersSeeWholeTokens(t *testing.T) {
	dir := t.TempDir()
	f := &tokenFile{path: filepath.Join(dir, "f"), mode: 0o600}
	if err := replace(f.path, f.mode, "."); err != nil {
		t.Fatal(err)
	}
	stop, reads := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			data, err := os.ReadFile(f.path)
			if s := string(data); err != nil || strings.IndexByte(s, '.') != len(s)-1 || s == "" {
				t.Errorf("read %.20q, %v", data, err)
			}
			n++
			select {
			case <-stop:
				reads <- n
				return
			default:
			}
		}
	}()
	for n := range 200 {
		if !f.update(&tokensource.Token{AccessToken: strings.Repeat("x", n%9*5000) + "."}) {
			t.Error("nothing changed")
		}
	}
	close(stop)
	if n := <-reads; n < 100 {
		t.Errorf("only %d reads", n)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replace(filepath.Join(dir, "d"), 0o600, "x"); err == nil {
		t.Error("a folder was replaced")
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}
