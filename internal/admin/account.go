package admin

import (
	"moneyer/internal/registry"
)

func accountID(a *registry.Account) string { return a.ID }

func (a *API) listAccounts(c *call) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	accounts, err := a.Accounts.Accounts(c.r.Context(), c.issuer.Name, p.after, p.limit)
	if err != nil {
		return err
	}
	return replyPage(c, p, accounts, accountID, same)
}

func (a *API) showAccount(c *call) error {
	account, err := a.Accounts.Account(c.r.Context(), c.issuer.Name, c.r.PathValue("account"))
	if err != nil {
		return err
	}
	return c.reply(account)
}

func (a *API) putAccount(c *call) error {
	account := registry.Account{Issuer: c.issuer.Name, ID: c.r.PathValue("account")}
	if err := c.decode(accountMembers(&account)); err != nil {
		return err
	}
	if err := account.Check(c.issuer); err != nil {
		return err
	}
	done := change{action: "account.put", object: "accounts/" + account.ID}
	err := a.Accounts.PutAccounts(c.r.Context(), []registry.Account{account}, a.entry(c, done))
	if err != nil {
		return dangling(err)
	}
	a.logged(c, done)
	return c.reply(account)
}

func accountMembers(a *registry.Account) members {
	return members{
		"client":     text(&a.Client),
		"disabled":   flag(&a.Disabled),
		"attributes": attributes(&a.Attributes),
	}
}

func (a *API) removeAccount(c *call) error {
	id := c.r.PathValue("account")
	done := change{action: "account.remove", object: "accounts/" + id}
	if err := a.Accounts.RemoveAccount(c.r.Context(), c.issuer.Name, id, a.entry(c, done)); err != nil {
		return err
	}
	a.logged(c, done)
	return c.gone()
}

func (a *API) importAccounts(c *call) error {
	return importRows(a, c, &table[registry.Account]{
		imported: change{action: "account.import", object: "accounts"},
		row: func(line []byte) (registry.Account, error) {
			account := registry.Account{Issuer: c.issuer.Name}
			m := accountMembers(&account)
			m["id"] = text(&account.ID)
			if err := m.decode(line); err != nil {
				return account, err
			}
			return account, account.Check(c.issuer)
		},
		put: a.Accounts.PutAccounts,
	})
}
