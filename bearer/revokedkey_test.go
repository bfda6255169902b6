package bearer_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

// rotated is an issuer with a signing key that is revoked: its list names it, and is
// signed by the next key.
type rotated struct {
	*publisher
	old, next   *mint
	list        string
	keys        string // the JWK set; empty while it cannot be fetched
	uncacheable []bool // of each fetch of the JWK set
}

func newRotated(t testing.TB) *rotated {
	t.Helper()
	r := &rotated{publisher: &publisher{}, old: newMint(t, jose.ES256, "old", "at+jwt"), next: newMint(t, jose.ES256, "next", "at+jwt")}
	r.list, r.keys = r.old.list(t, nil), jwks(r.old)
	r.answer = func(req *http.Request) (*http.Response, error) {
		switch {
		case strings.HasSuffix(req.URL.Path, "/revocations"):
			return reply(200, r.list), nil
		case r.keys == "":
			return nil, errors.New("connection refused")
		}
		r.uncacheable = append(r.uncacheable, req.Header.Get("Cache-Control") == "no-cache")
		return reply(200, r.keys), nil
	}
	return r
}

// verifier polls the list and fetches the keys, once for both.
func (r *rotated) verifier() *bearer.Verifier {
	now, client := fromNoon(), &http.Client{Transport: r}
	keys := &bearer.RemoteKeys{URL: issuer + "/jwks", HTTPClient: client, Now: now}
	return &bearer.Verifier{Issuer: issuer, Audience: []string{audience}, Keys: keys, CacheSize: 10, Now: now,
		Revocations: &bearer.RevocationList{Issuer: issuer, Keys: keys, HTTPClient: client, Now: now}}
}

// TestRevokedKeyOnTheList: a token of a revoked key is refused with the next poll, also
// when the keys were fetched a moment before, and when they cannot be fetched. Without a
// list that can be verified no token is accepted after MaxStale.
func TestRevokedKeyOnTheList(t *testing.T) {
	for name, row := range map[string]struct {
		known bool // the next key was published before
		keys  func(r *rotated) string
		after time.Duration
		want  oauth.Code
	}{
		"the keys can be fetched":                       {false, func(r *rotated) string { return jwks(r.next) }, 10 * time.Second, oauth.InvalidToken},
		"the keys cannot be fetched, the next is known": {true, func(*rotated) string { return "" }, 10 * time.Second, oauth.InvalidToken},
		"the keys cannot be fetched":                    {false, func(*rotated) string { return "" }, 5*time.Minute + time.Second, oauth.TemporarilyUnavailable},
		"a cache has the old keys":                      {false, func(r *rotated) string { return jwks(r.old) }, 5*time.Minute + time.Second, oauth.TemporarilyUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotated(t)
				if row.known {
					r.keys = jwks(r.old, r.next)
				}
				c := calls{t, r.verifier(), r.old.token(t, nil)}
				c.want("", 0)
				r.list, r.keys = r.next.list(t, map[string]any{"kid": []string{"old"}}), row.keys(r)
				for start := time.Now(); time.Since(start) < row.after; { // a busy API
					time.Sleep(time.Second)
					_, _ = c.v.Verify(t.Context(), c.token)
					synctest.Wait()
				}
				c.want(row.want, 0)
				for n, past := range r.uncacheable {
					if past != (n > 0) {
						t.Errorf("fetch %d of the keys is past caches: %v", n+1, past)
					}
				}
			})
		})
	}
}

// TestKeysSharedWithTheList: a Verifier and its list that both have no Keys fetch them once,
// so tokens of the next key are accepted as soon as it has signed a list, and not a minute
// after the last fetch of the keys.
func TestKeysSharedWithTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotated(t)
		answer := r.answer
		r.answer = func(req *http.Request) (*http.Response, error) {
			if strings.HasPrefix(req.URL.Path, "/.well-known/") {
				return reply(200, `{"issuer":"`+issuer+`","jwks_uri":"`+issuer+`/jwks"}`), nil
			}
			return answer(req)
		}
		now := fromNoon()
		v := &bearer.Verifier{Issuer: issuer, Audience: []string{audience}, Now: now,
			Revocations: &bearer.RevocationList{Issuer: issuer, HTTPClient: &http.Client{Transport: r}, Now: now}}
		old, next := calls{t, v, r.old.token(t, nil)}, calls{t, v, r.next.token(t, nil)}
		old.want("", 0)
		r.list, r.keys = r.next.list(t, map[string]any{"kid": []string{"old"}}), jwks(r.next)
		for range 10 {
			time.Sleep(time.Second)
			_, _ = v.Verify(t.Context(), old.token)
			synctest.Wait()
		}
		old.want(oauth.InvalidToken, 0)
		next.want("", 0)
		if len(r.uncacheable) != 2 {
			t.Errorf("%d fetches of the keys, want 2", len(r.uncacheable))
		}
	})
}

// TestListSignedByARevokedKey: whoever has a stolen signing key cannot replace the list
// that revokes it.
func TestListSignedByARevokedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotated(t)
		r.keys, r.list = jwks(r.old, r.next), r.next.list(t, map[string]any{"kid": []string{"old"}})
		c := calls{t, r.verifier(), r.old.token(t, nil)}
		c.want(oauth.InvalidToken, 0)
		r.list = r.old.list(t, map[string]any{"iat": noon.Add(time.Minute).Unix()})
		time.Sleep(11 * time.Second)
		c.want(oauth.InvalidToken, 0)
		good := calls{t, c.v, r.next.token(t, nil)}
		good.want("", 0)
	})
}
