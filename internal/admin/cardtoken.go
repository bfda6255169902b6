package admin

import (
	"errors"

	"moneyer/internal/registry"
)

func (a *API) listCardTokens(c *call) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	merchant, err := a.Merchants.Merchant(c.r.Context(), c.issuer.Name, c.r.PathValue("merchant"))
	if err != nil {
		return err
	}
	tokens, err := a.Merchants.MerchantCardTokens(c.r.Context(), c.issuer.Name, merchant.ID, p.after, p.limit)
	if err != nil {
		return err
	}
	return replyPage(c, p, tokens, func(t *registry.CardToken) string { return t.ID }, same)
}

func (a *API) showCardToken(c *call) error {
	id := c.r.PathValue("token")
	tokens, err := a.Merchants.CardTokens(c.r.Context(), c.issuer.Name, []string{id})
	if err != nil {
		return err
	}
	if len(tokens) == 0 {
		return notFound("card token", id)
	}
	return c.reply(tokens[0])
}

func (a *API) putCardToken(c *call) error {
	token := registry.CardToken{Issuer: c.issuer.Name, ID: c.r.PathValue("token")}
	if err := c.decode(cardTokenMembers(&token)); err != nil {
		return err
	}
	if err := token.Check(c.issuer); err != nil {
		return err
	}
	done := change{action: "card-token.put", object: "card-tokens/" + token.ID}
	err := a.Merchants.PutCardTokens(c.r.Context(), []registry.CardToken{token}, a.entry(c, done))
	if err != nil {
		return dangling(err)
	}
	a.logged(c, done)
	return c.reply(token)
}

func cardTokenMembers(t *registry.CardToken) members {
	return members{"merchant": text(&t.Merchant), "scheme": text(&t.Scheme)}
}

// dangling turns the absence of what a row refers to into a refusal of the row:
// what the path names is not missing, it is made here.
func dangling(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return refuse("%s", err)
	}
	return err
}

func (a *API) removeCardToken(c *call) error {
	id := c.r.PathValue("token")
	done := change{action: "card-token.remove", object: "card-tokens/" + id}
	if err := a.Merchants.RemoveCardToken(c.r.Context(), c.issuer.Name, id, a.entry(c, done)); err != nil {
		return err
	}
	a.logged(c, done)
	return c.gone()
}

func (a *API) importCardTokens(c *call) error {
	return importRows(a, c, &table[registry.CardToken]{
		imported: change{action: "card-token.import", object: "card-tokens"},
		row: func(line []byte) (registry.CardToken, error) {
			token := registry.CardToken{Issuer: c.issuer.Name}
			m := cardTokenMembers(&token)
			m["id"] = text(&token.ID)
			if err := m.decode(line); err != nil {
				return token, err
			}
			return token, token.Check(c.issuer)
		},
		put: a.Merchants.PutCardTokens,
	})
}
