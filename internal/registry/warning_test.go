package registry_test

import (
	"strings"
	"testing"

	"moneyer/internal/registry"
	"moneyer/oauth"
)

// TestClientWarnings: a scope word that releases a claim wants the attribute from which the claim comes.
func TestClientWarnings(t *testing.T) {
	issuer := newIssuer(t, "boltpay")
	list, text := registry.Attribute{IsList: true, List: []string{"a"}}, registry.Attribute{Text: "a"}
	for _, row := range []struct {
		scope      oauth.Scope
		attributes map[string]registry.Attribute
		want       string
	}{
		{oauth.Scope{"openid"}, nil, ""},
		{oauth.Scope{"openid", "roles"}, nil, "no attribute roles, from which scope word roles releases claim roles"},
		{oauth.Scope{"openid", "roles"}, map[string]registry.Attribute{"roles": list}, ""},
		{oauth.Scope{"status"}, map[string]registry.Attribute{"roles": list}, "no attribute status"},
		{oauth.Scope{"status"}, map[string]registry.Attribute{"status": text}, ""},
	} {
		c := &registry.Client{ID: "c", Scope: row.scope, Attributes: row.attributes}
		got := strings.Join(c.Warnings(issuer), "; ")
		if (got == "") != (row.want == "") || !strings.Contains(got, row.want) {
			t.Errorf("scope %s, attributes %v: %q, want %q", row.scope, row.attributes, got, row.want)
		}
	}
}
