package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestInspectDocuments: a row without a problem is valid; each document is signed by
// the key that it is checked with.
func TestInspectDocuments(t *testing.T) {
	p := newPartner(t)
	long := `"a"` + strings.Repeat(`,"jti-of-21-characters0"`, 9999)
	for _, row := range []struct{ name, typ, claims, note, problem string }{
		{"a list", "revocations+jwt", `{"iss":"i","iat":IAT,"exp":EXP,"before":0,"jti":["a","b"],"kid":["k"],"claim":[]}`,
			"it revokes 2 tokens by their jti, all tokens of 1 signing key, and all that match 0 claims", ""},
		{"a long list", "application/REVOCATIONS+jwt", `{"iss":"i","iat":IAT,"exp":EXP,"jti":[` + long + `]}`, "it revokes 10000 tokens", ""},
		{"a list of all", "revocations+jwt", `{"iss":"i","iat":IAT,"exp":EXP,"before":1}`, "every token issued before 1970-01-01T00:00:01Z", ""},
		{"a list that is over", "revocations+jwt", `{"iss":"i","iat":1,"exp":2}`, "", "it expired"},
		{"a list without end", "revocations+jwt", `{"iss":"i","iat":IAT}`, "", "exp is missing"},
		{"a list of nobody", "revocations+jwt", `{"iat":IAT,"exp":EXP}`, "", "iss or iat is missing"},
		{"a list with more", "revocations+jwt", `{"iss":"i","iat":IAT,"exp":EXP,"sub":["x"]}`, "", `unknown member "sub"`},
		{"a list of another form", "revocations+jwt", `{"iss":"i","iat":IAT,"exp":EXP,"jti":"x"}`, "", "want an array"},
		{"an answer", "token-introspection+jwt", `{"iss":"i","aud":"c","iat":IAT,"token_introspection":{"active":true,"exp":1}}`, "the token was active when this was made, now", ""},
		{"an answer of no", "token-introspection+jwt", `{"iss":"i","aud":"c","iat":IAT,"token_introspection":{"active":false}}`, "the token was not active", ""},
		{"an answer without a word", "token-introspection+jwt", `{"iss":"i","aud":"c","iat":IAT,"token_introspection":{}}`, "", "does not say whether the token is active"},
		{"no answer", "token-introspection+jwt", `{"iss":"i","aud":"c","iat":IAT}`, "", "does not say whether the token is active"},
		{"an answer of nobody", "token-introspection+jwt", `{"aud":"c","iat":IAT,"token_introspection":{"active":true}}`, "", "iss or iat is missing"},
		{"a token", "at+jwt", `{"iss":"i","iat":IAT}`, "", "exp"},
	} {
		signed, err := p.signer.As(row.typ).SignDocument(filled(strings.ReplaceAll(row.claims, "IAT", fmt.Sprint(testNow.Unix()))))
		if err != nil {
			t.Fatal(err)
		}
		code, out, stderr := runCommand(t, string(signed), "inspect", "--key", p.public)
		if !strings.Contains(out, "✓ signature verified\n") || !strings.Contains(out, row.note) || !strings.Contains(out, row.problem) {
			t.Errorf("%s: want %q and %q:\n%s%s", row.name, row.note, row.problem, out, stderr)
		}
		if good := row.problem == ""; good != (code == exitOK) || good == strings.Contains(out, "✗") {
			t.Errorf("%s: exit code %d:\n%s", row.name, code, out)
		}
		if len(out) > 5000 {
			t.Errorf("%s: %d bytes of text", row.name, len(out))
		}

		code, out, _ = runCommand(t, string(signed), "inspect", "--key", newPartner(t).public)
		if code != exitRefused || !strings.Contains(out, "signature BAD") {
			t.Errorf("%s by another key: exit code %d:\n%s", row.name, code, out)
		}
	}
}

// TestInspectLongToken: only a document may be longer than a token.
func TestInspectLongToken(t *testing.T) {
	p := newPartner(t)
	signed, err := p.signer.As("at+jwt").SignDocument(filled(`{"iss":"i","exp":EXP,"x":"` + strings.Repeat("x", 9000) + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := runCommand(t, string(signed), "inspect", "--key", p.public); code != exitRefused || !strings.Contains(out, "longer than 8192 ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
