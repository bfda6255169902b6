package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files are assertions that libraries and editors made. Explain judges exactly their
// bytes, and only what it can read and verify.
func TestExplainFiles(t *testing.T) {
	folder := filepath.Join("testdata", "cases", "explain")
	p := newPartner(t)
	rows := map[string]struct{ want, without []string }{
		"ok.bom.jwt": {
			want: []string{"✗ form            expected a compact JWS", "found    a byte order mark before it", `found    "\r\n" after it`,
				"for client field1", "✓ onboarding", "✗ signature"},
		},
		"expstr.jwt": {
			want:    []string{"✓ onboarding      a key that the platform would register", "✗ claims", "exp: JSON at byte 82"},
			without: []string{"for client", "✗ signature", "✗ form", `client id ""`},
		},
		"float.jwt": {want: []string{"✓ onboarding", "for client field1", "✓ claims", "✗ signature", "✓ exp not past", "made 11 seconds ago"}, without: []string{"✗ onboarding", "✗ form"}},
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != len(rows) {
		t.Fatalf("%d files, %d rows of the table: %v", len(files), len(rows), err)
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := runCommand(t, "", "explain", filepath.Join(folder, name), "--profile", "oauth2", "--issuer", "http://127.0.0.1:28431/oauth2",
				"--key", p.public, "--kid", "k1", "--now", "1796048100")
			if code != exitRefused || stderr != "" {
				t.Errorf("exit code %d: %s", code, stderr)
			}
			for _, want := range row.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			for _, other := range row.without {
				if strings.Contains(out, other) {
					t.Errorf("%q in\n%s", other, out)
				}
			}
		})
	}
}

// What explain accepts, the server accepts: whatever stands around an assertion in a file
// is sent, too.
func TestExplainJudgesTheBytes(t *testing.T) {
	p := newPartner(t)
	signed := p.sign(goodClaims)
	if code, out := p.explain(signed); code != exitOK {
		t.Fatalf("the assertion itself: %d\n%s", code, out)
	}
	for _, around := range []string{"%s\n", "%s\r\n", "%s\n\n", "%s ", " %s", "\n%s", "\ufeff%s", "\ufeff%s\r\n", "%s\t"} {
		code, out := p.explain(fmt.Sprintf(around, signed))
		if code != exitRefused || !strings.Contains(out, "✗ form") || !strings.Contains(out, "✓ signature") || !strings.Contains(out, "→") {
			t.Errorf("%q: exit code %d\n%s", around, code, out)
		}
	}
}

// Without a client in the claims or the flags the key is judged, and no client of no name.
func TestExplainWithoutClient(t *testing.T) {
	p := newPartner(t)
	_, out, _ := runCommand(t, p.sign(`{"sub":"merchant01","aud":"stg","exp":EXP}`), "explain", "-", "--profile", "thales-d1", "--issuer", "https://d1.example",
		"--key", p.public, "--kid", "k", "--audience-name", "stg")
	for _, want := range []string{"✓ onboarding      a key that", "✗ iss", "put the id that the platform gave you in iss"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, other := range []string{"✓ signature", "✗ signature", "for client", `client id ""`} {
		if strings.Contains(out, other) {
			t.Errorf("%q in\n%s", other, out)
		}
	}
}

// A signature by another algorithm than the key's is not verified, and not judged.
func TestExplainDoesNotJudgeUnverified(t *testing.T) {
	p := newPartner(t)
	token := strings.Split(p.sign(goodClaims), ".")
	token[0] = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ" // {"alg":"RS256","kid":"k"}
	code, out := p.explain(strings.Join(token, "."))
	if code != exitRefused || !strings.Contains(out, "✗ alg") || strings.Contains(out, "signature  ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
