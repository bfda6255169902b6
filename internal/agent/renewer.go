package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"moneyer/oauth"
	"moneyer/tokensource"
)

const (
	quickest     = 100 * time.Millisecond // between two looks at a token
	slowest      = time.Second
	longestPause = 30 * time.Second // between two looks when there is no token to be had
)

// keeper keeps one token fresh, whether somebody asks or not, and writes it to
// the files that want it.
type keeper struct {
	name     string
	settings *Token
	source   *tokensource.Source
	log      *slog.Logger
	now      func() time.Time

	mu     sync.Mutex // guards what follows
	files  []*tokenFile
	expiry time.Time // of the token at hand; zero when there is none
	reason string    // why there is none
}

// watch looks at the token again and again until ctx ends. Looking is what makes
// the source renew; while there is time left it answers from memory.
func (k *keeper) watch(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		token, err := k.source.Token(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.lack(err)
			failures++
			rest(ctx, backoff(failures))
		default:
			k.take(token)
			failures = 0
			rest(ctx, min(max(token.Expiry.Sub(k.now())/10, quickest), slowest))
		}
	}
}

// backoff grows from about a second to half a minute, with a random part so that
// agents spread.
func backoff(failures int) time.Duration {
	pause := min(slowest<<min(failures-1, 10), longestPause)
	return pause/2 + rand.N(pause/2)
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lack notes that there is no token to be had. The source logs why.
func (k *keeper) lack(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expiry, k.reason = time.Time{}, reasonOf(err)
}

// take notes a token and brings the files up to date.
func (k *keeper) take(token *tokensource.Token) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.expiry.IsZero() {
		k.log.Info("the token is there", "expiry", token.Expiry.UTC())
	}
	k.expiry, k.reason = token.Expiry, ""
	for _, f := range k.files {
		if changed := f.update(token); changed && f.err != nil {
			k.log.Error("the token file is not up to date", "file", f.name, "cause", f.err.Error())
		} else if changed {
			k.log.Info("wrote the token file", "file", f.name, "expiry", token.Expiry.UTC())
		}
	}
}

// state tells until when there is a token, or why there is none.
func (k *keeper) state() (expiry time.Time, reason string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.expiry, k.reason
}

// reasonOf names a failure for those who may use the token but need not know
// more: the code of the platform's refusal.
func reasonOf(err error) string {
	var refused *oauth.Error
	if errors.As(err, &refused) {
		return string(refused.Code)
	}
	return "no_answer"
}
