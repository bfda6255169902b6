package admin

import (
	"moneyer/internal/registry"
)

func merchantID(m *registry.Merchant) string { return m.ID }

func (a *API) listMerchants(c *call) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	merchants, err := a.Merchants.Merchants(c.r.Context(), c.issuer.Name, p.after, p.limit)
	if err != nil {
		return err
	}
	return replyPage(c, p, merchants, merchantID, same)
}

func (a *API) showMerchant(c *call) error {
	merchant, err := a.Merchants.Merchant(c.r.Context(), c.issuer.Name, c.r.PathValue("merchant"))
	if err != nil {
		return err
	}
	return c.reply(merchant)
}

func (a *API) putMerchant(c *call) error {
	merchant := registry.Merchant{Issuer: c.issuer.Name, ID: c.r.PathValue("merchant")}
	if err := c.decode(merchantMembers(&merchant)); err != nil {
		return err
	}
	if err := merchant.Check(c.issuer); err != nil {
		return err
	}
	done := change{action: "merchant.put", object: "merchants/" + merchant.ID}
	err := a.Merchants.PutMerchants(c.r.Context(), []registry.Merchant{merchant}, a.entry(c, done))
	if err != nil {
		return dangling(err)
	}
	a.logged(c, done)
	return c.reply(merchant)
}

func merchantMembers(m *registry.Merchant) members {
	return members{
		"client":     text(&m.Client),
		"disabled":   flag(&m.Disabled),
		"attributes": attributes(&m.Attributes),
	}
}

func (a *API) removeMerchant(c *call) error {
	id := c.r.PathValue("merchant")
	done := change{action: "merchant.remove", object: "merchants/" + id}
	if err := a.Merchants.RemoveMerchant(c.r.Context(), c.issuer.Name, id, a.entry(c, done)); err != nil {
		return err
	}
	a.logged(c, done)
	return c.gone()
}

func (a *API) importMerchants(c *call) error {
	return importRows(a, c, &table[registry.Merchant]{
		imported: change{action: "merchant.import", object: "merchants"},
		row: func(line []byte) (registry.Merchant, error) {
			merchant := registry.Merchant{Issuer: c.issuer.Name}
			m := merchantMembers(&merchant)
			m["id"] = text(&merchant.ID)
			if err := m.decode(line); err != nil {
				return merchant, err
			}
			return merchant, merchant.Check(c.issuer)
		},
		put: a.Merchants.PutMerchants,
	})
}
