package bearer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moneyer/bearer"
	"moneyer/internal/jose"
	"moneyer/oauth"
)

func TestVerify(t *testing.T) {
	for _, alg := range []jose.Alg{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA} {
		m := newMint(t, alg, "k1", "at+jwt")
		got, err := m.verifier(t).Verify(t.Context(), m.token(t, map[string]any{"nbf": noon.Unix(), "roles": []string{"a", "b"}, "trId": "12345678901"}))
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if text, ok := got.Text("trId"); text != "12345678901" || !ok {
			t.Errorf("trId %q, %t", text, ok)
		}
		if texts, ok := got.Texts("roles"); !ok || strings.Join(texts, " ") != "a b" {
			t.Errorf("roles %q, %t", texts, ok)
		}
		for _, name := range []string{"roles", "none", "TRID"} {
			if text, ok := got.Text(name); ok {
				t.Errorf("text %s is %q", name, text)
			}
		}
		for _, name := range []string{"trId", "none"} {
			if texts, ok := got.Texts(name); ok {
				t.Errorf("texts %s is %q", name, texts)
			}
		}
		got.Payload = nil
		want := &bearer.Claims{
			Issuer: issuer, Subject: "client-1", Audience: []string{audience}, ClientID: "client-1", Scope: oauth.Scope{"read", "write"},
			ID: "id-1", Expiry: noon.Add(9 * time.Minute), IssuedAt: noon.Add(-time.Minute), NotBefore: noon, KeyID: "k1",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", alg, diff)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	stranger := newMint(t, jose.ES256, "k1", "at+jwt")
	good := m.token(t, nil)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, test := range []struct{ name, token, want string }{
		{"empty", "", "strict compact JWS"},
		{"opaque", "abc", "strict compact JWS"},
		{"a stranger's signature", stranger.token(t, nil), "signature"},
		{"another kid", m.as(t, jose.ES256, "k2", "at+jwt").token(t, nil), "no such key"},
		{"another payload", swap(good, m.token(t, map[string]any{"sub": "x"})), "signature"},
		{"padding", good + "=", "strict compact JWS"},
		{"a line break", good + "\n", "strict compact JWS"},
		{"too long", m.sign(t, `{}`) + strings.Repeat("A", 9000), "longer than"},
		{"at exp", m.token(t, map[string]any{"exp": at(0)}), "exp was"},
		{"long after exp", m.token(t, map[string]any{"exp": 1}), "exp was"},
		{"no exp", m.token(t, map[string]any{"exp": nil}), "no exp"},
		{"exp as a string", m.token(t, map[string]any{"exp": "9999999999"}), "exp"},
		{"exp with a fraction, over", m.token(t, map[string]any{"exp": float64(at(-2*time.Hour)) + 0.5}), "exp was"},
		{"exp as text", m.token(t, map[string]any{"exp": "9999999999"}), "exp"},
		{"exp beyond all", m.sign(t, `{"exp":99999999999999999999}`), "exp"},
		{"before nbf", m.token(t, map[string]any{"nbf": at(time.Second)}), "nbf is"},
		{"far before nbf", m.token(t, map[string]any{"nbf": 1<<53 - 1}), "nbf is"},
		{"another issuer", m.token(t, map[string]any{"iss": issuer + "/"}), "iss is"},
		{"no issuer", m.token(t, map[string]any{"iss": nil}), "no iss"},
		{"another audience", m.token(t, map[string]any{"aud": []string{"a", "b"}}), "aud is"},
		{"no audience", m.token(t, map[string]any{"aud": nil}), "aud is"},
		{"audience as an object", m.token(t, map[string]any{"aud": map[string]any{}}), "aud"},
		{"no typ", m.as(t, jose.ES256, "k1", "").token(t, nil), "typ is"},
		{"typ of an assertion", m.as(t, jose.ES256, "k1", "JWT").token(t, nil), "typ is"},
		{"scope as a list", m.token(t, map[string]any{"scope": []string{"read"}}), "scope"},
		{"scope of other characters", m.token(t, map[string]any{"scope": "a\"b"}), "scope"},
		{"a claim twice", m.sign(t, `{"iss":"a","iss":"b"}`), "twice"},
		{"no JSON", m.sign(t, `x`), "want an object"},
		{"no required claim", m.token(t, map[string]any{"jti": nil}), `no claim "jti"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := m.verifier(t)
			v.RequiredClaims = []string{"jti"}
			got, err := v.Verify(t.Context(), test.token)
			var refused *oauth.Error
			if !errors.As(err, &refused) || refused.Code != oauth.InvalidToken || got != nil {
				t.Fatalf("got %v, %v", got, err)
			}
			if cause := refused.Unwrap(); cause == nil || !strings.Contains(cause.Error(), test.want) {
				t.Errorf("cause is %v", cause)
			}
			if strings.Contains(refused.Description, "sub") || refused.Description == "" {
				t.Errorf("the caller reads %q", refused.Description)
			}
		})
	}
}

// swap puts the payload of b into a.
func swap(a, b string) string {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	return x[0] + "." + y[1] + "." + x[2]
}

func TestVerifierSettings(t *testing.T) {
	m := newMint(t, jose.RS256, "k1", "JWT")
	at := m.as(t, jose.RS256, "k1", "Application/AT+JWT")
	for _, test := range []struct {
		name, token string
		set         func(*bearer.Verifier)
		want        oauth.Code // empty for a good token
	}{
		{"typ in the long form", at.token(t, nil), func(*bearer.Verifier) {}, ""},
		{"typ JWT, when told", m.token(t, nil), func(v *bearer.Verifier) { v.Typ = []string{"JWT"} }, ""},
		{"typ at+jwt, when told another", at.token(t, nil), func(v *bearer.Verifier) { v.Typ = []string{"JWT"} }, oauth.InvalidToken},
		{"no typ, when told", m.as(t, jose.RS256, "k1", "").token(t, nil), func(v *bearer.Verifier) { v.Typ = []string{""} }, ""},
		{"alg that is listed", at.token(t, nil), func(v *bearer.Verifier) { v.Algs = []string{"ES256", "RS256"} }, ""},
		{"alg that is not", at.token(t, nil), func(v *bearer.Verifier) { v.Algs = []string{"ES256", "PS256"} }, oauth.InvalidToken},
		{"within the leeway of exp", at.token(t, map[string]any{"exp": noon.Unix() - 4}), func(v *bearer.Verifier) { v.Leeway = 5 * time.Second }, ""},
		{"beyond the leeway of exp", at.token(t, map[string]any{"exp": noon.Unix() - 5}), func(v *bearer.Verifier) { v.Leeway = 5 * time.Second }, oauth.InvalidToken},
		{"within the leeway of nbf", at.token(t, map[string]any{"nbf": noon.Unix() + 5}), func(v *bearer.Verifier) { v.Leeway = 5 * time.Second }, ""},
		{"beyond the leeway of nbf", at.token(t, map[string]any{"nbf": noon.Unix() + 6}), func(v *bearer.Verifier) { v.Leeway = 5 * time.Second }, oauth.InvalidToken},
		{"a leeway below zero", at.token(t, map[string]any{"exp": noon.Unix() + 1}), func(v *bearer.Verifier) { v.Leeway = -time.Hour }, ""},
		{"one of two audiences", at.token(t, map[string]any{"aud": []string{"prd", "x"}}), func(v *bearer.Verifier) { v.Audience = []string{"stg", "prd"} }, ""},
		{"any audience", at.token(t, map[string]any{"aud": "client-1"}), func(v *bearer.Verifier) { v.Audience, v.AnyAudience = nil, true }, ""},
		{"no audience at all", at.token(t, map[string]any{"aud": nil}), func(v *bearer.Verifier) { v.Audience, v.AnyAudience = nil, true }, ""},
		{"an audience goes before any", at.token(t, map[string]any{"aud": "client-1"}), func(v *bearer.Verifier) { v.AnyAudience = true }, oauth.InvalidToken},
		{"required scope", at.token(t, nil), func(v *bearer.Verifier) { v.RequiredScope = oauth.Scope{"write", "read"} }, ""},
		{"required scope that is not there", at.token(t, nil), func(v *bearer.Verifier) { v.RequiredScope = oauth.Scope{"Read"} }, oauth.InsufficientScope},
		{"required claims", at.token(t, map[string]any{"x": 1}), func(v *bearer.Verifier) { v.RequiredClaims = []string{"sub", "x"} }, ""},
		{"revoked", at.token(t, nil), func(v *bearer.Verifier) {
			v.Revocations = bearer.RevokedFunc(func(c *bearer.Claims) bool { return c.ID == "id-1" })
		}, oauth.InvalidToken},
		{"not revoked", at.token(t, nil), func(v *bearer.Verifier) {
			v.Revocations = bearer.RevokedFunc(func(c *bearer.Claims) bool { return c.ID != "id-1" })
		}, ""},
		{"no issuer configured", at.token(t, map[string]any{"iss": ""}), func(v *bearer.Verifier) { v.Issuer = "" }, oauth.ServerError},
		{"no audience configured", at.token(t, nil), func(v *bearer.Verifier) { v.Audience = nil }, oauth.ServerError},
		{"a key source that is down", at.token(t, nil), func(v *bearer.Verifier) {
			v.Keys = bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return bearer.Key{}, errors.New("down") })
		}, oauth.TemporarilyUnavailable},
		{"a key source without a key", at.token(t, nil), func(v *bearer.Verifier) {
			v.Keys = bearer.KeyFunc(func(context.Context, string) (bearer.Key, error) { return bearer.Key{}, nil })
		}, oauth.ServerError},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := m.verifier(t)
			test.set(v)
			got, err := v.Verify(t.Context(), test.token)
			if test.want == "" && (err != nil || got == nil) {
				t.Errorf("refused: %v", err)
			}
			if test.want != "" && (err == nil || oauth.AsError(err).Code != test.want || got != nil) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// The order is signature, time, names: a caller without the key learns nothing
// about the rest, and an expired token is called expired.
func TestOrderOfChecks(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "wrong")
	stranger := newMint(t, jose.ES256, "k1", "wrong")
	wrong := map[string]any{"iss": "wrong", "aud": "wrong", "exp": 1}
	for _, test := range []struct{ name, token, want string }{
		{"signature first", stranger.token(t, wrong), "signature"},
		{"then time", m.token(t, wrong), "exp was"},
		{"then names", m.token(t, map[string]any{"iss": "wrong", "aud": "wrong"}), "iss is"},
	} {
		v := m.verifier(t)
		v.RequiredScope = oauth.Scope{"none"}
		_, err := v.Verify(t.Context(), test.token)
		if cause := errors.Unwrap(err); cause == nil || !strings.Contains(cause.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestSystemClock(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	v := m.verifier(t)
	v.Now = nil
	if _, err := v.Verify(t.Context(), m.token(t, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), m.token(t, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})); err == nil {
		t.Error("expired")
	}
}

func TestCache(t *testing.T) {
	m := newMint(t, jose.ES256, "k1", "at+jwt")
	now, lookups, revoked := noon, 0, false
	v := m.verifier(t)
	keys := v.Keys
	v.Now = func() time.Time { return now }
	v.Keys = bearer.KeyFunc(func(ctx context.Context, kid string) (bearer.Key, error) {
		lookups++
		return keys.Key(ctx, kid)
	})
	v.Revocations = bearer.RevokedFunc(func(*bearer.Claims) bool { return revoked })
	v.CacheSize = 4
	check := func(token string, want oauth.Code, wantLookups int) {
		t.Helper()
		_, err := v.Verify(t.Context(), token)
		if err == nil && want != "" || err != nil && oauth.AsError(err).Code != want {
			t.Errorf("got %v", err)
		}
		if lookups != wantLookups {
			t.Errorf("%d lookups, want %d", lookups, wantLookups)
		}
	}
	token := m.token(t, nil)
	check(token, "", 1)
	check(token, "", 1)
	other := []byte(token)
	if c := &other[len(other)-9]; *c == 'A' { // of the last character of a signature not all bits count
		*c = 'B'
	} else {
		*c = 'A'
	}
	check(string(other), oauth.InvalidToken, 2) // the digest is of all of it
	revoked = true
	check(token, oauth.InvalidToken, 2)
	revoked = false
	for i := range 20 {
		check(m.token(t, map[string]any{"jti": i}), oauth.InvalidToken, 3+i)
	}
	check(token, "", 22) // what was refused took no room
	forgotten := m.token(t, map[string]any{"jti": "forgotten"})
	check(forgotten, "", 23)
	check(forgotten, "", 23)
	for i := range 20 {
		check(m.token(t, map[string]any{"jti": strings.Repeat("x", i+1)}), "", 24+i)
		check(token, "", 24+i) // what is asked for stays
	}
	check(forgotten, "", 44) // what is not goes
	now = noon.Add(9 * time.Minute)
	check(token, oauth.InvalidToken, 44)
}

// TestSigned: a Key judges the signature of what is no access token, and nothing
// else.
func TestSigned(t *testing.T) {
	m := newMint(t, jose.ES256, "k", "token-introspection+jwt")
	key, err := bearer.NewKey(m.key.Public(), "ES256")
	if err != nil {
		t.Fatal(err)
	}
	const payload = `{"token_introspection":{"active":false}}`
	signed := m.sign(t, payload)
	if got, err := key.Signed(signed); err != nil || string(got) != payload {
		t.Errorf("%q, %v", got, err)
	}
	other := newMint(t, jose.ES256, "k", "").sign(t, payload)
	for name, bad := range map[string]func() ([]byte, error){
		"another key":   func() ([]byte, error) { return key.Signed(other) },
		"no JWS":        func() ([]byte, error) { return key.Signed("x") },
		"nothing":       func() ([]byte, error) { return key.Signed("") },
		"the zero Key":  func() ([]byte, error) { return bearer.Key{}.Signed(signed) },
		"another alg":   func() ([]byte, error) { return key.Signed(newMint(t, jose.EdDSA, "k", "").sign(t, payload)) },
		"one char less": func() ([]byte, error) { return key.Signed(signed[:len(signed)-1]) },
	} {
		if got, err := bad(); err == nil || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
