package revocation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"moneyer/internal/revocation"
)

var (
	noon   = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	ending = noon.Add(time.Hour)
)

func setOf(revocations ...revocation.Revocation) *revocation.Set {
	s := &revocation.Set{}
	for i := range revocations {
		s.Add(&revocations[i])
	}
	return s
}

// rows are sets with tokens that they match, or not.
var rows = []struct {
	name    string
	set     *revocation.Set
	token   revocation.Token
	matches bool
}{
	{"nothing", setOf(), revocation.Token{ID: "t", Payload: []byte(`{}`)}, false},
	{"jti", setOf(revocation.Revocation{JTIs: []string{"s", "t"}, Until: ending}), revocation.Token{ID: "t", Payload: []byte(`{}`)}, true},
	{"another jti", setOf(revocation.Revocation{JTIs: []string{"s"}, Until: ending}), revocation.Token{ID: "t", Payload: []byte(`{}`)}, false},
	{"no jti", setOf(revocation.Revocation{JTIs: []string{"s"}, Until: ending}), revocation.Token{Payload: []byte(`{}`)}, false},
	{"kid", setOf(revocation.Revocation{SigningKid: "k", Until: ending}), revocation.Token{KeyID: "k", IssuedAt: noon.Unix(), Payload: []byte(`{}`)}, true},
	{"another kid", setOf(revocation.Revocation{SigningKid: "k", Until: ending}), revocation.Token{KeyID: "l", Payload: []byte(`{}`)}, false},
	{"no kid", setOf(revocation.Revocation{SigningKid: "k", Until: ending}), revocation.Token{Payload: []byte(`{}`)}, false},
	{"all before", setOf(revocation.Revocation{All: true, Before: noon, Until: ending}), revocation.Token{IssuedAt: noon.Unix() - 1, Payload: []byte(`{}`)}, true},
	{"all, from then on", setOf(revocation.Revocation{All: true, Before: noon, Until: ending}), revocation.Token{IssuedAt: noon.Unix(), Payload: []byte(`{}`)}, false},
	{"all, without iat", setOf(revocation.Revocation{All: true, Before: noon, Until: ending}), revocation.Token{Payload: []byte(`{}`)}, true},
	claim("text", `{"sub":"a"}`, true),
	claim("another text", `{"sub":"b"}`, false),
	claim("another claim", `{"client_id":"a"}`, false),
	claim("list", `{"sub":["b","a"]}`, true),
	claim("list of others", `{"sub":["b","c"]}`, false),
	claim("list with a number", `{"sub":["a",1]}`, true),
	claim("list with a number before", `{"sub":[{"x":"a"},1,null,"a"]}`, true),
	claim("list in a list", `{"sub":[["a"]]}`, false),
	claim("number", `{"sub":1}`, false),
	claim("object", `{"sub":{"sub":"a"}}`, false),
	claim("escaped", `{"s\u0075b":"\u0061"}`, true),
}

// claim is a row whose set revokes sub "a".
func claim(name, payload string, matches bool) (row struct {
	name    string
	set     *revocation.Set
	token   revocation.Token
	matches bool
}) {
	row.name, row.matches = "claim: "+name, matches
	row.set = setOf(revocation.Revocation{Claim: "sub", Value: "a", Before: noon, Until: ending})
	row.token = revocation.Token{IssuedAt: noon.Unix() - 1, Payload: []byte(payload)}
	return row
}

// TestMatches holds the issuer's own set and the set that an API reads from its
// published list to the same answers.
func TestMatches(t *testing.T) {
	for _, row := range rows {
		text := row.set.AppendList(nil, "https://issuer.example", noon)
		list, err := revocation.ParseList(text)
		if err != nil || list.Issuer != "https://issuer.example" || list.IssuedAt != noon.Unix() {
			t.Fatalf("%s: list %s: %v", row.name, text, err)
		}
		for from, set := range map[string]*revocation.Set{"set": row.set, "list": &list.Set} {
			if matches, err := set.Matches(row.token); err != nil || matches != row.matches {
				t.Errorf("%s, %s: matches %v, %v", row.name, from, matches, err)
			}
		}
	}
}

func TestMatchesUnreadable(t *testing.T) {
	s := setOf(revocation.Revocation{Claim: "sub", Value: "a", Before: noon, Until: ending})
	if _, err := s.Matches(revocation.Token{Payload: []byte(`{"sub":`)}); err == nil {
		t.Error("a payload that cannot be read is judged")
	}
}

// TestListForgets: the list has what is revoked until Sweep removes it, whatever the time of
// the list. That time is by a clock that may have jumped.
func TestListForgets(t *testing.T) {
	s := setOf(revocation.Revocation{JTIs: []string{"t"}, Until: noon}, revocation.Revocation{SigningKid: "k", Until: noon})
	if text := string(s.AppendList(nil, "i", noon.AddDate(1, 0, 0))); !strings.Contains(text, `"t"`) || !strings.Contains(text, `"k"`) {
		t.Errorf("not listed: %s", text)
	}
	version := s.Version()
	s.Sweep(noon)
	if s.Tokens() != 0 || s.Version() == version {
		t.Errorf("%d tokens are left, version %d", s.Tokens(), s.Version())
	}
	if text := string(s.AppendList(nil, "i", noon)); strings.Contains(text, `"t"`) || strings.Contains(text, `"k"`) {
		t.Errorf("listed: %s", text)
	}
}

func TestRoom(t *testing.T) {
	s := &revocation.Set{}
	jtis := make([]string, revocation.MaxTokens)
	for i := range jtis {
		jtis[i] = fmt.Sprint(i)
	}
	full := &revocation.Revocation{Issuer: "d1", JTIs: jtis, Until: ending}
	if err := s.Room(full); err != nil {
		t.Fatal(err)
	}
	s.Add(full)
	if err := s.Room(full); err != nil {
		t.Errorf("what is there already: %v", err)
	}
	if err := s.Room(&revocation.Revocation{Issuer: "d1", JTIs: []string{"one more"}}); err == nil {
		t.Error("one token too many fits")
	}
}

func FuzzParseList(f *testing.F) {
	for _, row := range rows {
		f.Add(row.set.AppendList(nil, "i", noon))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		list, err := revocation.ParseList(payload)
		if err != nil {
			return
		}
		if _, err := list.Matches(revocation.Token{ID: "t", KeyID: "k", Payload: []byte(`{"sub":"a"}`)}); err != nil {
			t.Error(err)
		}
	})
}
