package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"moneyer/internal/overload"
)

// TestADayOfBrokenConnectionsFillsNoLog: what net/http reports of strangers, and panics that
// one can cause, are bounded in lines and bytes. A sixth of a day is enough: after the burst every
// hour is like the one before.
func TestADayOfBrokenConnectionsFillsNoLog(t *testing.T) {
	const parts = 6
	now, w := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), &weighing{}
	lines := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
	log := slog.New(newLineBudget(lines, overload.Default().Lines, func() time.Time { return now }))
	c := connectionLog{log}
	stack := strings.Repeat("main.go:1\n", 2000)
	const seconds = 24 * 3600 / parts
	for range seconds {
		for i := range 2 {
			fmt.Fprintf(c, "http: TLS handshake error from 192.0.2.1:%d: EOF\n", 1024+i)
			fmt.Fprintf(c, "http: panic serving 192.0.2.1:%d: boom\n%s", 1024+i, stack)
			log.With("part", "admin").Error("admin request failed", "error", errors.New("down"))
		}
		now = now.Add(time.Second)
	}
	rate := overload.Default().Lines
	if most := 3 * (int(seconds*rate.PerSecond) + rate.Burst + 1); w.lines > most {
		t.Errorf("%d lines, want at most %d", w.lines, most)
	}
	burst := 3 * rate.Burst * w.bytes / w.lines // comes once
	if daily := burst + (w.bytes-burst)*parts; daily > 60e6 {
		t.Errorf("%d bytes a day, want at most 60 MB", daily)
	}
	if w.lines < 3*rate.Burst {
		t.Errorf("%d lines: one message hides another", w.lines)
	}
	t.Logf("%d lines, %d bytes", w.lines, w.bytes)
}

// weighing counts lines and bytes.
type weighing struct{ lines, bytes int }

func (w *weighing) Write(p []byte) (int, error) {
	w.lines++
	w.bytes += len(p)
	return len(p), nil
}

// TestLinesSayHowManyWereLeftOut counts by message, through derived loggers too.
func TestLinesSayHowManyWereLeftOut(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	var text strings.Builder
	log := slog.New(newLineBudget(slog.NewTextHandler(&text, nil), overload.Rate{PerSecond: 1, Burst: 1}, func() time.Time { return now }))
	for range 3 {
		log.Info("a")
		log.WithGroup("g").With("k", "v").Info("b")
	}
	now = now.Add(time.Second)
	log.Info("a")
	if n := strings.Count(text.String(), "\n"); n != 3 || !strings.Contains(text.String(), "msg=a left_out=2") || strings.Contains(text.String(), "msg=b left_out") {
		t.Error(text.String())
	}
}

// TestTheServersLinesAreBounded breaks more connections of a running server than may be
// logged.
func TestTheServersLinesAreBounded(t *testing.T) {
	var log strings.Builder // read after Shutdown only
	s := newTestServer(t, newFolder(t), &log)
	if _, bounded := s.log.Handler().(lineBudget); !bounded {
		t.Error("the server's log is not bounded")
	}
	c := connectionLog{s.log}
	for range 2 * s.Config().Limits.Overload().Lines.Burst {
		fmt.Fprintln(c, "http: panic serving 192.0.2.1: boom")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, most := strings.Count(log.String(), "boom"), s.Config().Limits.Overload().Lines.Burst; n < most || n > most+10 {
		t.Errorf("%d lines, want about %d", n, most)
	}
}
