package daemon

import (
	"log/slog"
	"strings"
	"testing"

	"moneyer/internal/authority"
)

// TestScopeDropped: at level debug a line says which scope words were dropped, of whom.
func TestScopeDropped(t *testing.T) {
	s := newTestServer(t, newFolder(t), &testLog{})
	defer func() { _ = s.Shutdown(t.Context()) }()
	if s.current.Load().authority.ScopeDropped == nil {
		t.Error("the server's authority tells nobody")
	}
	for level, lines := range map[slog.Level]int{slog.LevelDebug: 1, slog.LevelInfo: 0} {
		var text strings.Builder
		with := &state{log: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: level}))}
		with.scopeDropped(t.Context(), authority.ScopeDropped{Issuer: "plain", Client: "app-1", Correlation: "c-1", Dropped: "nonsense"})
		if got := strings.Count(text.String(), "issuer=plain client=app-1 correlation=c-1 dropped=nonsense"); got != lines {
			t.Errorf("%v: %d lines, want %d: %s", level, got, lines, text.String())
		}
	}
}
