package platform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"moneyer/oauth"
)

// Demo is what a sandbox registers so that the platform can be tried: one client, and
// what its requests say. Neither the server nor the client reads it elsewhere. A
// profile without one is not served by a sandbox.
type Demo struct {
	// Issuer is the short name of the sandbox's issuer; empty means the profile's name.
	Issuer string `toml:"issuer"`
	// Path of the issuer's URL; empty means the issuer's name below the root.
	Path string `toml:"path"`
	// AudienceNames that the issuer has, where assertions may use names.
	AudienceNames []string `toml:"audience_names"`
	// Client is the identifier of the client; empty means demo-gtw01.
	Client string `toml:"client"`
	// Subject that the client's assertions name, where the profile lets them name one
	// that is registered with the client; empty means the client itself.
	Subject string `toml:"subject"`
	// Credential is what the client shows.
	Credential Credential `toml:"credential"`
	// Scope words that the client is registered for. Its requests ask for them where
	// one that asks for nothing would get nothing.
	Scope []string `toml:"scope"`
	// Attributes of the client, by name.
	Attributes map[string]Texts `toml:"attributes"`
	// Params of the platform's own that a request carries. The account and the items
	// that they name are registered.
	Params map[string]Texts `toml:"params"`
	// AccountAttributes are those of that account, by name.
	AccountAttributes map[string]Texts `toml:"account_attributes"`
}

// Credential is what a demo client shows.
type Credential string

// The credentials.
const (
	KeyCredential    Credential = "key"     // a key pair, which signs assertions
	SecretCredential Credential = "secret"  // a client secret
	APIKeyCredential Credential = "api_key" // an API key
)

// Texts is a text, or a list of texts.
type Texts []string

// UnmarshalTOML reads a string or an array of strings.
func (t *Texts) UnmarshalTOML(value any) error {
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return fmt.Errorf("want a string or an array of strings, and there is %v", item)
		}
		*t = append(*t, text)
	}
	return nil
}

// setDefaults fills in what the comments of the fields promise.
func (d *Demo) setDefaults(profile string) {
	if d.Credential == "" {
		return // there is none
	}
	d.Issuer = cmp.Or(d.Issuer, profile)
	d.Path = cmp.Or(d.Path, "/"+d.Issuer)
	d.Client = cmp.Or(d.Client, "demo-gtw01") // as long as a D1 identifier
}

func (p *Profile) checkDemo(c *checker) {
	d := &p.Demo
	if !c.doc.Has("demo") {
		return
	}
	oneOf(c, "demo.credential", d.Credential, KeyCredential, SecretCredential, APIKeyCredential)
	fits := map[Credential]bool{
		KeyCredential:    p.Policy.Grant(oauth.JWTBearer) != nil,
		SecretCredential: p.Policy.Uses(oauth.AuthPost) || p.Policy.Uses(oauth.AuthBasic),
		APIKeyCredential: p.Policy.Uses(oauth.AuthAPIKey),
	}
	c.want(fits[d.Credential], "demo.credential", "no grant takes a client that shows a %s", d.Credential)
	c.want(isSlug(d.Issuer), "demo.issuer", "must be of a-z, 0-9 and -")
	c.plainPath("demo.path", d.Path)
	c.want(p.Policy.ClientID.Accepts(d.Client), "demo.client", "%q has not the form of policy.client_id", d.Client)
	c.want(d.Subject == "" || p.Policy.Assertion.Subject == SubjectRegistered, "demo.subject", `needs policy.assertion.subject = "registered"`)
	for _, word := range d.Scope {
		scope, err := oauth.ParseScope(word)
		c.want(err == nil && len(scope) == 1, "demo.scope", "%q is not a scope word (RFC 6749 section 3.3)", word)
		c.want(len(p.Policy.Scope.Words) == 0 || slices.Contains(p.Policy.Scope.Words, word), "demo.scope", "%q is not among policy.scope.words", word)
	}
	c.attributes("demo.attributes", d.Attributes, p.Policy.Token.ClientAttributes())
	c.attributes("demo.account_attributes", d.AccountAttributes, p.Policy.Token.AccountAttributes())
	p.checkDemoParams(c)
}

// attributes wants attributes that claims use, in their form, and all that are required.
func (c *checker) attributes(key string, given map[string]Texts, claims map[string]Claim) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		claim, known := claims[name]
		c.want(known, key, "no claim uses %q", name)
		c.want(claim.Type == TypeStrings || len(given[name]) == 1, key, "%q is one text", name)
		for _, text := range given[name] {
			c.want(!known || claim.Form.Accepts(text), key, "%q: %q has not the form of the claim", name, text)
		}
	}
	for name, claim := range claims {
		c.want(!claim.Required || len(given[name]) > 0, key, "%q is required", name)
	}
}

// checkDemoParams wants parameters of the platform's own, and all that are required.
func (p *Profile) checkDemoParams(c *checker) {
	for _, name := range slices.Sorted(maps.Keys(p.Demo.Params)) {
		param := p.Wire.Param(name)
		c.want(param != nil && param.Means == "", "demo.params", "%q is none of the platform's own among wire.params", name)
		c.want(param == nil || param.Type == TypeStrings || len(p.Demo.Params[name]) == 1, "demo.params", "%q is one text", name)
	}
	for i := range p.Wire.Params {
		param := &p.Wire.Params[i]
		c.want(!param.Required || param.Means != "" || len(p.Demo.Params[param.Name]) > 0, "demo.params", "%q is required", param.Name)
	}
}
