package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/evidence"
	"moneyer/internal/jose"
)

// testNow is the time in tests.
var testNow = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// runCommand executes one command line and returns its exit code and output.
func runCommand(t *testing.T, in string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &out, err: &err, now: func() time.Time { return testNow }}
	code = a.run(t.Context(), args)
	return code, out.String(), err.String()
}

// partner is a client with a registered key.
type partner struct {
	t      *testing.T
	signer *jose.Signer
	public string // file
}

func newPartner(t *testing.T) *partner {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return newPartnerWith(t, key)
}

func newPartnerWith(t *testing.T, key crypto.Signer) *partner {
	t.Helper()
	signer, err := jose.NewSigner(key, jose.ES256, "k", "")
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "pub.pem")
	if err := os.WriteFile(public, signer.Public().PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &partner{t, signer, public}
}

// sign signs claims, with exp in five minutes for EXP.
func (p *partner) sign(claims string) string {
	p.t.Helper()
	token, err := p.signer.Sign(nil, filled(claims))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(token)
}

// filled replaces EXP with a valid time.
func filled(claims string) []byte {
	return []byte(strings.ReplaceAll(claims, "EXP", fmt.Sprint(testNow.Unix()+300)))
}

// explain explains an assertion to thales-d1.
func (p *partner) explain(assertion string) (code int, stdout string) {
	p.t.Helper()
	code, stdout, stderr := runCommand(p.t, assertion, "explain", "-", "--profile", "thales-d1", "--issuer", "https://d1.example",
		"--key", p.public, "--kid", "k", "--client", "merchant01", "--audience-name", "stg")
	if stderr != "" {
		p.t.Error(stderr)
	}
	return code, stdout
}

const goodClaims = `{"iss":"merchant01","sub":"merchant01","aud":"stg","exp":EXP}`

// p384Token is signed by a key on the wrong curve under the name of the right one.
func p384Token(t *testing.T, claims string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + b64(filled(claims))
	digest := sha512.Sum384([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(append(r.FillBytes(make([]byte, 48)), s.FillBytes(make([]byte, 48))...))
}

func TestExplainNamesTheMistake(t *testing.T) {
	p := newPartner(t)
	good := p.sign(goodClaims)
	parts := strings.Split(good, ".")
	noKid, err := jose.NewSigner(mustKey(t), jose.ES256, "", "")
	if err != nil {
		t.Fatal(err)
	}
	withoutKid, err := noKid.Sign(nil, filled(goodClaims))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ assertion, want string }{
		"Bearer":              {"Bearer " + good, "✗ form            expected a compact JWS"},
		"Bearer, named":       {"Authorization: bearer " + good, `"Bearer " before it`},
		"quotes":              {`"` + good + `"`, "quotes around it"},
		"line breaks":         {parts[0] + "." + parts[1] + ".\n" + parts[2], "send it as one line"},
		"padding":             {good + "==", "leave it out: a JWS has none"},
		"two parts":           {parts[0] + "." + parts[1], "fewer than two dots"},
		"another curve":       {p384Token(t, goodClaims), "96 bytes are a P-384 signature: ES256 wants a P-256 key"},
		"another key":         {newPartner(t).sign(goodClaims), "another private key than the registered one"},
		"no kid":              {string(withoutKid), "the header has no kid"},
		"milliseconds":        {p.sign(strings.ReplaceAll(goodClaims, "EXP", "EXP000")), "exp looks like milliseconds"},
		"exp as text":         {p.sign(strings.ReplaceAll(goodClaims, "EXP", `"EXP"`)), "no quotes, no exponent"},
		"exp as a power":      {p.sign(strings.ReplaceAll(goodClaims, "EXP", "EXPe0")), "no quotes, no exponent"},
		"exp too far":         {p.sign(strings.ReplaceAll(goodClaims, "EXP", fmt.Sprint(testNow.Unix()+3600))), "✗ exp not too far"},
		"no sub":              {p.sign(`{"iss":"merchant01","aud":"stg","exp":EXP}`), "add sub to the claims"},
		"another sub":         {p.sign(strings.Replace(goodClaims, `"sub":"merchant01"`, `"sub":"someone"`, 1)), "repeat iss in sub"},
		"two audiences":       {p.sign(strings.Replace(goodClaims, `"stg"`, `["stg","prd"]`, 1)), "send one audience"},
		"audience with slash": {p.sign(strings.Replace(goodClaims, `"stg"`, `"https://d1.example/"`, 1)), "leave the last / out"},
		"no iss":              {p.sign(`{"sub":"merchant01","aud":"stg","exp":EXP}`), "put the id that the platform gave you in iss"},
		"clock ahead":         {p.sign(strings.Replace(goodClaims, "}", fmt.Sprintf(`,"iat":%d}`, testNow.Unix()+120), 1)), "clock: the clock that made the assertion is at least 2m0s ahead"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := p.explain(tc.assertion)
			if code != exitRefused || !strings.Contains(out, tc.want) || !strings.Contains(out, "✗ refused") {
				t.Errorf("exit code %d, want %q in:\n%s", code, tc.want, out)
			}
		})
	}
	if code, out := p.explain(good); code != exitOK || strings.Contains(out, "✗") {
		t.Errorf("a good assertion: %d\n%s", code, out)
	}
}

func mustKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A repaired assertion is checked against all other rules too.
func TestExplainGoesOnAfterRepair(t *testing.T) {
	p := newPartner(t)
	_, out := p.explain("Bearer " + p.sign(strings.ReplaceAll(goodClaims, "EXP", "EXP000")) + "=")
	for _, want := range []string{`"Bearer " before it`, "padding (=)", "✓ signature", "milliseconds"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestExplainColours(t *testing.T) {
	p := newPartner(t)
	var out bytes.Buffer
	a := &app{in: strings.NewReader(p.sign(goodClaims)), out: &out, err: &out, now: func() time.Time { return testNow }, color: true}
	a.run(t.Context(), []string{"explain", "-", "--profile", "thales-d1", "--issuer", "https://d1.example", "--key", p.public})
	for _, want := range []string{string(good) + "✓", string(bad) + "✗"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// TestExplainColumns: what was found stands in one column, however long the rules' names are.
func TestExplainColumns(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, err: &out}
	e := &explained{Findings: []evidence.Finding{
		{Holds: true, Rule: "aud", Found: "HERE"},
		{Holds: true, Rule: "certificate authority", Found: "HERE"},
		{Rule: "form", Expected: "HERE", Found: "HERE", Hint: "HERE"},
	}}
	if err := a.printExplained(e); err != nil {
		t.Fatal(err)
	}
	columns := map[int]bool{}
	for line := range strings.Lines(out.String()) {
		before, _, found := strings.Cut(line, "HERE")
		for _, word := range []string{"expected ", "found    ", "→ "} {
			before = strings.TrimSuffix(before, word)
		}
		if found {
			columns[len([]rune(before))] = true
		}
	}
	if len(columns) != 1 {
		t.Errorf("%d columns in:\n%s", len(columns), out.String())
	}
}
