package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
)

// edgeLog is an edge-triggered log: it tells of a failure when it begins and when it
// is over, and not each time that it is met in between.
type edgeLog struct {
	log *slog.Logger
	mu  sync.Mutex
	// failing tells of each thing that was reported whether it failed the last time.
	failing map[string]bool
}

// report notes how something went, under a name that is the same each time.
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
		cause, _, _ := strings.Cut(err.Error(), "\n") // many at once fail of one cause
		l.log.Error("this does not work for now", "what", what, "cause", cause)
	default:
		l.log.Info("this works again", "what", what)
	}
}
