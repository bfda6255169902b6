package registry

import (
	"maps"
	"slices"
	"strings"
)

// Merchant is a merchant on whose behalf a client may ask for tokens.
type Merchant struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
	// Client is the only client that may act for the merchant.
	Client     string               `json:"client"`
	Disabled   bool                 `json:"disabled,omitempty"`
	Attributes map[string]Attribute `json:"attributes,omitempty"`
}

// CardToken is a scheme token that belongs to a merchant. It is not an access
// token, and it is not a card number.
type CardToken struct {
	Issuer   string `json:"issuer"`
	ID       string `json:"id"`
	Merchant string `json:"merchant"`
	// Scheme in lower case, such as "visa" or "mastercard".
	Scheme string `json:"scheme"`
}

// Check tells whether the merchant fits its issuer's profile.
func (m *Merchant) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy
	if policy.Merchant.Param == "" {
		return Invalidf("profile %s knows no merchants", issuer.Profile.Name)
	}
	param := issuer.Profile.Wire.Param(policy.Merchant.Param)
	if param.Fault(m.ID) != "" {
		return Invalidf("merchant id %q: must be 1 to %d octets of the profile's characters", Excerpt(m.ID), param.MaxLength)
	}
	if m.Client == "" {
		return Invalidf("merchant %s: client must name the client that may act for it", m.ID)
	}
	claims := policy.Token.MerchantAttributes()
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if value := m.Attributes[name]; claims[name].Required && !value.IsList && value.Text == "" {
			return Invalidf("merchant %s: attribute %s is required by profile %s, and not empty", m.ID, name, issuer.Profile.Name)
		}
	}
	return checkAttributes(m.Attributes, claims, issuer.Profile.Name)
}

// Check tells whether the card token fits its issuer's profile.
func (t *CardToken) Check(issuer *Issuer) error {
	policy := &issuer.Profile.Policy.Merchant
	if policy.Cards == "" {
		return Invalidf("profile %s knows no card tokens", issuer.Profile.Name)
	}
	param := issuer.Profile.Wire.Param(policy.Cards)
	switch {
	case param.Fault(t.ID) != "":
		return Invalidf("card token id %q: must be 1 to %d octets of the profile's characters", Excerpt(t.ID), param.MaxLength)
	case t.Merchant == "":
		return Invalidf("card token %s: merchant must name its merchant", t.ID)
	case t.Scheme == "" || len(t.Scheme) > 32 || strings.ToLower(t.Scheme) != t.Scheme:
		return Invalidf("card token %s: scheme must be a lower-case name such as visa or mastercard", t.ID)
	}
	return nil
}
