package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"moneyer/bearer"
	"moneyer/cluster/load"
	"moneyer/cluster/local"
)

// keysKept is how long the verifiers of the test cache an issuer's keys. Real ones cache them for
// the five minutes that Cache-Control allows.
const keysKept = 300 * time.Millisecond

// cachedKeys fetches the keys from one replica when the cached ones are too old, but never for an
// unknown kid.
type cachedKeys struct {
	url string

	mu      sync.Mutex
	keys    bearer.StaticKeys
	fetched time.Time
}

func (k *cachedKeys) key(ctx context.Context, kid string) (bearer.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.fetched) > keysKept {
		began := time.Now()
		keys, err := fetchKeys(ctx, k.url)
		if err != nil {
			return bearer.Key{}, err
		}
		k.keys, k.fetched = keys, began
	}
	return k.keys.Key(ctx, kid)
}

func fetchKeys(ctx context.Context, url string) (bearer.StaticKeys, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return bearer.ParseKeys(text)
}

// TestRotation rotates the signing key under load: every token of every replica verifies at every
// verifier, whichever replica its keys came from and however old they are, and all replicas switch
// within a second.
func TestRotation(t *testing.T) {
	s := sharedCluster(t)
	c := caller(t, s)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var workers sync.WaitGroup
	var mu sync.Mutex
	verified, failures := 0, []error{}
	signedBy := map[string]string{} // the replica's URL -> kid
	for n, url := range urls(s) {
		workers.Go(func() {
			var verifiers []*bearer.Verifier
			for _, from := range urls(s) {
				keys := &cachedKeys{url: from}
				verifiers = append(verifiers, &bearer.Verifier{Issuer: s.IssuerURL(), Audience: []string{local.Audience}, Keys: bearer.KeyFunc(keys.key)})
			}
			for turn := n; ctx.Err() == nil; turn++ {
				kid, err := mintAndVerify(c, url, verifiers)
				mu.Lock()
				verified += len(verifiers)
				signedBy[url] = kid
				if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	rounds, slowestChange := often(3, 100), time.Duration(0)
	var signed []string // the keys of earlier rounds
	for range rounds {
		kid := announce(t, s)
		signed = append(signed, kid)
		pause(t, keysKept+time.Second+100*time.Millisecond) // each replica knows it after a second, and each verifier after its cache lifetime
		activate(t, s, kid)
		slowestChange = max(slowestChange, eventually(t, 10*time.Second, func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			for url, by := range signedBy {
				if by != kid {
					return errors.Join(fmt.Errorf("%s signs with %q", url, by), errors.Join(failures[:min(3, len(failures))]...))
				}
			}
			return nil
		}))
		if len(signed) > 2 { // a set of over a hundred keys is refused
			takeOut(t, s, signed[0])
			signed = signed[1:]
		}
	}
	stop()
	workers.Wait()
	if len(failures) > 0 {
		t.Errorf("%d of %d verifications failed: %v", len(failures), verified, errors.Join(failures[:min(5, len(failures))]...))
	}
	if slowestChange > busy(time.Second) {
		t.Errorf("a replica signed with the old key for %v", slowestChange)
	}
	t.Logf("%d rotations, %d verifications, none failed; the last replica switched after %v at the longest", rounds, verified, slowestChange)
}

func mintAndVerify(c *load.Client, url string, verifiers []*bearer.Verifier) (kid string, err error) {
	a, err := c.Attempt()
	if err != nil {
		return "", err
	}
	answer := c.Send(context.Background(), url, a)
	if answer.Kind != load.Granted {
		return "", fmt.Errorf("%+v", answer)
	}
	for _, v := range verifiers {
		if _, err := v.Verify(context.Background(), answer.Token); err != nil {
			return "", fmt.Errorf("a token of %s: %w", url, err)
		}
	}
	return kidOf(answer.Token)
}

// announce announces a new signing key, on whichever replica the proxy chooses.
func announce(t *testing.T, s *local.Cluster) string {
	t.Helper()
	var key struct{ Kid string }
	if err := administrator(t, s, nil).Call(t.Context(), http.MethodPost, issuerPath+"/signing-keys", map[string]any{}, &key); err != nil {
		t.Fatal(err)
	}
	return key.Kid
}

// takeOut removes a key from the published set.
func takeOut(t *testing.T, s *local.Cluster, kid string) {
	t.Helper()
	if err := administrator(t, s, nil).Call(t.Context(), http.MethodPost, issuerPath+"/signing-keys/"+kid+":revoke", nil, nil); err != nil {
		t.Fatal(err)
	}
}

func activate(t *testing.T, s *local.Cluster, kid string) {
	t.Helper()
	if err := administrator(t, s, nil).Call(t.Context(), http.MethodPost, issuerPath+"/signing-keys/"+kid+":activate", map[string]any{"at_once": true}, nil); err != nil {
		t.Fatal(err)
	}
}
