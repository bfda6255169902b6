package admin

import (
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"moneyer/bearer"
	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// call is a request that was let in.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// actor is the client identifier of the token.
	actor string
	// issuer that the path names; nil where it names none.
	issuer *registry.Issuer
	// sent is the body, once it was read.
	sent []byte
}

// operation is what a method does at a resource, and the scope that it takes.
type operation struct {
	scope string
	do    func(*call) error
}

func read(do func(*call) error) operation  { return operation{adminapi.ScopeRead, do} }
func write(do func(*call) error) operation { return operation{adminapi.ScopeWrite, do} }

// methods are the operations of a resource.
type methods map[string]operation

// resource serves one path: it finds the operation, has the verifier judge the token
// (RFC 6750 §3), finds the issuer, and answers the error when there is one.
func (a *API) resource(m methods) http.Handler {
	guarded := map[string]http.Handler{}
	for method, op := range m {
		guarded[method] = a.Verifier.Require(op.scope)(a.run(op))
	}
	allow := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if h, ok := guarded[r.Method]; ok {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", allow)
		a.fail(w, r, oauth.Errorf(oauth.MethodNotAllowed, "the method here is %s", allow))
	})
}

// run does an operation for a request whose token the verifier accepted.
func (a *API) run(op operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, actor: bearer.ClaimsFrom(r.Context()).ClientID}
		err := a.findIssuer(c)
		if err == nil {
			err = op.do(c)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// findIssuer finds the issuer that the path names.
func (a *API) findIssuer(c *call) error {
	name := c.r.PathValue("issuer")
	if name == "" {
		return nil
	}
	issuers := a.Issuers()
	i := slices.IndexFunc(issuers, func(i *registry.Issuer) bool { return i.Name == name })
	if i < 0 {
		return notFound("issuer", name)
	}
	c.issuer = issuers[i]
	return nil
}

// change is what an operation did, as the ledger and the log name it. A change of
// what belongs to a client names the client.
type change struct{ action, object, client string }

// entry is the ledger entry of a change.
func (a *API) entry(c *call, done change) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: a.Now().UTC(), Issuer: c.issuer.Name, Client: done.client,
		Actor: c.actor, Action: done.action, Object: done.object}
}

// logged tells the log of a change.
func (a *API) logged(c *call, done change) {
	a.Log.LogAttrs(c.r.Context(), slog.LevelInfo, "registry changed", slog.String("issuer", c.issuer.Name),
		slog.String("action", done.action), slog.String("object", done.object), slog.String("actor", c.actor))
}

// reply answers with v.
func (c *call) reply(v any) error {
	writeJSON(c.w, http.StatusOK, v)
	return nil
}

// outcome answers with v, unless there is an error.
func (c *call) outcome(v any, err error) error {
	if err != nil {
		return err
	}
	return c.reply(v)
}

// created answers with v, which is new and lives at the path below this one
// (RFC 9110 §15.3.2).
func (c *call) created(id string, v any) error {
	c.w.Header().Set("Location", c.r.URL.EscapedPath()+"/"+url.PathEscape(id))
	writeJSON(c.w, http.StatusCreated, v)
	return nil
}

// gone answers for what was removed.
func (c *call) gone() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// The bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// paging is where a page begins and how long it may be.
type paging struct {
	after string
	limit int
}

// paging reads after and limit.
func (c *call) paging() (paging, error) {
	p := paging{limit: defaultPage}
	err := c.query(parameters{"after": word(&p.after), "limit": number(&p.limit, 1, maxPage)})
	return p, err
}

// views shows each item.
func views[S, T any](items []S, view func(*S) T) []T {
	shown := make([]T, len(items))
	for i := range items {
		shown[i] = view(&items[i])
	}
	return shown
}

// replyPage answers with a page of which view shows each item, and id names the
// last one to begin the next page after.
func replyPage[S, T any](c *call, p paging, items []S, id func(*S) string, view func(*S) T) error {
	page := adminapi.Page[T]{Items: views(items, view)}
	if len(items) == p.limit {
		page.Next = id(&items[len(items)-1])
	}
	return c.reply(page)
}

// replyCut answers with a page of a list that is all in memory, in the order that
// it has.
func replyCut[T any](c *call, items []T, id func(*T) string) error {
	p, err := c.paging()
	if err != nil {
		return err
	}
	if p.after != "" {
		i := slices.IndexFunc(items, func(item T) bool { return id(&item) == p.after })
		items = items[i+1:]
	}
	return replyPage(c, p, items[:min(len(items), p.limit)], id, same)
}

// same shows an item as it is.
func same[T any](v *T) T { return *v }
