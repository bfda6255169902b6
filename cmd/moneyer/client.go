package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moneyer/internal/admin"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

func (o *onboarding) clientCommand() *cobra.Command {
	return o.ofIssuer(&cobra.Command{
		Use:   "client",
		Short: "Register, show and change clients",
		Long: `A client is a registered caller: its keys, secrets and API keys are what it shows
('moneyer key', 'moneyer secret', 'moneyer apikey'), its scope is all that a token
for it may carry, and its attributes feed the claims that the profile takes from
them ('moneyer profile show PROFILE').`,
		Example: `  moneyer client add merchant01 --issuer d1 --scope d1-s2s:api:merchant-gtw
  moneyer key add merchant01 public.pem --issuer d1 --kid key-1`,
	}, o.clientAdd(), o.clientShow(), o.clientList(), o.clientSet(), o.clientSwitch("disable", true), o.clientSwitch("enable", false), o.clientRemove())
}

// clientFlags are what can be said of a client.
type clientFlags struct {
	name, scope, jwksURI string
	grants               []string
	introspects          bool
	attributes           attributeFlags
}

func (f *clientFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "", "a name for people")
	flags.StringVar(&f.scope, "scope", "", "all `words` that a token may carry, separated by spaces")
	flags.StringArrayVar(&f.grants, "grant", nil, "a `grant` that the client may use: client_credentials or jwt-bearer; repeat for more (default all of the profile)")
	flags.StringVar(&f.jwksURI, "jwks-uri", "", "the https `URL` where the client publishes its keys")
	flags.BoolVar(&f.introspects, "introspects", false, "whether the client may ask about tokens of others (RFC 7662): true or false")
	complete(c, "grant", string(oauth.ClientCredentials), "jwt-bearer")
	f.attributes.add(c)
}

// members are those of the flags that were given.
func (f *clientFlags) members(c *cobra.Command) (map[string]any, error) {
	members := map[string]any{}
	for flag, value := range map[string]string{"name": f.name, "scope": f.scope, "jwks-uri": f.jwksURI} {
		if c.Flags().Changed(flag) {
			members[strings.ReplaceAll(flag, "-", "_")] = value
		}
	}
	if c.Flags().Changed("introspects") {
		members["introspects"] = f.introspects
	}
	if c.Flags().Changed("grant") {
		grants := []oauth.GrantType{}
		for _, name := range f.grants {
			if name == "jwt-bearer" {
				name = string(oauth.JWTBearer)
			}
			if name != "" {
				grants = append(grants, oauth.GrantType(name))
			}
		}
		members["grants"] = grants
	}
	return members, f.attributes.put(members)
}

// attributeFlags are the attributes of a client or merchant.
type attributeFlags struct{ texts, lists []string }

func (f *attributeFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.texts, "attribute", nil, "an attribute, `name=value`; without a value it is taken away; repeat for more")
	c.Flags().StringArrayVar(&f.lists, "attribute-list", nil, "an attribute that is a list, `name=a,b`; repeat for more")
	complete(c, "attribute")
	complete(c, "attribute-list")
}

// put puts the attributes among the members of a request.
func (f *attributeFlags) put(members map[string]any) error {
	attributes := map[string]any{}
	for _, pair := range f.texts {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return usagef("--attribute is written name=value")
		}
		if attributes[name] = nil; value != "" {
			attributes[name] = value
		}
	}
	for _, pair := range f.lists {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return usagef("--attribute-list is written name=a,b")
		}
		attributes[name] = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
	}
	if len(attributes) > 0 {
		members["attributes"] = attributes
	}
	return nil
}

func (o *onboarding) clientAdd() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:   "add CLIENT",
		Short: "Register a client",
		Example: `  moneyer client add merchant01 --issuer d1 --scope d1-s2s:api:merchant-gtw --name "The merchant"
  moneyer client add shop --issuer bolt --scope "openid roles" --attribute accountId=42 --attribute-list roles=buyer,seller`,
		Args: wants("CLIENT"),
		RunE: func(c *cobra.Command, args []string) error {
			members, err := f.members(c)
			if err != nil {
				return err
			}
			api, path, err := o.below(c.Context(), "clients")
			if err != nil {
				return err
			}
			members["id"] = args[0]
			var made admin.Client
			if err := api.do(c.Context(), http.MethodPost, path, members, &made); err != nil {
				return err
			}
			return o.done(made, "client %s is registered with issuer %s; next give it a key, a secret or an API key", made.ID, made.Issuer)
		},
	}
	f.add(c)
	return c
}

func (o *onboarding) clientShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show CLIENT",
		Short:             "Show a client with its keys and secrets, and when each was last used",
		Example:           `  moneyer client show merchant01 --issuer d1`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0])
			if err != nil {
				return err
			}
			var client admin.Client
			if err := api.do(c.Context(), http.MethodGet, path, nil, &client); err != nil {
				return err
			}
			return o.showClient(&client)
		},
	}
}

func (o *onboarding) showClient(client *admin.Client) error {
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
	add("registered", o.when(client.Created, ""))
	if err := writeTable(o.out, rows); err != nil {
		return err
	}
	if len(client.Keys) > 0 {
		fmt.Fprintln(o.out)
		if err := o.table(keyHeading, o.keyRows(client.Keys)); err != nil {
			return err
		}
	}
	if len(client.Secrets) > 0 {
		fmt.Fprintln(o.out)
		return o.table(secretHeading, o.secretRows(client.Secrets))
	}
	return nil
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
	return &cobra.Command{
		Use:     "list",
		Short:   "List the clients of an issuer",
		Example: `  moneyer client list --issuer d1 --json`,
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			api, path, err := o.below(c.Context(), "clients")
			if err != nil {
				return err
			}
			clients, err := list[admin.Client](c.Context(), api, path)
			if err != nil {
				return err
			}
			var rows [][]string
			for i := range clients {
				cl := &clients[i]
				rows = append(rows, []string{visible(cl.ID), visible(cl.Name), o.enabled(cl.Disabled), visible(cl.Scope), o.when(cl.Created, "")})
			}
			return o.shown(clients, []string{"CLIENT", "NAME", "STATE", "SCOPE", "REGISTERED"}, rows)
		},
	}
}

func (o *onboarding) clientSet() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use:   "set CLIENT",
		Short: "Change a client: what no flag names stays as it is",
		Example: `  moneyer client set merchant01 --issuer d1 --scope "a b"
  moneyer client set shop --issuer bolt --attribute-list roles=buyer --attribute accountId=
  moneyer client set gateway --issuer bolt --introspects=true`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			members, err := f.members(c)
			if err != nil {
				return err
			}
			if len(members) == 0 {
				return usagef("nothing to change: give --name, --scope, --grant, --attribute, --attribute-list, --jwks-uri or --introspects")
			}
			return o.patchClient(c, args[0], members, "changed")
		},
	}
	f.add(c)
	return c
}

func (o *onboarding) clientSwitch(verb string, disabled bool) *cobra.Command {
	short := "Let a client get tokens again"
	if disabled {
		short = "Let a client get no more tokens, from now on"
	}
	return &cobra.Command{
		Use:               verb + " CLIENT",
		Short:             short,
		Example:           `  moneyer client ` + verb + ` merchant01 --issuer d1`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.patchClient(c, args[0], map[string]any{"disabled": disabled}, verb+"d")
		},
	}
}

func (o *onboarding) patchClient(c *cobra.Command, id string, members map[string]any, what string) error {
	api, path, err := o.below(c.Context(), "clients", id)
	if err != nil {
		return err
	}
	var client admin.Client
	if err := api.do(c.Context(), http.MethodPatch, path, members, &client); err != nil {
		return err
	}
	return o.done(client, "client %s of issuer %s is %s (revision %s)", client.ID, client.Issuer, what, strconv.FormatInt(client.Revision, 10))
}

func (o *onboarding) clientRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove CLIENT",
		Short:             "Remove a client with its keys and secrets",
		Long:              "Remove a client with its keys and secrets. The ledger keeps what it did. A client\nthat still owns merchants stays.",
		Example:           `  moneyer client remove merchant01 --issuer d1`,
		Args:              wants("CLIENT"),
		ValidArgsFunction: o.completeIDs("clients"),
		RunE: func(c *cobra.Command, args []string) error {
			api, path, err := o.below(c.Context(), "clients", args[0])
			if err != nil {
				return err
			}
			if err := api.do(c.Context(), http.MethodDelete, path, nil, nil); err != nil {
				return err
			}
			return o.removed("client", args[0], "with its keys and secrets")
		},
	}
}

// removed tells what was removed.
func (o *onboarding) removed(what, name, more string) error {
	answer := map[string]string{"removed": what, "id": name, "issuer": o.issuer}
	return o.done(answer, "%s", strings.TrimSpace(fmt.Sprintf("%s %s of issuer %s is removed %s", what, name, o.issuer, more)))
}
