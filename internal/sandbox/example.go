package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"

	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// example builds the commands to try a platform.
type example struct {
	issuer     *registry.Issuer
	demo       *platform.Demo
	program    string // the moneyer command
	credential string // the file with the private key or secret
}

// scope is the scope to request.
func (e *example) scope() string {
	if e.issuer.Profile.Policy.Scope.Default != platform.DefaultNothing {
		return ""
	}
	return strings.Join(e.demo.Scope, " ")
}

// tokenCommand is the moneyer command that gets a token.
func (e *example) tokenCommand() string {
	args := []string{e.program, "token", "--profile", e.issuer.Profile.Name, "--issuer", e.issuer.URL}
	switch e.demo.Credential {
	case platform.KeyCredential:
		args = append(args, e.key()...)
	case platform.APIKeyCredential:
		args = append(args, "--api-key-file", e.credential)
	default:
		args = append(args, "--client", e.demo.Client, "--secret-file", e.credential)
	}
	for _, param := range e.params() {
		args = append(args, "--param", param.Name+"="+strings.Join(e.demo.Params[param.Name], ","))
	}
	if scope := e.scope(); scope != "" {
		args = append(args, "--scope", scope)
	}
	return command(args...)
}

// key are the flags for a client that signs assertions.
func (e *example) key() []string {
	flags := []string{"--client", e.demo.Client, "--key", e.credential, "--kid", kid}
	if e.demo.Subject != "" {
		flags = append(flags, "--subject", e.demo.Subject)
	}
	return flags
}

// params are the platform's own parameters of a request.
func (e *example) params() []platform.Param {
	var params []platform.Param
	for _, param := range e.issuer.Profile.Wire.Params {
		if len(e.demo.Params[param.Name]) > 0 {
			params = append(params, param)
		}
	}
	return params
}

// curl is the curl command that gets a token, as a partner's program would.
func (e *example) curl() string {
	wire := &e.issuer.Profile.Wire
	words := []string{"curl -s " + Quote(e.issuer.Endpoints()[0])}
	if e.demo.Credential == platform.APIKeyCredential {
		words = append(words, fmt.Sprintf(`-H "%s: %s $(cat %s)"`, wire.APIKey.Header, wire.APIKey.Scheme, Quote(e.credential)))
	}
	if wire.Correlation.Required {
		words = append(words, fmt.Sprintf(`-H "%s: try-1"`, wire.Correlation.Header))
	}
	if wire.Bodies[0] == platform.BodyJSON {
		words = append(words, `-H "Content-Type: application/json"`, "-d "+Quote(e.body()))
	} else {
		words = append(words, e.form()...)
	}
	return strings.Join(words, " ")
}

// form are the parameters of a form.
func (e *example) form() []string {
	var words []string
	switch e.demo.Credential {
	case platform.KeyCredential:
		words = append(words, "-d grant_type="+string(oauth.JWTBearer), "-d assertion=$("+command(append([]string{e.program, "assert", "--profile", e.issuer.Profile.Name,
			"--issuer", e.issuer.URL}, e.key()...)...)+")")
	case platform.SecretCredential:
		words = append(words, "-d grant_type="+string(oauth.ClientCredentials), "-d client_id="+e.demo.Client,
			"--data-urlencode "+Quote("client_secret@"+e.credential))
	case platform.APIKeyCredential:
		words = append(words, "-d grant_type="+string(oauth.ClientCredentials))
	}
	for _, param := range e.params() {
		words = append(words, "-d "+Quote(param.Name+"="+e.demo.Params[param.Name][0]))
	}
	if scope := e.scope(); scope != "" {
		words = append(words, "-d "+Quote("scope="+scope))
	}
	return words
}

// body is a JSON object with the parameters, in the profile's order.
func (e *example) body() string {
	var members []string
	for i := range e.issuer.Profile.Wire.Params {
		param := &e.issuer.Profile.Wire.Params[i]
		var value any
		switch texts := e.demo.Params[param.Name]; {
		case param.Means == platform.MeansScope && e.scope() != "":
			value = e.scope()
		case len(texts) == 0:
			continue
		case param.Type == platform.TypeStrings:
			value = texts
		default:
			value = texts[0]
		}
		text, _ := json.Marshal(value) // strings and lists of strings always marshal
		members = append(members, fmt.Sprintf(`"%s":%s`, param.Name, text))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// command is a command line for a shell.
func command(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = Quote(word)
	}
	return strings.Join(quoted, " ")
}

// Quote quotes text as a word for a shell, if it needs quotes.
func Quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/.:_-+,@%=", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
