package admin

import (
	"errors"

	"moneyer/internal/registry"
)

func (a *API) listItems(c *call) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	account, err := a.Accounts.Account(c.r.Context(), c.issuer.Name, c.r.PathValue("account"))
	if err != nil {
		return err
	}
	items, err := a.Accounts.AccountItems(c.r.Context(), c.issuer.Name, account.ID, p.after, p.limit)
	if err != nil {
		return err
	}
	return replyPage(c, p, items, func(i *registry.Item) string { return i.ID }, same)
}

func (a *API) showItem(c *call) error {
	id := c.r.PathValue("item")
	items, err := a.Accounts.Items(c.r.Context(), c.issuer.Name, []string{id})
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return notFound("item", id)
	}
	return c.reply(items[0])
}

func (a *API) putItem(c *call) error {
	item := registry.Item{Issuer: c.issuer.Name, ID: c.r.PathValue("item")}
	if err := c.decode(itemMembers(&item)); err != nil {
		return err
	}
	if err := item.Check(c.issuer); err != nil {
		return err
	}
	done := change{action: "item.put", object: "items/" + item.ID}
	err := a.Accounts.PutItems(c.r.Context(), []registry.Item{item}, a.entry(c, done))
	if err != nil {
		return dangling(err)
	}
	a.logged(c, done)
	return c.reply(item)
}

func itemMembers(i *registry.Item) members {
	return members{"account": text(&i.Account), "kind": text(&i.Kind)}
}

// dangling turns the absence of what a row refers to into a refusal of the row:
// what the path names is not missing, it is made here.
func dangling(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return refuse("%s", err)
	}
	return err
}

func (a *API) removeItem(c *call) error {
	id := c.r.PathValue("item")
	done := change{action: "item.remove", object: "items/" + id}
	if err := a.Accounts.RemoveItem(c.r.Context(), c.issuer.Name, id, a.entry(c, done)); err != nil {
		return err
	}
	a.logged(c, done)
	return c.gone()
}

func (a *API) importItems(c *call) error {
	return importRows(a, c, &table[registry.Item]{
		imported: change{action: "item.import", object: "items"},
		row: func(line []byte) (registry.Item, error) {
			item := registry.Item{Issuer: c.issuer.Name}
			m := itemMembers(&item)
			m["id"] = text(&item.ID)
			if err := m.decode(line); err != nil {
				return item, err
			}
			return item, item.Check(c.issuer)
		},
		put: a.Accounts.PutItems,
	})
}
