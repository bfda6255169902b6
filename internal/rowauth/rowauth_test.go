package rowauth_test

import (
	"fmt"
	"strings"
	"testing"

	"moneyer/internal/rowauth"
)

func newKey(t *testing.T, first byte) *rowauth.Key {
	t.Helper()
	key, err := rowauth.NewKey([32]byte{first})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestMAC changes every part of a row, and moves bytes from one field to the next.
func TestMAC(t *testing.T) {
	key := newKey(t, 1)
	row := rowauth.Row{Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: "bank"}, Revision: 3, Document: []byte(`{"name":"x"}`)}
	mac := key.MAC(&row)
	if !key.Verify(&row, mac) {
		t.Fatal("a row does not verify under its own MAC")
	}
	for name, other := range map[string]rowauth.Row{
		"kind":            {Name: rowauth.Name{Kind: rowauth.Account, Issuer: "d1", ID: "bank"}, Revision: 3, Document: row.Document},
		"issuer":          {Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d2", ID: "bank"}, Revision: 3, Document: row.Document},
		"id":              {Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: "bonk"}, Revision: 3, Document: row.Document},
		"revision":        {Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: "bank"}, Revision: 2, Document: row.Document},
		"document":        {Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: "bank"}, Revision: 3, Document: []byte(`{"name":"y"}`)},
		"issuer and id":   {Name: rowauth.Name{Kind: rowauth.Client, Issuer: "d", ID: "1bank"}, Revision: 3, Document: row.Document},
		"kind and issuer": {Name: rowauth.Name{Kind: "clientd", Issuer: "1", ID: "bank"}, Revision: 3, Document: row.Document},
	} {
		if key.Verify(&other, mac) {
			t.Errorf("%s: another row verifies under the same MAC", name)
		}
	}
	for name, forged := range map[string][]byte{"none": nil, "short": mac[:16], "of another key": newKey(t, 2).MAC(&row)} {
		if key.Verify(&row, forged) {
			t.Errorf("a MAC that is %s verifies", name)
		}
	}
	if string(rowauth.Fields("a", "bc")) == string(rowauth.Fields("ab", "c")) {
		t.Error("two lists of fields have one encoding")
	}
}

func TestKeyPrintsNothing(t *testing.T) {
	key := newKey(t, 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, key); strings.Contains(got, "{") || !strings.Contains(got, "[row key]") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestNames(t *testing.T) {
	for _, n := range []rowauth.Name{{Kind: rowauth.Client, Issuer: "d1", ID: "bank"}, {Kind: rowauth.SigningKeys, Issuer: "d1"},
		{Kind: rowauth.Item, Issuer: "a/b", ID: "c d=e/ü\xff"}} {
		text := n.String()
		if again, err := rowauth.ParseName(text); err != nil || again != n || strings.ContainsAny(text, " =") {
			t.Errorf("%q: %+v, %v", text, again, err)
		}
	}
	for _, text := range []string{"", "client", "client/d1", "client/d 1/x", "client/%zz/x", "client/a/b/c"} {
		if n, err := rowauth.ParseName(text); err == nil {
			t.Errorf("%q is a name: %+v", text, n)
		}
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("client/d1/bank")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := rowauth.ParseName(text); err == nil && n.String() != text {
			t.Errorf("%q has another form: %q", text, n)
		}
	})
}

// TestSum: the order of changes does not count, and what is removed leaves nothing.
func TestSum(t *testing.T) {
	key := newKey(t, 1)
	var a, b, empty rowauth.Sum
	name := func(i int) rowauth.Name { return rowauth.Name{Kind: rowauth.Client, Issuer: "d1", ID: fmt.Sprint(i)} }
	for i := range 100 {
		key.Add(&a, name(i), "mac")
		key.Add(&b, name(99-i), "mac")
	}
	if a != b || a == empty {
		t.Errorf("sums of the same rows: %x, %x", a, b)
	}
	key.Remove(&b, name(7), "mac")
	key.Add(&b, name(7), "older")
	if a == b {
		t.Error("a row that was set back leaves the sum as it was")
	}
	key.Remove(&b, name(7), "older")
	for i := range 100 {
		if i != 7 {
			key.Remove(&b, name(i), "mac")
		}
	}
	if b != empty {
		t.Errorf("the sum of no rows: %x", b)
	}
}

func TestState(t *testing.T) {
	key := newKey(t, 1)
	s := rowauth.State{Revision: 17, Sum: rowauth.Sum{1, 2, 3, 4}}
	sealed := key.Seal(&s)
	if again, err := key.Open(sealed); err != nil || again != s {
		t.Errorf("%+v, %v", again, err)
	}
	sealed[len(sealed)-1] ^= 1
	for _, bad := range [][]byte{nil, sealed, newKey(t, 2).Seal(&s)} {
		if again, err := key.Open(bad); err == nil {
			t.Errorf("a state that was not sealed under the key: %+v", again)
		}
	}
	statement := key.Statement(&s)
	if revision, err := key.StatedRevision(statement); err != nil || revision != 17 {
		t.Errorf("%s: %d, %v", statement, revision, err)
	}
	s.Sum[2]++
	if key.Statement(&s) == statement {
		t.Error("two states have one statement")
	}
	for _, text := range []string{"", "17", ":x", "0:x", "-1:x", "x:17", statement[:len(statement)-1], "9" + statement, newKey(t, 2).Statement(&s), "18:AAAAAAAAAAAAAAAAAAAAAA"} {
		if revision, err := key.StatedRevision(text); err == nil {
			t.Errorf("%q states %d", text, revision)
		}
	}
}
