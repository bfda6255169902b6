package admin

import (
	"slices"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
)

// credential is a kind of credential of clients: T as it is registered, V as it is shown.
type credential[T, V any] struct {
	noun string // in errors
	path string // below that of the client
	// action is how the actions of changes begin.
	action func(*T) string
	all    func(*registry.Client) *[]T
	id     func(*T) string
	view   func(a *API, c *call, t *T, lastUsed time.Time) V
	// disabled is the member of that name, and members are those that can be changed beside it.
	disabled func(*T) *bool
	members  func(*T) members
	// check, if not nil, returns why a changed one could never be used.
	check func(*T) error
}

// views shows all of a client, with the times when each was last used.
func (k *credential[T, V]) views(a *API, c *call, client *registry.Client, used map[string]time.Time) []V {
	return views(*k.all(client), func(t *T) V { return k.view(a, c, t, used[k.id(t)]) })
}

// change is a change of t.
func (k *credential[T, V]) change(verb string, client *registry.Client, t *T) change {
	return change{k.action(t) + "." + verb, "clients/" + client.ID + "/" + k.path + "/" + k.id(t), client.ID}
}

// find returns the index of the one in the path. It clones the slice first, so that the
// elements may be changed in place.
func (k *credential[T, V]) find(c *call, client *registry.Client) (int, error) {
	all := k.all(client)
	*all = slices.Clone(*all)
	id := c.r.PathValue("credential")
	for i := range *all {
		if k.id(&(*all)[i]) == id {
			return i, nil
		}
	}
	return 0, notFound(k.noun, id)
}

// resources are the operations by their paths below the client's. add registers one.
func (k *credential[T, V]) resources(a *API, add func(*call) error) map[string]methods {
	return map[string]methods{
		"/" + k.path:                   {"GET": read(func(c *call) error { return k.list(a, c) }), "POST": write(add)},
		"/" + k.path + "/{credential}": {"PATCH": write(func(c *call) error { return k.set(a, c) }), "DELETE": write(func(c *call) error { return k.remove(a, c) })},
	}
}

// add registers the one that register makes, which more may change in what is shown.
func (k *credential[T, V]) add(a *API, c *call, register func(*registry.Client) (T, error), more func(*V)) error {
	var added T
	_, err := a.editClient(c, func(client *registry.Client) (done change, err error) {
		added, err = register(client)
		return k.change("add", client, &added), err
	})
	if err != nil {
		return err
	}
	view := k.view(a, c, &added, time.Time{})
	if more != nil {
		more(&view)
	}
	return c.created(k.id(&added), view)
}

func (k *credential[T, V]) list(a *API, c *call) error {
	client, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	p, err := c.paging()
	if err != nil {
		return err
	}
	all := *k.all(client)
	if p.after != "" {
		all = all[slices.IndexFunc(all, func(t T) bool { return k.id(&t) == p.after })+1:]
	}
	return replyPage(c, p, all[:min(len(all), p.limit)], k.id, func(t *T) V { return k.view(a, c, t, used[k.id(t)]) })
}

func (k *credential[T, V]) set(a *API, c *call) error {
	_, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	var set V
	_, err = a.editClient(c, func(client *registry.Client) (change, error) {
		i, err := k.find(c, client)
		if err != nil {
			return change{}, err
		}
		t := &(*k.all(client))[i]
		before, m := *k.disabled(t), k.members(t)
		m["disabled"] = flag(k.disabled(t))
		err = c.decode(m)
		if err == nil && k.check != nil {
			err = k.check(t)
		}
		set = k.view(a, c, t, used[k.id(t)])
		return k.change(verb(before, *k.disabled(t)), client, t), err
	})
	return c.outcome(set, err)
}

func (k *credential[T, V]) remove(a *API, c *call) error {
	_, err := a.editClient(c, func(client *registry.Client) (change, error) {
		i, err := k.find(c, client)
		if err != nil {
			return change{}, err
		}
		all := k.all(client)
		done := k.change("remove", client, &(*all)[i])
		*all = slices.Delete(*all, i, i+1)
		return done, nil
	})
	if err != nil {
		return err
	}
	return c.gone()
}

func state(notAfter time.Time, disabled bool, created, lastUsed time.Time) adminapi.CredentialState {
	return adminapi.CredentialState{NotAfter: notAfter, Disabled: disabled, Created: created, LastUsed: lastUsed}
}

// itself is the action of a kind that has one name.
func itself[T any](noun string) func(*T) string { return func(*T) string { return noun } }
