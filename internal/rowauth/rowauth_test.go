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
	row := rowauth.Row{Kind: rowauth.Client, Issuer: "d1", ID: "bank", Revision: 3, Document: []byte(`{"name":"x"}`)}
	mac := key.MAC(&row)
	if !key.Verify(&row, mac) {
		t.Fatal("a row does not verify under its own MAC")
	}
	for name, other := range map[string]rowauth.Row{
		"kind":            {Kind: rowauth.Account, Issuer: "d1", ID: "bank", Revision: 3, Document: row.Document},
		"issuer":          {Kind: rowauth.Client, Issuer: "d2", ID: "bank", Revision: 3, Document: row.Document},
		"id":              {Kind: rowauth.Client, Issuer: "d1", ID: "bonk", Revision: 3, Document: row.Document},
		"revision":        {Kind: rowauth.Client, Issuer: "d1", ID: "bank", Revision: 2, Document: row.Document},
		"document":        {Kind: rowauth.Client, Issuer: "d1", ID: "bank", Revision: 3, Document: []byte(`{"name":"y"}`)},
		"issuer and id":   {Kind: rowauth.Client, Issuer: "d", ID: "1bank", Revision: 3, Document: row.Document},
		"kind and issuer": {Kind: "clientd", Issuer: "1", ID: "bank", Revision: 3, Document: row.Document},
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
