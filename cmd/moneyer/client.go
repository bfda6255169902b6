package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

func (o *onboarding) clientCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "client",
		Short: "Register, show and change clients",
		Long: `A client is a registered caller. It authenticates with its keys, secrets, API keys,
certificates and identities ('moneyer key', 'secret', 'apikey', 'certificate',
'identity'). Its scope bounds the scope of its tokens, and its attributes are the
source of the claims that the profile names ('moneyer profile show PROFILE').`,
		Example: `  moneyer client add merchant01 --issuer d1 --scope d1-s2s:api:merchant-gtw
  moneyer key add merchant01 public.pem --issuer d1 --kid key-1`,
	}, append(o.clientVerbs(), o.clientAdd(), o.clientList())...)
}

// clientFlags are the flags that describe a client.
type clientFlags struct {
	name, scope, jwksURI  string
	grants, subjects      []string
	introspects           bool
	boundTokens, audience string
	attributes            attributeFlags
}

func (f *clientFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "a name for people")
	flags.StringVar(&f.scope, "scope", "", "all `words` that a token may carry, separated by spaces")
	flags.StringArrayVar(&f.grants, "grant", nil, "a `grant` that the client may use: client_credentials or jwt-bearer; repeat for more (default all of the profile)")
	flags.StringVar(&f.jwksURI, "jwks-uri", "", "the https `URL` where the client publishes its keys")
	flags.BoolVar(&f.introspects, "introspects", false, "whether the client may ask about tokens of others (RFC 7662): true or false")
	flags.StringArrayVar(&f.subjects, "subject", nil, "a `subject` that the client's assertions may name beside the client itself; repeat for more, empty for none")
	flags.StringVar(&f.boundTokens, "bound-tokens", "", "`mtls` to bind each of its tokens to its certificate (RFC 8705); empty for not bound")
	flags.StringVar(&f.audience, audienceFlag, "", "what `aud` of a JWT by which it authenticates may be: issuer (the default), or issuer-or-endpoint while it migrates")
	complete(c, "grant", string(oauth.ClientCredentials), "jwt-bearer")
	complete(c, "bound-tokens", string(registry.BoundToTLS))
	complete(c, audienceFlag, audienceIssuer, string(registry.AudienceIssuerOrEndpoint))
	completeNothing(c, "subject")
	f.attributes.add(c)
}

const (
	audienceFlag   = "client-assertion-audience"
	audienceIssuer = "issuer" // the default
)

// change returns the change that the given flags describe.
func (f *clientFlags) change(c *cobra.Command) (adminapi.ClientChange, error) {
	change := adminapi.ClientChange{Name: given(c, "name", f.name), Scope: given(c, "scope", f.scope),
		JWKSURI: given(c, "jwks-uri", f.jwksURI), Introspects: given(c, "introspects", f.introspects),
		BoundTokens:       given(c, "bound-tokens", registry.Binding(f.boundTokens)),
		AssertionAudience: given(c, audienceFlag, registry.AssertionAudience(f.audience))}
	if c.Flags().Changed("subject") {
		subjects := slices.DeleteFunc(f.subjects, func(s string) bool { return s == "" })
		change.Subjects = &subjects
	}
	if c.Flags().Changed("grant") {
		grants := []oauth.GrantType{}
		for _, name := range f.grants {
			switch name {
			case "":
			case "jwt-bearer":
				grants = append(grants, oauth.JWTBearer)
			default:
				grants = append(grants, oauth.GrantType(name))
			}
		}
		change.Grants = &grants
	}
	var err error
	change.Attributes, err = f.attributes.read()
	return change, err
}

// attributeFlags are the attributes of a client or account.
type attributeFlags struct{ texts, lists []string }

func (f *attributeFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.texts, "attribute", nil, "an attribute, `name=value`; without a value it is removed; repeat for more")
	c.Flags().StringArrayVar(&f.lists, "attribute-list", nil, "an attribute that is a list, `name=a,b`; repeat for more")
	completeNothing(c, "attribute", "attribute-list")
}

// read returns the attributes by name: nil removes one.
func (f *attributeFlags) read() (map[string]*registry.Attribute, error) {
	unnamed := func(pair string) bool { return strings.IndexByte(pair, '=') < 1 }
	switch {
	case slices.ContainsFunc(f.texts, unnamed):
		return nil, usagef("--attribute is written name=value")
	case slices.ContainsFunc(f.lists, unnamed):
		return nil, usagef("--attribute-list is written name=a,b")
	case len(f.texts)+len(f.lists) == 0:
		return nil, nil
	}
	attributes := map[string]*registry.Attribute{}
	for _, pair := range f.texts {
		name, value, _ := strings.Cut(pair, "=")
		if attributes[name] = nil; value != "" {
			attributes[name] = &registry.Attribute{Text: value}
		}
	}
	for _, pair := range f.lists {
		name, value, _ := strings.Cut(pair, "=")
		list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		attributes[name] = &registry.Attribute{List: list, IsList: true}
	}
	return attributes, nil
}

func (o *onboarding) clientAdd() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: "Register a client",
		Example: `  moneyer client add merchant01 --issuer d1 --scope d1-s2s:api:merchant-gtw --name "The merchant"
  moneyer client add gateway --issuer shop --scope "orders:read" --attribute region=eu --attribute-list roles=buyer,seller`,
		RunE: func(c *cobra.Command, args []string) error {
			change, err := f.change(c)
			if err != nil {
				return err
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			made, err := at.AddClient(c.Context(), adminapi.NewClient{ID: args[0], ClientChange: change})
			o.noteWarnings(&made)
			return o.outcome(made, err, "client %s is registered with issuer %s; next give it a credential, such as a key, a secret or a certificate", made.ID, made.Issuer)
		},
	}
	f.add(c)
	return c
}

// clientVerbs are the commands for an existing client.
func (o *onboarding) clientVerbs() []*cobra.Command {
	show := o.verb("show CLIENT", "Show a client with its credentials, and when each was last used", "client show merchant01 --issuer d1",
		func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			client, err := at.ShowClient(ctx, args[0])
			if err != nil {
				return err
			}
			return o.showClient(&client)
		})
	remove := o.verb("remove CLIENT", "Remove a client with its credentials", "client remove merchant01 --issuer d1",
		func(ctx context.Context, at *adminclient.Issuer, args []string) error {
			return o.removed(at.RemoveClient(ctx, args[0]), "client", args[0], "with its credentials")
		})
	remove.Long = "Remove a client with its credentials. The ledger keeps its entries. A client that\nstill owns accounts is not removed."
	switches := o.switches("CLIENT", "Refuse a client tokens, from now on", "Let a client get tokens again", "client", "merchant01 --issuer d1",
		func(ctx context.Context, at *adminclient.Issuer, args []string, disabled bool, done string) error {
			return o.setClient(ctx, at, args[0], adminapi.ClientChange{Disabled: &disabled}, done)
		})
	return o.ofClients(append(switches, show, remove, o.clientSet())...)
}

// noteWarnings prints what the client's tokens will lack.
func (o *onboarding) noteWarnings(client *adminapi.Client) {
	for _, warning := range client.Warnings {
		o.note("%s", visible(warning))
	}
}

func (o *onboarding) showClient(client *adminapi.Client) error {
	o.noteWarnings(client)
	if o.json {
		return o.printJSON(client)
	}
	rows := [][]string{{"client", visible(client.ID)}, {"issuer", client.Issuer}, {"state", o.enabled(client.Disabled)}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, visible(value)})
		}
	}
	add("name", client.Name)
	add("grants", listed(client.Grants, " "))
	add("scope", client.Scope)
	for _, name := range slices.Sorted(maps.Keys(client.Attributes)) {
		add("attribute "+name, attributeWords(client.Attributes[name]))
	}
	add("jwks_uri", client.JWKSURI)
	if client.Introspects {
		add("introspects", "tokens of others too")
	}
	add("subjects", strings.Join(client.Subjects, " "))
	add("bound_tokens", string(client.BoundTokens))
	add("client_assertion_audience", string(client.AssertionAudience))
	add("registered", o.when(client.Created, ""))
	err := writeTable(o.out, rows)
	for _, t := range []struct {
		heading []string
		rows    [][]string
	}{
		{keyHeading, rowsOf(client.Keys, o.keyRow)}, {secretHeading, rowsOf(client.Secrets, o.secretRow)},
		{certificateHeading, rowsOf(client.Certificates, o.certificateRow)}, {identityHeading, rowsOf(client.Identities, o.identityRow)},
	} {
		if len(t.rows) > 0 && err == nil {
			fmt.Fprintln(o.out)
			err = o.table(t.heading, t.rows)
		}
	}
	return err
}

func attributeWords(a registry.Attribute) string {
	if a.IsList {
		return "[" + strings.Join(a.List, ", ") + "]"
	}
	return a.Text
}

func attributesWords(attributes map[string]registry.Attribute) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		words = append(words, name+"="+attributeWords(attributes[name]))
	}
	return strings.Join(words, " ")
}

func (o *onboarding) clientList() *cobra.Command {
	var audience string
	c := o.verb("list", "List the clients of an issuer", "client list --issuer d1 --json\n  moneyer client list --issuer d1 --"+audienceFlag+" issuer-or-endpoint",
		func(ctx context.Context, at *adminclient.Issuer, _ []string) error {
			return o.listClients(ctx, at, audience)
		})
	c.Flags().StringVar(&audience, audienceFlag, "", "only the clients with that `setting`, such as issuer-or-endpoint")
	complete(c, audienceFlag, audienceIssuer, string(registry.AudienceIssuerOrEndpoint))
	return c
}

// listClients lists the clients, of which audience selects some unless it is empty.
func (o *onboarding) listClients(ctx context.Context, at *adminclient.Issuer, audience string) error {
	if !slices.Contains([]string{"", audienceIssuer, string(registry.AudienceIssuerOrEndpoint)}, audience) {
		return usagef("--%s is %s or %s", audienceFlag, audienceIssuer, registry.AudienceIssuerOrEndpoint)
	}
	clients, err := at.Clients(ctx)
	if audience != "" {
		clients = slices.DeleteFunc(clients, func(c adminapi.Client) bool { return cmp.Or(string(c.AssertionAudience), audienceIssuer) != audience })
	}
	return show(o, clients, err, []string{"CLIENT", "NAME", "STATE", "SCOPE", "REGISTERED"}, func(c *adminapi.Client) []string {
		return []string{visible(c.ID), visible(c.Name), o.standing(c.Disabled, c.Unverified), visible(c.Scope), o.when(c.Created, "")}
	})
}

func (o *onboarding) clientSet() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:   "set CLIENT",
		Short: "Change a client; what no flag names is unchanged",
		Example: `  moneyer client set merchant01 --issuer d1 --scope "a b"
  moneyer client set gateway --issuer shop --attribute-list roles=buyer --attribute region=
  moneyer client set gateway --issuer bolt --introspects=true
  moneyer client set shop --issuer acme --bound-tokens mtls --client-assertion-audience issuer`,
		RunE: func(c *cobra.Command, args []string) error {
			change, err := f.change(c)
			if err != nil {
				return err
			}
			if reflect.ValueOf(change).IsZero() {
				return usagef("nothing to change: give --name, --scope, --grant, --attribute, --attribute-list, --jwks-uri, --introspects, --subject, --bound-tokens or --" + audienceFlag)
			}
			at, err := o.at(c.Context())
			if err != nil {
				return err
			}
			return o.setClient(c.Context(), at, args[0], change, "changed")
		},
	}
	f.add(c)
	return c
}

func (o *onboarding) setClient(ctx context.Context, at *adminclient.Issuer, id string, change adminapi.ClientChange, done string) error {
	client, err := at.SetClient(ctx, id, change)
	o.noteWarnings(&client)
	return o.outcome(client, err, "client %s of issuer %s is %s (revision %s)", client.ID, client.Issuer, done, strconv.FormatInt(client.Revision, 10))
}
