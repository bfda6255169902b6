package server

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// weighing counts lines and bytes.
type weighing struct{ lines, bytes int }

func (w *weighing) Write(p []byte) (int, error) {
	w.lines++
	w.bytes += len(p)
	return len(p), nil
}

// TestADayOfAttackFillsNoLog is a day in which strangers cause refusals and failures of ours
// four times a second each. It is what docs/operations.md and SECURITY.md say of the log's
// growth: a budget of refusals, and one of failures.
func TestADayOfAttackFillsNoLog(t *testing.T) {
	rate, now := overload.Default().Refusals, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	w := &weighing{}
	l := NewRefusalLog(slog.New(slog.NewJSONHandler(w, nil)), rate)
	refusal := oauth.Errorf(oauth.InvalidGrant, "the assertion cannot be verified").Because(&evidence.Refusal{Rule: "signature", Client: "ACMEGW0001",
		Expected: `a signature by the private half of the key registered as "key-1"`, Found: "64 bytes that the key does not verify",
		Hint: "signed with another private key than the registered one: compare thumbprints (moneyer inspect KEYFILE)"})
	shed := oauth.Errorf(oauth.TemporarilyUnavailable, "too many requests at once").Because(errors.New("too many requests are being read"))
	down := oauth.Errorf(oauth.TemporarilyUnavailable, "try again shortly").Because(errors.New("disk full"))
	stranger, partner := netip.MustParseAddr("192.0.2.66"), netip.MustParseAddr("198.51.100.7")
	written := 0 // of what the flood must not hide
	for second := range 24 * 3600 {
		at := now.Add(time.Duration(second) * time.Second)
		for range 4 {
			l.write(t.Context(), "d1", "mf18nPTgRa0475Z8-CcO", stranger, 400, refusal, at)
			l.write(t.Context(), "d1", "mf18nPTgRa0475Z8-CcO", stranger, 503, shed, at)
		}
		if second%600 == 0 {
			before := w.lines
			l.write(t.Context(), "d1", "partner", partner, 400, refusal, at)
			l.write(t.Context(), "d1", "partner", partner, 503, down, at)
			written += w.lines - before
		}
	}
	if most := 2 * (24*3600*int(rate.PerSecond) + rate.Burst); w.lines > most {
		t.Errorf("%d lines, want at most %d", w.lines, most)
	}
	if w.bytes > 100e6 {
		t.Errorf("%d bytes, want at most 100 MB", w.bytes)
	}
	if written != 288 {
		t.Errorf("%d lines about another address or another failure are written, want 288", written)
	}
	t.Logf("%d lines, %d bytes", w.lines, w.bytes)
}

// TestLinesOfIssuersAreApart: an issuer's lines are bounded, however they come
// about; those of another issuer are apart.
func TestLinesOfIssuersAreApart(t *testing.T) {
	var text strings.Builder
	l := NewRefusalLog(slog.New(slog.NewJSONHandler(&text, nil)), overload.Rate{PerSecond: 1, Burst: 2})
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for range 10 {
		l.write(t.Context(), "d1", "c", netip.Addr{}, 400, oauth.Errorf(oauth.InvalidRequest, "no"), now)
	}
	l.write(t.Context(), "d2", "c", netip.Addr{}, 400, oauth.Errorf(oauth.InvalidRequest, "no"), now)
	if lines := strings.Count(text.String(), "\n"); lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
	if strings.Contains(text.String(), "left_out") {
		t.Error("an issuer's lines count what was left out of another's")
	}
}
