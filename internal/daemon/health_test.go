package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"
)

// TestHealthIsRemembered: the outcome of a trial is what is answered, until it is too old to be
// believed. A trial that is cut off by the end of the server says nothing.
func TestHealthIsRemembered(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	s := &state{log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }}
	if s.health.get(now) == nil {
		t.Error("healthy before the first trial")
	}
	full := errors.New("no space")
	s.try(t.Context(), func(context.Context) error { return full })
	if err := s.health.get(now); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	s.try(t.Context(), func(context.Context) error { return nil })
	if err := s.health.get(now.Add(maxTrialAge)); err != nil {
		t.Error(err)
	}
	if s.health.get(now.Add(maxTrialAge+1)) == nil {
		t.Error("a store that has not answered for long is healthy")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.try(ended, func(ctx context.Context) error { return ctx.Err() })
	if err := s.health.get(now); err != nil {
		t.Error(err)
	}
}

// TestPublishedIsServedFromMemory: health, metadata, keys and the list of revocations are served
// while all work is taken and the store is closed, so that no request for them reads it.
func TestPublishedIsServedFromMemory(t *testing.T) {
	s := newTestServer(t, newFolder(t), io.Discard)
	get(t, "http://"+s.Addr()+"/plain/revocations") // signs the first list
	s.stop()
	s.health.set(nil, s.now().Add(time.Hour))
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	for s.atWork.Acquire() {
	}
	for _, address := range []string{s.Addr() + "/plain", s.private.Addr().String()} {
		for _, path := range []string{"/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/revocations"} {
			if status := get(t, "http://"+address+path); status != http.StatusOK {
				t.Errorf("%s%s: %d", address, path, status)
			}
		}
	}
	for _, address := range []string{s.Addr(), s.private.Addr().String()} {
		for _, path := range []string{"/healthz", "/readyz"} {
			if status := get(t, "http://"+address+path); status != http.StatusOK {
				t.Errorf("%s%s: %d", address, path, status)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
	_ = s.Shutdown(t.Context()) // the store is closed already
}
