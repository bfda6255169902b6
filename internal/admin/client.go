package admin

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

func viewClient(c *registry.Client) adminapi.Client {
	return adminapi.Client{Issuer: c.Issuer, ID: c.ID, Name: c.Name, Revision: c.Revision, Disabled: c.Disabled, Grants: c.Grants,
		Scope: c.Scope.String(), Introspects: c.Introspects, Attributes: c.Attributes, JWKSURI: c.JWKSURI, Subjects: c.Subjects, BoundTokens: c.BoundTokens,
		AssertionAudience: c.AssertionAudience, Created: c.Created, Unverified: c.Unverified}
}

// warned is the view of a client with its warnings.
func warned(client *registry.Client, issuer *registry.Issuer) adminapi.Client {
	view := viewClient(client)
	view.Warnings = client.Warnings(issuer)
	return view
}

func (a *API) listIssuers(c *call) error {
	issuers := a.Issuers()
	list := make([]adminapi.Issuer, len(issuers))
	for n, i := range issuers {
		list[n] = adminapi.Issuer{Name: i.Name, URL: i.URL, Profile: i.Profile.Name, Environment: i.Environment, Disabled: i.Disabled}
	}
	slices.SortFunc(list, func(a, b adminapi.Issuer) int { return strings.Compare(a.Name, b.Name) })
	return replyCut(c, list, func(i *adminapi.Issuer) string { return i.Name })
}

func (a *API) listClients(c *call) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	clients, err := a.Clients.Clients(c.r.Context(), c.issuer.Name, p.after, p.limit)
	if err != nil {
		return err
	}
	return replyPage(c, p, clients, func(c **registry.Client) string { return (*c).ID },
		func(c **registry.Client) adminapi.Client { return viewClient(*c) })
}

// client returns the client in the path.
func (a *API) client(c *call) (*registry.Client, error) {
	return a.Clients.Client(c.r.Context(), c.issuer.Name, c.r.PathValue("client"))
}

// clientInUse returns the client in the path, and when its credentials were last used.
func (a *API) clientInUse(c *call) (*registry.Client, map[string]time.Time, error) {
	client, err := a.client(c)
	if err != nil {
		return nil, nil, err
	}
	used, err := a.Clients.LastUsed(c.r.Context(), c.issuer.Name, client.ID)
	return client, used, err
}

func (a *API) showClient(c *call) error {
	client, used, err := a.clientInUse(c)
	if err != nil {
		return err
	}
	view := warned(client, c.issuer)
	view.Keys, view.Secrets = keys.views(a, c, client, used), secrets.views(a, c, client, used)
	view.Certificates, view.Identities = certificates.views(a, c, client, used), identities.views(a, c, client, used)
	return c.reply(view)
}

func (a *API) addClient(c *call) error {
	client := &registry.Client{Issuer: c.issuer.Name, Created: a.Now().UTC()}
	m := clientMembers(client, c.issuer)
	m["id"] = text(&client.ID)
	if err := c.decode(m); err != nil {
		return err
	}
	if err := client.Check(c.issuer); err != nil {
		return err
	}
	done := change{"client.add", "clients/" + client.ID, client.ID}
	err := a.Clients.PutClient(c.r.Context(), client, a.entry(c, done))
	if errors.Is(err, registry.ErrConflict) {
		return oauth.Errorf(adminapi.CodeConflict, "client %s exists already", client.ID)
	}
	if err != nil {
		return err
	}
	a.logged(c, done)
	client.Revision++
	return c.created(client.ID, warned(client, c.issuer))
}

// clientMembers are the members of a client that may be set and changed.
func clientMembers(client *registry.Client, issuer *registry.Issuer) members {
	return members{
		"name":        text(&client.Name),
		"scope":       scope(&client.Scope),
		"grants":      texts(&client.Grants),
		"attributes":  attributes(&client.Attributes),
		"jwks_uri":    jwksURI(client, issuer),
		"introspects": flag(&client.Introspects),
		"disabled":    flag(&client.Disabled),

		"subjects":                  texts(&client.Subjects),
		"bound_tokens":              text(&client.BoundTokens),
		"client_assertion_audience": assertionAudience(&client.AssertionAudience),
	}
}

// assertionAudience reads the setting, of which the default has a name, too.
func assertionAudience(to *registry.AssertionAudience) func(strictjson.Value) error {
	return func(v strictjson.Value) error {
		err := text(to)(v)
		if *to == "issuer" {
			*to = registry.AudienceIssuer
		}
		return err
	}
}

func jwksURI(client *registry.Client, issuer *registry.Issuer) func(strictjson.Value) error {
	return func(v strictjson.Value) error {
		var uri string
		err := text(&uri)(v)
		client.SetJWKSURI(issuer, uri)
		return err
	}
}

func (a *API) setClient(c *call) error {
	client, err := a.editClient(c, func(client *registry.Client) (change, error) {
		before := *client
		if err := c.decode(clientMembers(client, c.issuer)); err != nil {
			return change{}, err
		}
		done := change{"client." + verb(before.Disabled, client.Disabled), "clients/" + client.ID, client.ID}
		if before.Disabled = client.Disabled; reflect.DeepEqual(&before, client) {
			return done, nil // a setting that the configuration no longer uses keeps no client from being disabled
		}
		return done, client.Check(c.issuer)
	})
	if err != nil {
		return err
	}
	return c.reply(warned(client, c.issuer))
}

// verb names a change of the member disabled.
func verb(before, after bool) string {
	switch {
	case after && !before:
		return "disable"
	case before && !after:
		return "enable"
	default:
		return "set"
	}
}

func (a *API) removeClient(c *call) error {
	id := c.r.PathValue("client")
	if a.isSelf(c, id) {
		return lockout("it would remove the client that asks")
	}
	done := change{"client.remove", "clients/" + id, id}
	if err := a.Clients.RemoveClient(c.r.Context(), c.issuer.Name, id, a.entry(c, done)); err != nil {
		return err
	}
	a.logged(c, done)
	return c.gone()
}

// maxAttempts bounds how often a change is retried after a conflict.
const maxAttempts = 20

// editClient calls edit with a copy of the client in the path, and stores the result
// with its ledger entry. After a concurrent change it tries again with the new client.
// The copy is shallow: edit must not change the contents of its maps and slices.
func (a *API) editClient(c *call, edit func(*registry.Client) (change, error)) (*registry.Client, error) {
	var (
		err   error
		taken *registry.IdentityTakenError
	)
	for range maxAttempts {
		var stored *registry.Client
		if stored, err = a.client(c); err != nil {
			return nil, err
		}
		edited := *stored
		var done change
		if done, err = edit(&edited); err != nil {
			return nil, err
		}
		if err = a.checkSelf(c, stored, &edited); err != nil {
			return nil, err
		}
		err = a.Clients.PutClient(c.r.Context(), &edited, a.entry(c, done))
		if err == nil {
			a.logged(c, done)
			edited.Revision++
			return &edited, nil
		}
		if !errors.Is(err, registry.ErrConflict) || errors.As(err, &taken) { // another client keeps its identity
			return nil, err
		}
	}
	return nil, fmt.Errorf("client %q: %w, %d times in a row", c.r.PathValue("client"), err, maxAttempts)
}
