package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"moneyer/internal/deadline"
	"moneyer/oauth"
	"moneyer/tokensource"
)

const (
	minCheckInterval = 100 * time.Millisecond // minimum interval between two checks of a token
	maxCheckInterval = time.Second            // also after a suspend, in which timers stand still
	maxBackoff       = 30 * time.Second       // maximum interval between two attempts while the platform gives no token
)

// renewer keeps one token valid, whether or not requests need it, and writes it to the token files.
type renewer struct {
	name     string
	settings *Token
	source   *tokensource.Source
	log      *slog.Logger
	now      func() time.Time

	mu     sync.Mutex // guards what follows
	files  []*tokenFile
	expiry time.Time // of the current token; zero if there is none
	reason string    // why there is none
}

// run checks the token periodically until ctx ends. Each check lets the source renew the token when
// that is due; otherwise it answers from memory.
func (k *renewer) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		token, err := k.source.Token(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.fail(err)
			failures++
			sleep(ctx, backoff(failures))
		default:
			k.succeed(token)
			failures = 0
			sleep(ctx, min(max(deadline.Left(token.Expiry, k.now())/10, minCheckInterval), maxCheckInterval))
		}
	}
}

// watch removes tokens that have ended from the files, until ctx ends. It does not wait for the
// platform, as run does. A timer stands still while the machine is suspended, so it looks at the
// clocks each second.
func (k *renewer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		k.removeEnded()
		sleep(ctx, maxCheckInterval)
	}
}

func (k *renewer) removeEnded() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.files {
		if !f.removeEnded(k.now()) {
			continue
		}
		if f.err != nil {
			k.log.Error("the token in the file has ended, and the file could not be removed", "file", f.name, "cause", f.err.Error())
		} else {
			k.log.Warn("removed the token file: the token in it has ended", "file", f.name)
		}
	}
}

// backoff grows from about a second to half a minute, with jitter so that agents do not retry at
// the same time.
func backoff(failures int) time.Duration {
	pause := min(maxCheckInterval<<min(failures-1, 10), maxBackoff)
	return pause/2 + rand.N(pause/2)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// fail records that there is no token. The source logs the cause.
func (k *renewer) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expiry, k.reason = time.Time{}, reasonOf(err)
}

// succeed records a token and updates the files.
func (k *renewer) succeed(token *tokensource.Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.expiry.IsZero() {
		k.log.Info("got a token", "expiry", token.Expiry.UTC())
	}
	k.expiry, k.reason = token.Expiry, ""
	for _, f := range k.files {
		if changed := f.update(token); changed && f.err != nil {
			k.log.Error("the token file could not be updated", "file", f.name, "cause", f.err.Error())
		} else if changed {
			k.log.Info("wrote the token file", "file", f.name, "expiry", token.Expiry.UTC())
		}
	}
}

// state returns the expiry of the token, or why there is none.
func (k *renewer) state() (expiry time.Time, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expiry, k.reason
}

// reasonOf names a failure for callers, who need no details: the error code of the platform, or
// "no_answer".
func reasonOf(err error) string {
	var refused *oauth.Error
	if errors.As(err, &refused) {
		return string(refused.Code)
	}
	return "no_answer"
}
