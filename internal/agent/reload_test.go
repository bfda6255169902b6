package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReload: a reload keeps the tokens whose settings and credentials have not changed.
func TestReload(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	dir := folder(t)
	config := settings(p.URL, a.URL)
	r := start(t, dir, config)
	wantStatus(t, r.do(t, "GET", "/api/x", nil), 200, "")

	more := config + "[upstreams.more]\npath = \"/more/\"\nurl = \"" + a.URL + "\"\ntoken = \"bolt\"\n[files.f]\npath = \"f\"\ntoken = \"bolt\"\n"
	if err := r.Reload(load(t, dir, more)); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, r.do(t, "GET", "/more/x", nil), 200, "")
	if _, minted := p.counts(); minted != 1 {
		t.Errorf("%d tokens were minted: the reload discarded a valid one", minted)
	}
	file := filepath.Join(dir, "f")
	eventually(t, "the new file is there", func() bool { data, _ := os.ReadFile(file); return string(data) == "token-1" })

	// The same settings with another credential are another token.
	write(t, filepath.Join(dir, "bolt.secret"), secret) // the line end does not matter
	if err := r.Reload(load(t, dir, more)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file has the new token", func() bool { data, _ := os.ReadFile(file); return string(data) == "token-2" })

	for setting, changed := range map[string]string{
		"listen": strings.Replace(config, "127.0.0.1", "localhost", 1),
		"log":    strings.Replace(config, "\n", "\nlog.level = \"debug\"\n", 1),
	} {
		if err := r.Reload(load(t, dir, changed)); err == nil || !strings.Contains(err.Error(), setting+" needs a restart") {
			t.Errorf("%s: %v", setting, err)
		}
	}
	wantStatus(t, r.do(t, "GET", "/more/x", nil), 200, "")
}

// TestDrain: a request in flight continues through a reload and is finished before shutdown.
func TestDrain(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	p, a := newPlatform(t), newAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = w.Write([]byte("finished"))
	})
	dir := folder(t)
	config := settings(p.URL, a.URL)
	r := start(t, dir, config)
	answer := make(chan string)
	go func() {
		resp, err := http.Get(r.url + "/api/x")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		answer <- text(t, resp)
	}()
	<-arrived
	if err := r.Reload(load(t, dir, config)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Shutdown(short) }()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it did not wait: %v", err)
	}
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("answer %q", got)
	}
}

// TestShutdownDeadline: when the deadline of Shutdown passes, requests in flight are cut off.
func TestShutdownDeadline(t *testing.T) {
	arrived := make(chan struct{})
	p, a := newPlatform(t), newAPI(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	cfg := load(t, folder(t), settings(p.URL, a.URL))
	l, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := New(cfg, discard(), time.Now)
	served := make(chan error, 1)
	go func() { served <- r.Serve(l) }()
	go func() {
		if resp, err := http.Get("http://" + l.Addr().String() + "/api/x"); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Shutdown(now); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestServeFails: a failing listener ends Serve with an error.
func TestServeFails(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	cfg := load(t, folder(t), settings(p.URL, a.URL))
	l, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := New(cfg, discard(), time.Now)
	defer func() { _ = r.Shutdown(t.Context()) }()
	if err := r.Serve(l); err == nil {
		t.Error("no error")
	}
}
