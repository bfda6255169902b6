package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "now",
		time.Second:             "in 1 second",
		-90 * time.Second:       "90 seconds ago",
		3 * time.Minute:         "in 3 minutes",
		-2 * time.Hour:          "2 hours ago",
		47 * time.Hour:          "in 47 hours",
		-72 * time.Hour:         "3 days ago",
		1<<63 - 1:               "in 106751 days",
		-1 << 63:                "106751 days ago",
		119*time.Second + 1e9/2: "in 120 seconds",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

func TestRepair(t *testing.T) {
	const token = "eyJh.eyJi.c2ln"
	for raw, want := range map[string]int{
		token:                                0,
		" " + token + "\n":                   0,
		"Bearer " + token:                    1,
		"authorization: BEARER " + token:     1,
		`"` + token + `"`:                    1,
		"'Bearer " + token + "'":             2,
		"eyJh.\r\neyJi.c2ln":                 1,
		"eyJh=.eyJi==.c2ln":                  1,
		"Bearer \"eyJh.eyJi\n.c2ln==\"extra": 3,
	} {
		got, mistakes := repair(raw)
		if len(mistakes) != want {
			t.Errorf("%q: %v", raw, mistakes)
		}
		if got != token && !strings.HasSuffix(raw, "extra") {
			t.Errorf("%q became %q", raw, got)
		}
	}
}

// Control characters in a token do not reach the terminal.
func TestInspectIsSafeForTerminals(t *testing.T) {
	p := newPartner(t)
	token := p.sign(`{"iss":"a\u001b[2J","b\u009bc":"` + "\u009b\u202e" + `","exp":EXP}`)
	_, out, _ := runCommand(t, token, "inspect", "-")
	if strings.ContainsAny(out, "\x1b\u009b\u202e") {
		t.Errorf("%q", out)
	}
}

func TestInspectFindings(t *testing.T) {
	p := newPartner(t)
	for name, tc := range map[string]struct {
		token, want string
		code        int
	}{
		"good":          {p.sign(goodClaims), "✓ signature verified", exitOK},
		"expired":       {p.sign(`{"iss":"a","exp":1795435100}`), "it expired 100 seconds ago", exitRefused},
		"not yet valid": {p.sign(`{"iss":"a","exp":EXP,"nbf":EXP}`), "it is valid only from in 5 minutes on", exitRefused},
		"milliseconds":  {p.sign(`{"iss":"a","exp":EXP000}`), "exp looks like milliseconds", exitRefused},
		"no exp":        {p.sign(`{"iss":"a"}`), "no iss or no exp", exitRefused},
		"quotes":        {p.sign(`{"iss":"a","exp":"EXP"}`), "exp: ", exitRefused},
		"changed":       {p.sign(goodClaims)[:120] + "AAAA" + p.sign(goodClaims)[124:], "✗", exitRefused},
		"JSON form":     {"eyJhIjoxfQ", "fewer than two dots", exitRefused},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := runCommand(t, tc.token, "inspect", "--key", p.public)
			if code != tc.code || !strings.Contains(out, tc.want) {
				t.Errorf("exit code %d, want %d and %q in:\n%s%s", code, tc.code, tc.want, out, stderr)
			}
		})
	}
}

// FuzzInspect: for any input, inspect and explain end with one of their exit codes and
// print valid JSON.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.AAAA"), true)
	f.Add([]byte(`{"keys":[{"kty":"EC"}]}`), false)
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), false)
	f.Add([]byte(`"Bearer a.b.c="`), true)
	f.Fuzz(func(t *testing.T, data []byte, asJSON bool) {
		args := []string{"inspect"}
		if asJSON {
			args = append(args, "--json")
		}
		code, out, _ := runCommand(t, string(data), args...)
		if code > exitUsage || code == exitUsage && out != "" {
			t.Fatalf("exit code %d:\n%s", code, out)
		}
		if asJSON && out != "" && !json.Valid([]byte(out)) {
			t.Fatalf("not JSON:\n%s", out)
		}
	})
}
