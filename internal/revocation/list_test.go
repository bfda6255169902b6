package revocation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"moneyer/internal/revocation"
)

// list is a list whose members after iat and exp are these.
func list(members string) []byte {
	return fmt.Appendf(nil, `{"iss":"i","iat":%d,"exp":%d%s}`, noon.Unix(), ending.Unix(), members)
}

// TestParseListRefused: what a reader does not understand of a list might revoke tokens.
func TestParseListRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no object":                 `[]`,
		"no iat":                    `{"iss":"i","exp":1}`,
		"iat 0":                     `{"iss":"i","iat":0,"exp":1}`,
		"no exp":                    `{"iss":"i","iat":1}`,
		"an unknown member":         string(list(`,"sub":["a"]`)),
		"a member twice":            string(list(`,"kid":["a"],"kid":[]`)),
		"exp beyond all":            `{"iss":"i","iat":1,"exp":9007199254740992}`,
		"a negative before":         string(list(`,"before":-1`)),
		"a fraction":                string(list(`,"before":1.5`)),
		"before as text":            string(list(`,"before":"1"`)),
		"a jti that is a number":    string(list(`,"jti":[1]`)),
		"jtis that are no list":     string(list(`,"jti":"a"`)),
		"a kid that is null":        string(list(`,"kid":[null]`)),
		"a claim without name":      string(list(`,"claim":[{"value":"a","before":1}]`)),
		"a claim without value":     string(list(`,"claim":[{"claim":"sub","before":1}]`)),
		"a claim without instant":   string(list(`,"claim":[{"claim":"sub","value":"a"}]`)),
		"a claim with an empty":     string(list(`,"claim":[{"claim":"sub","value":"","before":1}]`)),
		"a claim before 0":          string(list(`,"claim":[{"claim":"sub","value":"a","before":0}]`)),
		"a claim with more":         string(list(`,"claim":[{"claim":"sub","value":"a","before":1,"after":1}]`)),
		"a claim that is no object": string(list(`,"claim":["sub"]`)),
	} {
		if _, err := revocation.ParseList([]byte(text)); err == nil {
			t.Errorf("%s: %s is read", name, text)
		}
	}
}

// TestParseListExtremes: an empty name and an instant of 0 match nothing, and the last
// instant that a list can name matches everything.
func TestParseListExtremes(t *testing.T) {
	nameless := revocation.Token{IssuedAt: noon.Unix(), Payload: []byte(`{"sub":"a"}`)}
	for members, matches := range map[string]bool{
		``:                              false,
		`,"before":0,"jti":[],"kid":[]`: false,
		`,"jti":[""],"kid":[""]`:        false,
		`,"jti":["",""],"kid":["k"]`:    false,
		`,"before":9007199254740991`:    true,
		`,"before":1`:                   false,
		`,"claim":[{"claim":"sub","value":"a","before":9007199254740991}]`: true,
		// of two instants the later one, in either order
		fmt.Sprintf(`,"claim":[{"claim":"sub","value":"a","before":1},{"claim":"sub","value":"a","before":%d}]`, noon.Unix()+1): true,
		fmt.Sprintf(`,"claim":[{"claim":"sub","value":"a","before":%d},{"claim":"sub","value":"a","before":1}]`, noon.Unix()+1): true,
	} {
		l, err := revocation.ParseList(list(members))
		if err != nil {
			t.Errorf("%s: %v", members, err)
			continue
		}
		if got, err := l.Matches(nameless); got != matches || err != nil {
			t.Errorf("%s: matches %v, %v", members, got, err)
		}
	}
	l, err := revocation.ParseList(list(`,"before":1`))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := l.Matches(revocation.Token{Payload: []byte(`{}`)}); !got {
		t.Error("a token without iat is not one of 1970")
	}
}

// TestLaterRevocationsGoAsFar: a second revocation of a group takes nothing back of the
// first, in its instant and in how long it is known.
func TestLaterRevocationsGoAsFar(t *testing.T) {
	wide := revocation.Revocation{Claim: "sub", Value: "a", Before: noon, Until: ending}
	narrow := revocation.Revocation{Claim: "sub", Value: "a", Before: noon.Add(-time.Minute), Until: noon.Add(time.Minute)}
	for _, s := range []*revocation.Set{setOf(wide, narrow), setOf(narrow, wide)} {
		s.Sweep(noon.Add(time.Minute))
		if got, err := s.Matches(revocation.Token{IssuedAt: noon.Unix() - 1, Payload: []byte(`{"sub":"a"}`)}); !got || err != nil {
			t.Errorf("matches %v, %v", got, err)
		}
		s.Sweep(ending)
		if text := string(s.AppendList(nil, "i", noon)); !strings.Contains(text, `"claim":[]`) {
			t.Errorf("left: %s", text)
		}
	}
}

// TestListOfLongAgo: what was issued before 1970 is nothing, and a list with such an
// instant could not be read, nor anything else in it.
func TestListOfLongAgo(t *testing.T) {
	for _, before := range []time.Time{time.Unix(0, 0), time.Unix(-1, 0)} {
		s := setOf(
			revocation.Revocation{Claim: "sub", Value: "a", Before: before, Until: ending},
			revocation.Revocation{All: true, Before: before, Until: ending},
			revocation.Revocation{JTIs: []string{"t"}, Until: ending})
		text := s.AppendList(nil, "i", noon)
		l, err := revocation.ParseList(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, _ := l.Matches(revocation.Token{ID: "t", Payload: []byte(`{}`)}); !got {
			t.Errorf("%s: the rest is not there", text)
		}
		if got, _ := l.Matches(revocation.Token{ID: "u", Payload: []byte(`{"sub":"a"}`)}); got {
			t.Errorf("%s: it matches what it does not name", text)
		}
	}
}
