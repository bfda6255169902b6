package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/deadline/deadlinetest"
)

// suspended is a renewer with a file on a machine that can be suspended.
type suspended struct {
	*renewer
	e    *endpoint
	file *tokenFile
	log  *journal
	all  *snapshot
	off  atomic.Int64 // wall clock less monotonic clock
}

// booted has a monotonic reading, which times in a synctest bubble do not have.
func newSuspended(t *testing.T, booted time.Time, life time.Duration) *suspended {
	s := &suspended{e: &endpoint{life: life}, file: &tokenFile{name: "f", path: filepath.Join(t.TempDir(), "f"), mode: 0o600}, log: &journal{}}
	s.renewer = newRenewer(s.e, s.file)
	began := time.Now()
	s.now = func() time.Time {
		return deadlinetest.Suspend(booted.Add(time.Since(began)), time.Duration(s.off.Load()))
	}
	s.source.Now, s.renewer.log = s.now, slog.New(slog.NewTextHandler(s.log, nil))
	s.all = &snapshot{renewers: []*renewer{s.renewer}}
	s.all.start()
	synctest.Wait()
	return s
}

// after lets a while pass by both clocks.
func (s *suspended) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want checks that there is the nth token everywhere, or none for 0.
func (s *suspended) want(t *testing.T, when string, n int) {
	t.Helper()
	data, err := os.ReadFile(s.file.path)
	token, tokenErr := s.source.Token(canceled())
	ready := s.all.readiness(s.now())
	if n == 0 {
		if !errors.Is(err, fs.ErrNotExist) || tokenErr == nil || ready.Ready || ready.Tokens["t"].Ready || ready.Files["f"].Ready {
			t.Errorf("%s: the file has %.9q (%v), the source %v (%v), ready %+v; want no token", when, data, err, token, tokenErr, ready)
		}
		return
	}
	if s.e.count() != n || err != nil || tokenErr != nil || token.AccessToken != string(data) || !ready.Ready {
		t.Errorf("%s: %d tokens, the file has %.9q (%v), the source %v (%v), ready %+v; want token %d", when, s.e.count(), data, err, token, tokenErr, ready, n)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestSuspend: after a suspend, in which the monotonic clock stands still, a token that ended is
// replaced within a second, and if there is no other it is neither handed out nor left in the file.
// A wall clock that is set back does not lengthen its life.
func TestSuspend(t *testing.T) {
	booted := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := newSuspended(t, booted, 10*time.Minute)
		s.want(t, "at the start", 1)
		s.after(time.Minute)
		s.want(t, "a minute later", 1)
		s.off.Store(int64(2 * time.Hour))
		s.after(maxCheckInterval)
		s.want(t, "after a suspend of 2 h", 2)

		s.e.set(true)
		s.off.Store(int64(4 * time.Hour))
		s.after(maxCheckInterval)
		s.want(t, "after another, with a platform that refuses", 0)
		s.e.set(false)
		s.after(maxBackoff)
		if !s.all.readiness(s.now()).Ready {
			t.Errorf("no token after the platform gives one again:\n%s", s.log)
		}

		s.e.set(true)
		s.off.Store(int64(3 * time.Hour))
		s.after(10*time.Minute + maxCheckInterval)
		s.want(t, "the life of a token later, with a wall clock that was set back", 0)
		if n := strings.Count(s.log.String(), "removed the token file"); n < 2 {
			t.Errorf("logged only %d times:\n%s", n, s.log)
		}
		s.all.retire()
	})
}

// TestEndedTokenWhileThePlatformHangs: the file does not wait for an exchange that takes long.
func TestEndedTokenWhileThePlatformHangs(t *testing.T) {
	booted := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := newSuspended(t, booted, time.Minute)
		s.want(t, "at the start", 1)
		s.e.hang(true)
		s.after(time.Minute + maxCheckInterval)
		if _, err := os.Stat(s.file.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the token that has ended is still in the file: %v", err)
		}
		s.e.hang(false)
		s.after(2 * time.Minute)
		if !s.all.readiness(s.now()).Ready {
			t.Error("no token after the platform answers again")
		}
		s.all.retire()
	})
}

// TestForeignFileStays: a file that somebody else has put in the place of ours is not removed.
func TestForeignFileStays(t *testing.T) {
	booted := time.Now()
	synctest.Test(t, func(t *testing.T) {
		s := newSuspended(t, booted, time.Minute)
		write(t, s.file.path, "somebody else's")
		s.e.set(true)
		s.after(2 * time.Minute)
		if data, err := os.ReadFile(s.file.path); err != nil || string(data) != "somebody else's" {
			t.Errorf("%q, %v", data, err)
		}
		s.all.retire()
	})
}

// TestReloadKeepsTrackOfFiles: a token that was written before a reload is removed when it ends
// after it, though the new secret gets none.
func TestReloadKeepsTrackOfFiles(t *testing.T) {
	p, a := newPlatform(t), newAPI(t, nil)
	dir := folder(t)
	config := settings(p.URL, a.URL, boltFile)
	r := start(t, dir, config)
	file := filepath.Join(dir, "f.token")
	eventually(t, "the token is in the file", func() bool { data, _ := os.ReadFile(file); return string(data) == "token-1" })
	write(t, filepath.Join(dir, "bolt.secret"), "another-secret")
	if err := r.Reload(load(t, dir, config)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	r.clock.advance(10 * time.Minute)
	eventually(t, "the ended token is not in the file", func() bool { _, err := os.Stat(file); return errors.Is(err, fs.ErrNotExist) })
}
