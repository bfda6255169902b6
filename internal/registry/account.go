package registry

import (
	"maps"
	"slices"
	"strings"
)

// Account is what a client may ask for tokens on behalf of. The profile says how the
// people of its platform call it, such as a merchant.
type Account struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// Client is the only client that may act for the account.
	Client     string               `json:"client"`
	Disabled   bool                 `json:"disabled,omitempty"`
	Attributes map[string]Attribute `json:"attributes,omitempty"`
	// Unverified is set in a list, where the account in the store does not verify under the
	// master key: nothing but its ID is known. It is never stored.
	Unverified bool `json:"unverified,omitempty"`
}

// Item belongs to an account, such as a card token to a merchant. It is not an access
// token, and it is not a card number.
type Item struct {
	Issuer  string `json:"issuer"`
	ID      string `json:"id"`
	Account string `json:"account"`
	// Kind in lower case, such as "visa" or "mastercard".
	Kind string `json:"kind"`
	// Unverified is set in a list, where the item in the store does not verify under the
	// master key. It is never stored.
	Unverified bool `json:"unverified,omitempty"`
}

// Check returns why the account does not fit its issuer's profile, or nil.
func (a *Account) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	if policy.Account.Param == "" {
		return Invalidf("profile %s knows no accounts", issuer.Profile.Name)
	}
	name, param := policy.Account.Name, issuer.Profile.Wire.Param(policy.Account.Param)
	if param.Fault(a.ID) != "" {
		return Invalidf("%s id %q: must be 1 to %d characters that the profile allows", name, Excerpt(a.ID), param.MaxLength)
	}
	if a.Client == "" {
		return Invalidf("%s %s: client must name the client that may act for it", name, a.ID)
	}
	claims := policy.Token.AccountAttributes()
	for _, attribute := range slices.Sorted(maps.Keys(claims)) {
		if value := a.Attributes[attribute]; claims[attribute].Required && !value.IsList && value.Text == "" {
			return Invalidf("%s %s: attribute %s is required by profile %s, and not empty", name, a.ID, attribute, issuer.Profile.Name)
		}
	}
	return checkAttributes(a.Attributes, claims, issuer.Profile.Name)
}

// Check returns why the item does not fit its issuer's profile, or nil.
func (i *Item) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy.Account
	if policy.Items == "" {
		return Invalidf("profile %s knows no items", issuer.Profile.Name)
	}
	name, param := policy.ItemName, issuer.Profile.Wire.Param(policy.Items)
	switch {
	case param.Fault(i.ID) != "":
		return Invalidf("%s id %q: must be 1 to %d characters that the profile allows", name, Excerpt(i.ID), param.MaxLength)
	case IsCardNumber(i.ID):
		return Invalidf("%s id %s has the form of a card number, which must not be stored here: register the token that stands for it", name, MaskCardNumbers(i.ID))
	case i.Account == "":
		return Invalidf("%s %s: account must name its %s", name, i.ID, policy.Name)
	case i.Kind == "" || len(i.Kind) > 32 || strings.ToLower(i.Kind) != i.Kind:
		return Invalidf("%s %s: kind must be a lower-case name such as %s", name, i.ID, strings.Join(policy.Kinds, " or "))
	}
	return nil
}
