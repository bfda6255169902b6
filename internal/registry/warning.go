package registry

import (
	"fmt"
	"maps"
	"slices"
)

// Warnings says which attributes the client does not have that the claims of its tokens come from, where its
// scope has a word that releases the claim, or where the claim is required. They may be set later.
func (c *Client) Warnings(issuer *Issuer) (warnings []string) {
	claims := issuer.Profile.Policy.Token.ClientAttributes()
	for _, attribute := range slices.Sorted(maps.Keys(claims)) {
		claim := claims[attribute]
		value, has := c.Attributes[attribute]
		released := claim.Release != "" && c.Scope.Has(claim.Release)
		if has && (value.IsList || value.Text != "") || !released && (claim.Release != "" || !claim.Required) {
			continue
		}
		text := fmt.Sprintf("the client has no attribute %s, from which claim %s of its tokens comes", attribute, claim.Name)
		if released {
			text = fmt.Sprintf("the client has no attribute %s, from which scope word %s releases claim %s", attribute, claim.Release, claim.Name)
		}
		if claim.Required {
			text += ": it gets no such token until the attribute is set"
		} else {
			text += ": its tokens lack the claim until the attribute is set"
		}
		warnings = append(warnings, text)
	}
	return warnings
}
