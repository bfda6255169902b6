package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/overload"
	"moneyer/oauth"
)

// TestRefusalLog tells each refusal once, with all that is known of it, up to
// its rate, and then how many it left out.
func TestRefusalLog(t *testing.T) {
	var text bytes.Buffer
	l := NewRefusalLog(slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: withoutTime})), overload.Rate{PerSecond: 1, Burst: 3}) // of which one address may have two
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	write := func(status int, refusal *oauth.Error) {
		l.write(t.Context(), "d1", "c-1", netip.MustParseAddr("192.0.2.1"), status, refusal, now)
	}
	rule := &evidence.Refusal{Rule: "kid", Expected: "k1", Found: "k2", Hint: "use k1", Client: "shop", Subject: "customer"}
	write(400, oauth.Errorf(oauth.InvalidGrant, "no").Because(rule))
	write(400, oauth.Errorf(oauth.InvalidGrant, "no").Because(rule))
	write(401, oauth.Errorf(oauth.InvalidClient, "one too many"))
	write(401, oauth.Errorf(oauth.InvalidClient, "two too many"))
	write(503, oauth.Errorf(oauth.TemporarilyUnavailable, "later").Because(errors.New("disk full"))) // has a rate of its own
	now = now.Add(time.Second)
	write(401, oauth.Errorf(oauth.InvalidClient, "bad"))
	now = now.Add(time.Second)
	write(401, oauth.Errorf(oauth.InvalidClient, "bad"))
	common := map[string]any{"msg": "token refused", "issuer": "d1", "correlation": "c-1", "address": "192.0.2.1"}
	with := func(more map[string]any) map[string]any {
		all := maps.Clone(common)
		maps.Copy(all, more)
		return all
	}
	refused := with(map[string]any{"level": "INFO", "status": 400.0, "code": "invalid_grant", "description": "no",
		"client": "shop", "subject": "customer", "rule": "kid", "expected": "k1", "found": "k2", "hint": "use k1"})
	want := []map[string]any{
		refused, refused,
		with(map[string]any{"level": "ERROR", "status": 503.0, "code": "temporarily_unavailable", "description": "later", "cause": "disk full", "left_out": 2.0}),
		with(map[string]any{"level": "INFO", "status": 401.0, "code": "invalid_client", "description": "bad"}),
		with(map[string]any{"level": "INFO", "status": 401.0, "code": "invalid_client", "description": "bad"}),
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), text.String())
	}
	for i, line := range lines {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want[i]) {
			t.Errorf("line %d: %v\nwant %v", i+1, got, want[i])
		}
	}
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
