package postgres

import (
	"errors"
	"testing"
	"time"

	"moneyer/internal/store/engine"
)

// TestCheckSession: a proxy may drop what a session asks for.
func TestCheckSession(t *testing.T) {
	u := parsed(t, server.NewDatabase(t))
	for level, settings := range map[engine.Level]map[string]string{engine.Good: writeSettings(), engine.Bad: nil} {
		conn, _, err := u.dial(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		e := &checker{url: u, now: time.Now, conn: conn}
		if err := errors.Join(e.sessionSettings(t.Context()), conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if len(e.Findings) != 1 || e.Findings[0].What != "session" || e.Findings[0].Level != level {
			t.Errorf("%+v, want it %s", e.Findings, level)
		}
	}
}

func TestCheckStandbys(t *testing.T) {
	at := func(name, state, sync string) standby { return standby{name: name, state: state, sync: sync} }
	for _, c := range []struct {
		names string
		all   []standby
		want  engine.Level
	}{
		{"ANY 1 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "streaming", "quorum")}, engine.Good},
		{"ANY 1 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "catchup", "quorum")}, engine.Warn},
		{"any 2 (a, b)", []standby{at("a", "streaming", "quorum"), at("b", "streaming", "quorum")}, engine.Warn},
		{"ANY 2 (a, b)", []standby{at("a", "streaming", "quorum")}, engine.Bad},
		{" FIRST 1 (a, b)", []standby{at("a", "streaming", "sync"), at("b", "streaming", "potential")}, engine.Good},
		{"2 (a, b)", []standby{at("a", "streaming", "sync"), at("x", "streaming", "async")}, engine.Bad},
		{"a, b", []standby{at("a", "streaming", "sync"), at("b", "streaming", "potential")}, engine.Good},
		{"a", nil, engine.Bad},
		{"*", []standby{at("walreceiver", "streaming", "sync")}, engine.Warn},
	} {
		var e checker
		e.judgeStandbys(c.names, c.all)
		if e.Findings[0].Level != c.want {
			t.Errorf("%s: %+v, want %s", c.names, e.Findings, c.want)
		}
	}
}
