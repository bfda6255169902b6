package jwksuri

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/registry"
)

// registrations are the environments in which keys are registered, by thumbprint.
type registrations struct {
	environments map[string]string
	err          error
	asked        int
}

func (r *registrations) KeyElsewhere(_ context.Context, thumbprint, environment string) error {
	r.asked++
	if e := r.environments[thumbprint]; r.err == nil && e != "" && e != environment {
		return &registry.KeyTakenError{Issuer: "other", Client: "holder", Kid: "k", Environment: e}
	}
	return r.err
}

func newKey(t testing.TB) *jose.PublicKey {
	t.Helper()
	private, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewPublicKey(private.Public(), jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// claims is a source of which only the claims are used.
type claims struct {
	*testing.T
	*Source
	registered *registrations
	clock      *clock
}

func newClaims(t *testing.T) *claims {
	c := &claims{T: t, registered: &registrations{environments: map[string]string{}}, clock: &clock{}}
	c.Source = New(nil, nil, c.registered, c.clock.now, nil)
	return c
}

func (c *claims) claim(key *jose.PublicKey, environment string) error {
	return c.Claim(c.T.Context(), key, &registry.Client{Issuer: "issuer of " + environment, ID: "client"}, environment, "k")
}

// want checks who holds a key; empty for nobody else.
func (c *claims) want(holder string, err error) {
	c.Helper()
	var taken *registry.KeyTakenError
	switch {
	case holder == "" && err != nil:
		c.Errorf("refused: %v", err)
	case holder != "" && (!errors.As(err, &taken) || taken.Environment != holder):
		c.Errorf("got %v, want the holder %s", err, holder)
	}
}

// TestKeyIsOfOneEnvironment: the first environment that verified something by a fetched key has it,
// until a day after it was last used, unless the key is registered for another one.
func TestKeyIsOfOneEnvironment(t *testing.T) {
	c, key := newClaims(t), newKey(t)
	c.want("", c.claim(key, "stg"))
	c.want("stg", c.claim(key, "prd"))
	c.want("stg", c.Elsewhere(t.Context(), key, "prd"))
	c.want("", c.Elsewhere(t.Context(), key, "stg"))
	c.clock.forward(claimFor - time.Second)
	c.want("stg", c.claim(key, "prd"))
	c.want("", c.claim(key, "stg"))
	c.clock.forward(claimFor - time.Second)
	c.want("stg", c.claim(key, "prd"))
	c.clock.forward(time.Second)
	c.want("", c.Elsewhere(t.Context(), key, "prd"))
	c.want("", c.claim(key, "prd"))
	c.want("prd", c.claim(key, "stg"))

	c.registered.environments[key.Thumbprint()] = "stg"
	c.want("", c.claim(key, "prd")) // it was looked up a moment ago
	c.clock.forward(recheck)
	c.want("stg", c.claim(key, "prd"))
	c.want("stg", c.Elsewhere(t.Context(), key, "prd"))
	other := newKey(t)
	c.registered.environments[other.Thumbprint()] = "prd"
	c.want("prd", c.claim(other, "stg"))
	c.want("", c.claim(other, "prd"))
}

// TestRegistrationsAreLookedUpOnce: a key in use costs one look-up in five minutes, and
// while the registry is unavailable a key that must be looked up is not used.
func TestRegistrationsAreLookedUpOnce(t *testing.T) {
	c, key := newClaims(t), newKey(t)
	for range 10 {
		c.want("", c.claim(key, "stg"))
		c.clock.forward(time.Second)
	}
	if c.registered.asked != 1 {
		t.Errorf("%d look-ups, want 1", c.registered.asked)
	}
	c.registered.err = errors.New("down")
	c.want("", c.claim(key, "stg"))
	c.clock.forward(recheck)
	if err := c.claim(key, "stg"); !errors.Is(err, c.registered.err) {
		t.Errorf("without a registry: %v", err)
	}
}

// TestOneOfManyClaims: of two environments that claim a key at once one gets it.
func TestOneOfManyClaims(t *testing.T) {
	c := newClaims(t)
	c.Source.registered = nobody{}
	for range 50 {
		key, won, all := newKey(t), atomic.Int64{}, sync.WaitGroup{}
		for i := range 4 {
			all.Go(func() {
				if c.claim(key, fmt.Sprint(i)) == nil {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d environments have one key", won.Load())
		}
	}
}

type nobody struct{}

func (nobody) KeyElsewhere(context.Context, string, string) error { return nil }

// TestClaimsAreBounded: however many keys are used, the claims stay within their bound.
func TestClaimsAreBounded(t *testing.T) {
	c := newClaims(t)
	for i := range maxClaims {
		c.claims[fmt.Sprint(i)] = claim{used: c.now()}
	}
	c.want("", c.claim(newKey(t), "stg"))
	if len(c.claims) != maxClaims {
		t.Errorf("%d claims, want %d", len(c.claims), maxClaims)
	}
	c.clock.forward(claimFor)
	c.want("", c.claim(newKey(t), "stg"))
	if len(c.claims) != 1 {
		t.Errorf("%d claims, want those that are not over", len(c.claims))
	}
}
