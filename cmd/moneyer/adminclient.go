package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"moneyer/assertion"
	"moneyer/internal/admin"
	"moneyer/internal/adminclient"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// beside is the path of a file that the admin file at path names.
func beside(path, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(path), name)
}

// onboarding is what the commands share that talk to the admin API.
type onboarding struct {
	*app
	file, issuer string // the flags
	api          *adminAPI
}

// noun makes the command of a noun, whose verbs talk to the admin API.
func (o *onboarding) noun(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&o.file, "admin", "", "the admin `file` (default $MONEYER_ADMIN, else "+adminclient.DefaultFile+")")
	c.AddCommand(verbs...)
	return c
}

// ofIssuer is noun for what belongs to an issuer.
func (o *onboarding) ofIssuer(c *cobra.Command, verbs ...*cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&o.issuer, "issuer", "", "the issuer by its `name` (default the server's only one)")
	if err := c.RegisterFlagCompletionFunc("issuer", o.completeIssuers); err != nil {
		panic(err) // there is no such flag: a mistake in this program
	}
	return o.noun(c, verbs...)
}

// wants refuses another number of arguments than those named.
func wants(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%s wants %s, and %d arguments came; see '%s --help'", c.CommandPath(), strings.Join(names, " "), len(args), c.CommandPath())
		}
		return nil
	}
}

// adminAPI is the admin API as the commands call it.
type adminAPI struct {
	file string // where its address and key stand
	adminclient.File
	http *http.Client
}

// open reads the admin file, once.
func (o *onboarding) open() (*adminAPI, error) {
	if o.api != nil {
		return o.api, nil
	}
	path := cmp.Or(o.file, os.Getenv("MONEYER_ADMIN"), adminclient.DefaultFile)
	file, err := adminclient.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no admin file %s: name it with --admin or $MONEYER_ADMIN ('moneyer init' makes the first)", path)
	}
	if err != nil {
		return nil, usage(err)
	}
	key, err := assertion.ParseKey([]byte(file.PrivateKey))
	if err != nil {
		return nil, usagef("%s: private_key: %w", path, plain(err))
	}
	base, err := transport(beside(path, file.TLSCA), beside(path, file.TLSCert), beside(path, file.TLSKey))
	if err != nil {
		return nil, usagef("%s: tls_ca, tls_cert, tls_key: %w", path, err)
	}
	source := &tokensource.Source{Issuer: file.Issuer, Now: o.now, HTTPClient: &http.Client{Transport: base},
		Credential: tokensource.Credential{ClientID: file.ClientID, Key: key, Kid: file.Kid, Grant: oauth.JWTBearer}}
	o.api = &adminAPI{file: path, File: file, http: &http.Client{Transport: &tokensource.Transport{Source: source, Base: base}}}
	return o.api, nil
}

// path joins segments, each escaped, below the API's prefix.
func (api *adminAPI) path(segments ...string) string {
	path := strings.TrimSuffix(api.URL, "/") + admin.Prefix
	for _, segment := range segments {
		escaped := url.PathEscape(segment)
		if strings.Trim(segment, ".") == "" { // which would mean another folder
			escaped = strings.ReplaceAll(segment, ".", "%2E")
		}
		path += "/" + escaped
	}
	return path
}

// do sends a request whose body is in as JSON, and reads the answer into out.
// Either may be nil.
func (api *adminAPI) do(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	resp, err := api.send(ctx, method, url, "application/json", body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return trouble(fmt.Errorf("the answer of %s: %w", api.URL, err))
	}
	return nil
}

// send sends a request and returns the answer if it is a success.
func (api *adminAPI) send(ctx context.Context, method, url, mediaType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, usage(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := api.http.Do(req)
	if err != nil {
		return nil, api.unreached(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer func() { _ = resp.Body.Close() }()
		return nil, api.refusal(resp)
	}
	return resp, nil
}

// unreached is the failure of a request that got no answer: there was no token,
// or no connection.
func (api *adminAPI) unreached(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var told *oauth.Error
	var stranger x509.UnknownAuthorityError
	switch {
	case errors.As(err, &stranger):
		return trouble(fmt.Errorf("%s: %w; if a private authority made it, name its certificate as tls_ca in %s", api.URL, plain(err), api.file))
	case errors.As(err, &told) && !told.Code.Retryable() && told.Code != oauth.ServerError:
		return refused(fmt.Errorf("%s: the server gives client %q no token for key %q: %s", api.file, api.ClientID, api.Kid, told.Description))
	case errors.Is(err, syscall.ECONNREFUSED):
		return trouble(fmt.Errorf("no server at %s: start it with 'moneyer serve'", api.URL))
	case told == nil && api.mayLackCertificate(err):
		return trouble(fmt.Errorf("%w; if the listener wants a client certificate, name one as tls_cert and tls_key in %s", plain(err), api.file))
	default:
		return trouble(plain(err))
	}
}

// mayLackCertificate tells whether a request may have failed for want of a client
// certificate. What a listener says of that does not always arrive.
func (api *adminAPI) mayLackCertificate(err error) bool {
	var op *net.OpError
	unconnected := errors.As(err, &op) && op.Op == "dial"
	return api.TLSCert == "" && strings.HasPrefix(api.URL, "https:") && !unconnected
}

// refusal is the failure that an answer tells of.
func (api *adminAPI) refusal(resp *http.Response) error {
	var told admin.Failure
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == "application/json" {
		_ = json.NewDecoder(io.LimitReader(resp.Body, maxInput)).Decode(&told) // the status is enough
	}
	text := errors.New(visible(cmp.Or(told.Description, string(told.Code), resp.Status)))
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return refused(fmt.Errorf("%s: what client %q asks is not granted: %w", api.file, api.ClientID, text))
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return trouble(text)
	default:
		return refused(text)
	}
}

// list reads all pages of a list.
func list[T any](ctx context.Context, api *adminAPI, path string) ([]T, error) {
	all := []T{}
	after := ""
	for {
		var page admin.Page[T]
		query := url.Values{"limit": {"1000"}}
		if after != "" {
			query.Set("after", after)
		}
		if err := api.do(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// below opens the API and returns the path of something of the issuer that
// --issuer names, or of the server's only one.
func (o *onboarding) below(ctx context.Context, segments ...string) (*adminAPI, string, error) {
	api, err := o.open()
	if err != nil {
		return nil, "", err
	}
	if o.issuer == "" {
		if o.issuer, err = onlyIssuer(ctx, api); err != nil {
			return nil, "", err
		}
	}
	return api, api.path(append([]string{"issuers", o.issuer}, segments...)...), nil
}

// onlyIssuer finds the one issuer that there is beside the admin API's own.
func onlyIssuer(ctx context.Context, api *adminAPI) (string, error) {
	names, err := issuerNames(ctx, api)
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", usagef("the server has no issuer beside its own; name that with --issuer, or configure another")
	case len(names) > 1:
		return "", usagef("--issuer is missing: the server has %s", strings.Join(names, ", "))
	}
	return names[0], nil
}

func issuerNames(ctx context.Context, api *adminAPI) ([]string, error) {
	issuers, err := list[admin.Issuer](ctx, api, api.path("issuers"))
	var names []string
	for _, issuer := range issuers {
		if issuer.URL != api.Issuer {
			names = append(names, issuer.Name)
		}
	}
	return names, err
}

func (o *onboarding) completeIssuers(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	api, err := o.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := issuerNames(c.Context(), api)
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeIDs completes the first argument by the IDs of one page of a list.
func (o *onboarding) completeIDs(segment string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // a file may follow
		}
		api, path, err := o.below(c.Context(), segment)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var page admin.Page[struct {
			ID string `json:"id"`
		}]
		_ = api.do(c.Context(), http.MethodGet, path+"?limit=1000", nil, &page) // no list, no help
		var ids []string
		for _, item := range page.Items {
			if strings.HasPrefix(item.ID, typed) {
				ids = append(ids, item.ID)
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// day is the format of a date in a flag.
const day = "2006-01-02"

// parseMoment reads a time in a flag: a point in time, a date, a span from now
// such as 90d or 12h, or never, which is the zero time.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" || text == "never" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, day} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	hours := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		hours = days + "h"
	}
	span, err := time.ParseDuration(hours)
	if err != nil {
		return time.Time{}, usagef("--%s wants a time such as 2026-12-31T23:59:59Z, a date, a span from now such as 90d or 12h, or never", flag)
	}
	if hours != text {
		span *= 24
	}
	return now.Add(span).UTC().Truncate(time.Second), nil
}

// setMoment puts the time of a flag that was given among the members of a
// request; never is null.
func (o *onboarding) setMoment(c *cobra.Command, flag string, members map[string]any) error {
	if !c.Flags().Changed(flag) {
		return nil
	}
	t, err := parseMoment(flag, c.Flag(flag).Value.String(), o.now())
	if err != nil {
		return err
	}
	name := strings.ReplaceAll(flag, "-", "_")
	if members[name] = nil; !t.IsZero() {
		members[name] = t
	}
	return nil
}

// when shows a time by its distance from now, and none as otherwise says.
func (o *onboarding) when(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return inWords(t.Sub(o.now()))
}

// state says in a word whether something may be used now.
func (o *onboarding) state(disabled bool, notBefore, notAfter time.Time) string {
	now := o.now()
	switch {
	case disabled:
		return o.paint(bad, "disabled")
	case now.Before(notBefore):
		return "not yet"
	case !notAfter.IsZero() && !now.Before(notAfter):
		return o.paint(bad, "over")
	default:
		return o.paint(good, "in force")
	}
}

// enabled says in a word whether something is not disabled.
func (o *onboarding) enabled(disabled bool) string {
	if disabled {
		return o.paint(bad, "disabled")
	}
	return o.paint(good, "enabled")
}

// done tells what was done: v for scripts, a sentence for people.
func (o *onboarding) done(v any, format string, args ...any) error {
	if o.json {
		return o.printJSON(v)
	}
	_, err := fmt.Fprintln(o.out, visible(fmt.Sprintf(format, args...)))
	return err
}

// shown answers with a table for people, with v for scripts.
func (o *onboarding) shown(v any, heading []string, rows [][]string) error {
	switch {
	case o.json:
		return o.printJSON(v)
	case len(rows) == 0:
		_, err := fmt.Fprintln(o.out, "none")
		return err
	default:
		return o.table(heading, rows)
	}
}
