package admin

import (
	"fmt"
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

// call is an authorized request.
type call struct {
	w http.ResponseWriter
	r *http.Request
	// actor is the client identifier of the token.
	actor string
	// issuer is the issuer in the path; nil where the path has none.
	issuer *registry.Issuer
	// sent is the body, once it is read.
	sent []byte
}

// operation implements a method of a resource, and names the scope it requires.
type operation struct {
	scope string
	do    func(*call) error
}

func read(do func(*call) error) operation  { return operation{adminapi.ScopeRead, do} }
func write(do func(*call) error) operation { return operation{adminapi.ScopeWrite, do} }

// methods are the operations of a resource.
type methods map[string]operation

// resource serves one path: it finds the operation, verifies the token (RFC 6750 §3),
// finds the issuer, and writes the error if there is one.
func (a *API) resource(m methods) http.Handler {
	guarded := map[string]http.Handler{}
	for method, op := range m {
		guarded[method] = a.admit(a.Verifier.Require(op.scope)(a.run(op)))
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

// run executes an operation for a request with a verified token.
func (a *API) run(op operation) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, actor: bearer.ClaimsFrom(r.Context()).ClientID}
		a.verified(w, r)
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
		names := make([]string, len(issuers))
		for n, known := range issuers {
			names[n] = known.Name
		}
		slices.Sort(names)
		return fmt.Errorf("%w; there is %s", notFound("issuer", name), strings.Join(names, ", "))
	}
	c.issuer = issuers[i]
	return nil
}

// change names what an operation did, for the ledger and the log. client is the owner
// of the changed object, if it has one.
type change struct{ action, object, client string }

// entry is the ledger entry of a change.
func (a *API) entry(c *call, done change) *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: a.Now().UTC(), Issuer: c.issuer.Name, Client: done.client,
		Actor: c.actor, Action: done.action, Object: done.object}
}

// logged logs a change.
func (a *API) logged(c *call, done change) {
	a.Log.LogAttrs(c.r.Context(), slog.LevelInfo, "registry changed", slog.String("issuer", c.issuer.Name),
		slog.String("action", done.action), slog.String("object", done.object), slog.String("actor", c.actor))
}

// reply writes v.
func (c *call) reply(v any) error {
	writeJSON(c.w, http.StatusOK, v)
	return nil
}

// outcome writes v, or returns err.
func (c *call) outcome(v any, err error) error {
	if err != nil {
		return err
	}
	return c.reply(v)
}

// created writes v with 201 and its location below the path (RFC 9110 §15.3.2).
func (c *call) created(id string, v any) error {
	c.w.Header().Set("Location", c.r.URL.EscapedPath()+"/"+url.PathEscape(id))
	writeJSON(c.w, http.StatusCreated, v)
	return nil
}

// gone writes the response to a removal.
func (c *call) gone() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// The bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// paging selects a page of a list.
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

// views converts each item.
func views[S, T any](items []S, view func(*S) T) []T {
	shown := make([]T, len(items))
	for i := range items {
		shown[i] = view(&items[i])
	}
	return shown
}

// replyPage writes a page of items as view converts them. The next page begins after
// the id of the last one.
func replyPage[S, T any](c *call, p paging, items []S, id func(*S) string, view func(*S) T) error {
	page := adminapi.Page[T]{Items: views(items, view)}
	if len(items) == p.limit {
		page.Next = id(&items[len(items)-1])
	}
	return c.reply(page)
}

// replyCut writes a page of a complete list, in its order.
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

// same is a view that changes nothing.
func same[T any](v *T) T { return *v }
