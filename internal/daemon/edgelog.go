package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
)

// edgeLog is an edge-triggered log: it logs a failure when it begins and when it ends, and not at
// each repetition.
type edgeLog struct {
	log *slog.Logger
	mu  sync.Mutex
	// failing holds for each operation whether it failed the last time.
	failing map[string]bool
}

// report records the result of an operation under a constant name.
func (l *edgeLog) report(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	failed := err != nil
	l.mu.Lock()
	known := l.failing[what] == failed
	l.failing[what] = failed
	l.mu.Unlock()
	switch {
	case known:
	case failed:
		cause, _, _ := strings.Cut(err.Error(), "\n") // many errors at once usually have one cause
		l.log.Error("this does not work for now", "what", what, "cause", cause)
	default:
		l.log.Info("this works again", "what", what)
	}
}
