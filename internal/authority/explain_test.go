package authority_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/registry"
)

var update = flag.Bool("update", false, "write the golden files anew")

// mistakes are those that engineers make, each under the name of its golden file.
var mistakes = []struct {
	name string
	use  use
	edit func(*spec)
}{
	{"good", uses[0], all()},
	{"der", uses[0], func(s *spec) { s.resign = func([]byte) []byte { return der(bytes.Repeat([]byte{0x5a}, 64)) } }},
	{"milliseconds", uses[0], func(s *spec) { s.claims["exp"] = 1000 * s.at(5*time.Minute) }},
	{"p384", uses[0], func(s *spec) { s.key = p384Key }},
	{"other-private-key", uses[0], func(s *spec) { s.key = strangerKey }},
	{"other-registered-key", uses[0], func(s *spec) {
		s.key = strangerKey
		s.client().Keys[1] = registry.Key{Kid: "key-2026-12", Public: publicOf(strangerKey)}
	}},
	{"missing-kid", uses[0], func(s *spec) { delete(s.header, "kid") }},
	{"unknown-kid", uses[0], header("kid", "key-9")},
	{"bearer", uses[0], func(s *spec) { s.rewrite = func(string) string { return "Bearer e30.e30.e30" } }},
	{"padding", uses[0], func(s *spec) { s.rewrite = func(string) string { return "e30.e30=.e30" } }},
	{"jwe", uses[0], func(s *spec) { s.rewrite = func(string) string { return "e30.e30.e30.e30.e30" } }},
	{"json", uses[0], func(s *spec) { s.rewrite = func(string) string { return `{"payload":"e30","signatures":[]}` } }},
	{"alg-hs256", uses[0], header("alg", "HS256")},
	{"alg-none", uses[0], all(header("alg", "none"), func(s *spec) { s.resign = func([]byte) []byte { return nil } })},
	{"exp-text", uses[0], claim("exp", "2026-11-02T12:05:00Z")},
	{"unknown-iss", uses[0], claim("iss", "ACMEGW0002")},
	{"key-over", uses[0], key(func(k *registry.Key) { k.NotAfter = noon.Add(-time.Hour) })},
	{"many-at-once", uses[0], all(at("exp", -time.Hour), at("nbf", time.Hour), claim("aud", []string{"a", "b"}), claim("sub", "me"), header("typ", "at+jwt"))},
	{"client-auth-endpoint", uses[3], claim("aud", endpoint)},
	{"client-auth-two", uses[3], claim("aud", []string{"https://auth.example/d1", endpoint})},
	{"client-auth-slash", uses[3], claim("aud", "https://auth.example/d1/")},
	{"client-auth-grant-typ", uses[3], header("typ", "authorization-grant+jwt")},
}

func TestExplain(t *testing.T) {
	for _, m := range mistakes {
		h := newFixture(t, m.use.profile)
		s := h.spec()
		h.client().Keys[1].Kid = "spare"
		m.edit(s)
		findings, err := h.Explain(t.Context(), h.issuer, s.String(), m.use.isGrant, h.now)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, f := range findings {
			mark := "ok  "
			if !f.Holds {
				mark = "FAIL"
			}
			fmt.Fprintf(&text, "%s %s\n       expected %s\n       found    %s\n", mark, f.Rule, f.Expected, f.Found)
			if f.Hint != "" {
				fmt.Fprintf(&text, "       hint     %s\n", f.Hint)
			}
		}
		golden(t, m.name+".txt", text.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "explain", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s\n(go test -update writes it anew)", name, got, want)
	}
}

// What Explain says agrees with what Exchange does, and it uses nothing up.
func TestExplainAgreesWithExchange(t *testing.T) {
	for _, u := range uses {
		for _, c := range ruleCases() {
			h := newFixture(t, u.profile)
			s := h.spec()
			c.edit(s)
			if s.clientID != "" || c.want(u) == "assertion" {
				continue // what Explain is not given
			}
			findings, err := h.Explain(t.Context(), h.issuer, s.String(), u.isGrant, h.now)
			if err != nil {
				t.Fatal(err)
			}
			first := ok
			for _, f := range findings {
				if !f.Holds && first == ok {
					first = f.Rule
				}
				if f.Expected == "" || f.Found == "" || f.Holds && f.Hint != "" {
					t.Errorf("%s: %s: %+v", u.name, c.name, f)
				}
			}
			if first != c.want(u) {
				t.Errorf("%s: %s: Explain finds %q broken, Exchange %q", u.name, c.name, first, c.want(u))
			}
			want := len(evidence.RuleNames()) - 1 // no built-in profile forbids a claim
			if first == ok && len(findings) != want {
				t.Errorf("%s: %s: %d rules are told, want %d", u.name, c.name, len(findings), want)
			}
			if len(h.ledger.used)+len(h.ledger.entries) != 0 {
				t.Errorf("%s: %s: Explain changed the ledger", u.name, c.name)
			}
		}
	}
}

func TestExplainWithoutARegistry(t *testing.T) {
	h := newFixture(t, "thales-d1")
	h.registry.err = errors.New("down")
	if findings, err := h.Explain(t.Context(), h.issuer, h.assertion(), true, h.now); !errors.Is(err, h.registry.err) || findings != nil {
		t.Errorf("%v, %v", findings, err)
	}
}

func FuzzExplain(f *testing.F) {
	h := newFixture(f, "thales-d1")
	for _, m := range mistakes {
		s := h.spec()
		m.edit(s)
		f.Add(s.String(), m.use.isGrant)
	}
	f.Add(rand.Text(), false)
	f.Fuzz(func(t *testing.T, compact string, isGrant bool) {
		findings, err := h.Explain(t.Context(), h.issuer, compact, isGrant, h.now)
		if err != nil || len(findings) == 0 {
			t.Fatalf("%d findings, %v", len(findings), err)
		}
		if len(findings) < len(evidence.RuleNames()) {
			for _, f := range findings {
				if !f.Holds {
					return
				}
			}
			t.Error("rules are left out though none is broken")
		}
	})
}
