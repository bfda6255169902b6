package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moneyer/internal/platform"
	"moneyer/oauth"
	"moneyer/profile"
)

func (a *app) profileCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "profile",
		Short: "List, show and check profiles: the platforms' token endpoints as data",
		Long: `A profile describes a payment platform's token endpoint: the form of requests and
responses, what is accepted and what is granted. Some are built in. A profile of
your own is a TOML file; use its path in place of a name: --profile FILE.toml.`,
		Example: `  moneyer profile list
  moneyer profile show thales-d1 > mine.toml   start with a copy of a built-in one
  moneyer profile check mine.toml`,
	}
	c.AddCommand(a.profileList(), a.profileShow(), a.profileCheck())
	return c
}

func (a *app) profileList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the built-in profiles",
		Long:    "List the built-in profiles by the name that --profile takes.",
		Example: "  moneyer profile list",
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				Name  string `json:"name"`
				Title string `json:"title"`
				Path  string `json:"path"`
			}
			list := []row{}
			for _, name := range profile.BuiltinNames() {
				found, err := profile.Builtin(name)
				p := found.Definition()
				if err != nil {
					return err
				}
				list = append(list, row{p.Name, p.Title, p.Wire.Path})
			}
			return a.shown(list, []string{"NAME", "PLATFORM", "TOKEN ENDPOINT BELOW THE ISSUER URL"},
				rowsOf(list, func(r *row) []string { return []string{r.Name, r.Title, r.Path} }))
		},
	}
}

func (a *app) profileShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "Print a profile",
		Long: `Print the TOML text of a profile. With --json print the parsed profile, with
defaults filled in.

Each value of client_auth is a set of methods, all of which one request shows for
one client: "client_secret_basic + tls_client_auth" takes both, "none" leaves it to
the assertion that is the grant. subject = "registered" lets an assertion name a
subject that is registered with its client; the token names both. A claim cnf, from
"confirmation", binds the tokens of clients with bound_tokens to their certificate.
basic = "plain" sends and reads id and secret as they are, instead of form-encoded.
'moneyer profile check' describes a profile in words.`,
		Example: `  moneyer profile show boltpay
  moneyer profile show boltpay --json`,
		Args:              oneProfile,
		ValidArgsFunction: completeProfiles,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := publicProfile(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(tomlForm(reflect.ValueOf(*p.Definition())))
			}
			_, err = a.out.Write(p.Source())
			return err
		},
	}
}

func (a *app) profileCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Check a profile and summarize it",
		Long: `Check a profile file and print a summary. An error is reported with its line and
how to fix it; the exit code is then 2.`,
		Example: `  moneyer profile check mine.toml
  moneyer profile check thales-etp     the summary of a built-in profile`,
		Args:              oneProfile,
		ValidArgsFunction: completeProfiles,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := loadProfile(args[0])
			if err != nil {
				return err
			}
			rows := summarize(p)
			if a.json {
				summary := map[string]string{}
				for _, row := range rows {
					summary[row[0]] = row[1]
				}
				return a.printJSON(map[string]any{"name": p.Name, "title": p.Title, "summary": summary})
			}
			fmt.Fprintf(a.out, "%s %s: %s\n\n", a.paint(good, "✓"), a.paint(bold, p.Name), p.Title)
			return writeTable(a.out, rows)
		},
	}
}

func oneProfile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one profile: a name among %s, or a .toml file", c.CommandPath(), strings.Join(profile.BuiltinNames(), ", "))
	}
	return nil
}

// tomlForm converts a profile for encoding/json, with the names of its TOML keys.
func tomlForm(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		form := map[string]any{}
		for field, value := range v.Fields() {
			form[field.Tag.Get("toml")] = tomlForm(value)
		}
		return form
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = tomlForm(v.Index(i))
		}
		return list
	}
	if d, ok := v.Interface().(time.Duration); ok {
		return d.String()
	}
	return v.Interface()
}

// summarize describes a profile, topic by topic.
func summarize(p *platform.Profile) [][]string {
	wire, policy := &p.Wire, &p.Policy
	rows := [][]string{
		{"endpoint", "POST {issuer}" + strings.Join(wire.Paths(), " or ") + ", " + listed(wire.Bodies, " or ") + " body"},
		{"callers", callers(p)},
		{"client id", policy.ClientID.Length() + charset(policy.ClientID.Chars)},
		{"parameters", paramWords(wire)},
	}
	if usesAssertions(p) {
		rows = append(rows, []string{"assertion", assertionWords(policy)})
	}
	rows = append(rows, []string{"scope", scopeWords(p)})
	if policy.Account.Param != "" {
		rows = append(rows, []string{"account", accountWords(&policy.Account)})
	}
	var claims, members []string
	for _, claim := range policy.Token.Claims {
		claims = append(claims, claim.Name)
	}
	for _, member := range wire.Response {
		members = append(members, member.Name)
	}
	token := &policy.Token
	if policy.Token.Claim("cnf") != nil {
		rows = append(rows, []string{"bound tokens", "cnf binds the tokens of a client with bound_tokens to its certificate (RFC 8705); other tokens have none"})
	}
	return append(rows,
		[]string{"token", fmt.Sprintf("%s, typ %s, good for %s", token.Alg, token.Typ, shortDuration(token.Lifetime))},
		[]string{"claims", strings.Join(claims, " ")},
		[]string{"answer", strings.Join(members, ", ") + tokenTypeWords(wire)},
		[]string{"errors", errorWords(wire)},
		[]string{"correlation", correlationWords(&wire.Correlation)},
	)
}

// correlationWords describes the header that names a request.
func correlationWords(c *platform.Correlation) string {
	if c.Header == "" {
		return "no header"
	}
	return fmt.Sprintf("%s, %s, up to %d bytes%s", c.Header, presence(c.Required), c.MaxLength, charset(c.Chars))
}

// usesAssertions reports whether callers of the platform sign assertions.
func usesAssertions(p *platform.Profile) bool {
	return p.Policy.Grant(oauth.JWTBearer) != nil || p.Policy.Uses(oauth.AuthPrivateKeyJWT)
}

// callers describes how callers authenticate.
func callers(p *platform.Profile) string {
	var ways []string
	for _, grant := range p.Policy.Grants {
		for _, set := range grant.ClientAuth {
			var members []string
			if grant.Type == oauth.JWTBearer {
				members = append(members, "a signed assertion as the grant")
			}
			for _, auth := range set {
				members = append(members, map[oauth.ClientAuth]string{
					oauth.AuthPrivateKeyJWT: "a signed assertion as client authentication",
					oauth.AuthBasic:         "client id and secret by HTTP Basic" + map[platform.BasicEncoding]string{platform.BasicPlain: ", as they are"}[p.Wire.Basic],
					oauth.AuthPost:          "client id and secret in the body",
					oauth.AuthAPIKey:        "an API key in the header " + p.Wire.APIKey.Header + schemeWords(p.Wire.APIKey.Scheme),
					oauth.AuthTLS:           "a client certificate of a trusted authority",
					oauth.AuthSelfSignedTLS: "a client certificate that is registered itself",
				}[auth])
			}
			ways = append(ways, strings.Join(members, " with "))
		}
	}
	return strings.Join(ways, "; ")
}

// schemeWords describes what stands before an API key.
func schemeWords(scheme string) string {
	if scheme == "" {
		return ""
	}
	return " after " + scheme
}

func paramWords(wire *platform.Wire) string {
	var words []string
	for i := range wire.Params {
		param := &wire.Params[i]
		word := param.Name + " (" + presence(param.Required)
		if param.Type == platform.TypeStrings {
			word += fmt.Sprintf(", 1 to %d values", param.MaxItems)
		}
		word += fmt.Sprintf(", up to %d characters%s", param.MaxLength, charset(param.Chars))
		if len(param.OneOf) > 0 {
			word += ", one of " + strings.Join(param.OneOf, " ")
		}
		words = append(words, word+")")
	}
	unknown := map[platform.Unknown]string{platform.UnknownRefuse: "; other members of a JSON body are refused", platform.UnknownIgnore: "; others are ignored"}[wire.UnknownMembers]
	if !wire.Reads(platform.BodyJSON) {
		unknown = "; others are ignored" // RFC 6749 §3.2
	}
	return strings.Join(words, ", ") + unknown
}

// tokenTypeWords says which token_type an answer has, where that is another than Bearer.
func tokenTypeWords(wire *platform.Wire) string {
	if wire.TokenType == string(oauth.TokenTypeBearer) {
		return ""
	}
	return "; the token type is " + wire.TokenType
}

// assertionWords describes what an assertion must look like. As client authentication its claims and its
// audience are those of RFC 7523 and RFC 10070, on each profile.
func assertionWords(policy *platform.Policy) string {
	a := &policy.Assertion
	replay := map[platform.Replay]string{
		platform.ReplayOnce:      "good for one token",
		platform.ReplayUntilExp:  "good for any number of tokens",
		platform.ReplaySameToken: "gives the same token again",
	}
	words := strings.Join(a.Algs, " or ") + "; kid " + string(a.Kid)
	if policy.Grant(oauth.JWTBearer) != nil {
		words += "; " + grantAssertionWords(a)
	}
	if policy.Uses(oauth.AuthPrivateKeyJWT) {
		words += "; as client authentication: claims " + requiredWords(func(claim string) bool { return a.Requires(claim) || claim == "sub" || claim == "aud" }) +
			", sub is the client, aud is the issuer URL"
	}
	if len(a.Forbid) > 0 {
		words += "; must not have " + strings.Join(a.Forbid, " ")
	}
	return words + fmt.Sprintf("; exp at most %s ahead (leeway %s); %s", shortDuration(a.MaxLifetime), shortDuration(a.Leeway), replay[a.Replay])
}

// grantAssertionWords describes the claims of an assertion that is the grant.
func grantAssertionWords(a *platform.Assertion) string {
	audience := map[platform.AudienceKind]string{
		platform.AudienceIssuer:   "the issuer URL",
		platform.AudienceEndpoint: "the token endpoint",
		platform.AudienceName:     "an audience name",
	}
	words := "claims " + requiredWords(a.Requires)
	if !a.Forbids("sub") {
		words += "; sub is the client"
		if a.Subject == platform.SubjectRegistered {
			words += ", or a subject that is registered with it"
		}
	}
	if !a.Forbids("aud") {
		var names []string
		for _, kind := range a.Audience {
			names = append(names, audience[kind])
		}
		words += "; aud is " + strings.Join(names, " or ")
	}
	return words
}

// scopeWords describes what of a client's scope a token gets.
// requiredWords lists the claims that are required.
func requiredWords(required func(claim string) bool) string {
	claims := []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti"}
	return strings.Join(slices.DeleteFunc(claims, func(claim string) bool { return !required(claim) }), " ")
}

// errorWords describes refusals, with the statuses that are not the usual ones.
func errorWords(wire *platform.Wire) string {
	words := map[platform.ErrorStyle]string{platform.ErrorsRFC6749: "JSON with error and error_description", platform.ErrorsStatusOnly: "the HTTP status alone, no body"}[wire.Errors]
	for _, code := range slices.Sorted(maps.Keys(wire.Status)) {
		words += fmt.Sprintf("; %d for %s", wire.Status[code], code)
	}
	return words
}

func scopeWords(p *platform.Profile) string {
	s := &p.Policy.Scope
	none := "all that the client is registered for"
	if s.Default == platform.DefaultNothing {
		none = "none"
	}
	if p.Wire.Meaning(platform.MeansScope) == nil {
		return "not asked for; " + none
	}
	words := "any word that the client is registered for; others are refused"
	if len(s.Words) > 0 {
		words = strings.Join(s.Words, " ") + "; words that the client is not registered for are refused"
	}
	if s.Unknown == platform.UnknownIgnore {
		words += ", unknown ones ignored"
	}
	return words + "; none asked for: " + none
}

func accountWords(a *platform.Account) string {
	words := a.Param + " must be one " + a.Name + " of the client"
	if a.Items != "" {
		words += "; " + a.Items + " must be its " + strings.Join(a.Kinds, " or ") + " " + a.ItemName + "s"
	}
	return words
}

func charset(c platform.Chars) string {
	return map[platform.Chars]string{
		platform.CharsAny:     "",
		platform.CharsURLSafe: " of A-Z a-z 0-9 - _",
		platform.CharsDigits:  ", digits only",
		platform.CharsVisible: " of printable ASCII",
	}[c]
}
