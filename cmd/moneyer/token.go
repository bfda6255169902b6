package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"moneyer/internal/platform"
	"moneyer/internal/tlsfiles"
	"moneyer/oauth"
	"moneyer/tokensource"
)

// tokenFlags are the flags of token.
type tokenFlags struct {
	profile, issuer, url string
	client, scope        string
	audience, subject    string
	grant, auth          string
	secret, apiKey       secretFlags
	assertion            secretFlags
	assertionType        string
	signer               signerFlags
	params               []string
	tlsCert, tlsKey      string
	cacert               string
	discover             bool
	header, verbose      bool
}

func (a *app) tokenCommand() *cobra.Command {
	var f tokenFlags
	c := &cobra.Command{
		Use:   "token --profile PROFILE --issuer URL",
		Short: "Get an access token from a platform, and print it",
		Long: `Get an access token from any server that implements the profile, the platform
itself or a Moneyer server, and print it: nothing else goes to standard output.

Authenticate with the credential that is registered with the platform: a key
(--client, --key, --kid), a secret (--client, --secret-file or --secret-env), an
API key (--api-key-file or --api-key-env), a client certificate (--client, --tls-cert,
--tls-key), which may also stand beside each of the others, or the assertion of an
identity provider (--assertion-file or --assertion-env). Secrets are not accepted on
the command line: other users could read them in the list of processes, and the shell
would record them in its history. A file named '-' is standard input.

The token endpoint is the issuer URL and the profile's path, or with --discover what
the issuer's metadata say (RFC 8414).

Temporary errors (429, 502, 503, 504, a lost connection) are retried, up to four attempts.`,
		Example: `  moneyer token --profile thales-d1 --issuer https://d1.example/authz/v1 \
      --client merchant01 --key key.pem --kid my-key-1
  moneyer token --profile boltpay --issuer https://bolt.example --client shop \
      --secret-file secret.txt --scope "openid roles"
  moneyer token --profile thales-etp --issuer https://etp.example/tsh-cof --api-key-env ETP_KEY \
      --scope PAYMENT_PASSKEY --param merchantId=m-1 --param tokens=tok1,tok2
  moneyer token --profile oauth2 --issuer https://as.example --client shop \
      --tls-cert client.crt --tls-key client.key --discover
  moneyer token --profile oauth2 --issuer https://as.example --grant jwt-bearer \
      --assertion-file /var/run/secrets/tokens/as
  curl -H "$(moneyer token ... --header)" https://api.example/things`,
		RunE: func(c *cobra.Command, _ []string) error { return a.token(c.Context(), &f) },
	}
	profileFlag(c, &f.profile)
	f.secret.add(c, "secret", "client secret", tokensource.ParseSecret)
	f.apiKey.add(c, "api-key", "API key", tokensource.ParseSecret)
	f.assertion.add(c, "assertion", "assertion of an identity provider that the platform trusts", trimLineEnds)
	f.signer.add(c)
	flags := c.Flags()
	flags.StringVar(&f.issuer, "issuer", "", "the issuer URL, exactly as the platform spells it")
	flags.BoolVar(&f.discover, "discover", false, "take the token endpoint from the issuer's metadata (RFC 8414)")
	flags.StringVar(&f.grant, "grant", "", "the grant, client_credentials or jwt-bearer (default the first that the credential is enough for)")
	flags.StringVar(&f.auth, "auth", "", `the client authentication, such as "client_secret_basic + tls_client_auth" (default the first that the credential is enough for)`)
	flags.StringVar(&f.assertionType, "assertion-type", jwtBearer, "the client_assertion_type of the provider's assertion, jwt-bearer or jwt-spiffe")
	flags.StringVar(&f.url, "url", "", "the token endpoint (default the issuer URL and the profile's path)")
	flags.StringVar(&f.client, "client", "", "the id that the platform gave you")
	flags.StringVar(&f.scope, "scope", "", "scope words to ask for, separated by spaces")
	flags.StringArrayVar(&f.params, "param", nil, "a parameter of the platform's own, name=value; a list as name=a,b or repeated")
	flags.StringVar(&f.audience, "audience", "", "aud of the assertion, such as an audience name of the platform (default the issuer URL)")
	flags.StringVar(&f.subject, "subject", "", "sub of the assertion (default the client)")
	f.addTLS(flags)
	flags.BoolVar(&f.header, "header", false, `print "Authorization: Bearer ..." as curl takes it`)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log requests and responses to standard error")
	completeNothing(c, "issuer", "url", "client", "scope", "param", "audience", "subject")
	complete(c, "grant", string(oauth.ClientCredentials), jwtBearer)
	complete(c, "assertion-type", jwtBearer, jwtSPIFFE)
	complete(c, "auth", string(oauth.AuthBasic), string(oauth.AuthPost), string(oauth.AuthPrivateKeyJWT), string(oauth.AuthTLS),
		string(oauth.AuthSelfSignedTLS), string(oauth.AuthAPIKey), string(oauth.AuthNone))
	c.MarkFlagsMutuallyExclusive("url", "discover")
	return c
}

// addTLS adds the flags of the connection.
func (f *tokenFlags) addTLS(flags *pflag.FlagSet) {
	flags.StringVar(&f.tlsCert, "tls-cert", "", "file with the client certificate, PEM, for mutual TLS")
	flags.StringVar(&f.tlsKey, "tls-key", "", "file with the client certificate's private key, PEM (default the same file)")
	addCAFlag(flags, &f.cacert)
}

func (a *app) token(ctx context.Context, f *tokenFlags) error {
	if f.header && a.json {
		return usagef("--header and --json exclude each other")
	}
	source := &tokensource.Source{Issuer: f.issuer, TokenURL: f.url, Discover: f.discover, Now: a.now}
	var err error
	if source.Profile, err = publicProfile(f.profile); err != nil {
		return err
	}
	p := source.Profile.Definition()
	if f.issuer == "" && f.url == "" {
		return usagef("--issuer is missing: the platform's issuer URL, to which %s adds %s (or --url with the whole token endpoint)", p.Name, p.Wire.Path)
	}
	if source.Scope, err = oauth.ParseScope(f.scope); err != nil {
		return usagef("--scope: %s", oauth.AsError(err).Description)
	}
	if source.Params, err = readParams(p, f.params); err != nil {
		return err
	}
	if source.Credential, err = a.credential(f, p); err != nil {
		return err
	}
	base, err := tlsfiles.Transport(f.cacert, f.tlsCert, f.tlsKey)
	if err != nil {
		return usagef("--cacert, --tls-cert, --tls-key: %w", err)
	}
	w := &requestTracer{base: base, app: a, verbose: f.verbose, correlation: p.Wire.Correlation.Header}
	source.HTTPClient = &http.Client{Transport: w}
	token, err := source.Fetch(ctx)
	if err != nil {
		return w.classify(f, p, err)
	}
	if left := without(source.Scope, token.Scope); len(left) > 0 {
		a.note("the platform did not grant %s", visible(left.String()))
	}
	if f.verbose {
		a.describe(token, source.Scope)
	}
	return a.printToken(token, f.header)
}

// credential reads the credential that the flags name.
func (a *app) credential(f *tokenFlags, p *platform.Profile) (tokensource.Credential, error) {
	c := tokensource.Credential{ClientID: f.client, Subject: f.subject, Audience: f.audience, Alg: f.signer.alg, Auth: oauth.ClientAuth(f.auth)}
	var err error
	if c.Grant, err = f.grantType(); err != nil {
		return c, err
	}
	if c.Secret, err = a.readSecret(&f.secret); err != nil {
		return c, err
	}
	if c.APIKey, err = a.readSecret(&f.apiKey); err != nil {
		return c, err
	}
	if err = a.assertionOf(f, &c); err != nil {
		return c, err
	}
	if f.signer.key != "" && usesAssertions(p) {
		if c.Key, c.Kid, err = a.loadSigner(&f.signer, p); err != nil {
			return c, err
		}
	}
	if f.tlsCert != "" || f.tlsKey != "" {
		files := &tokensource.CertificateFiles{Cert: f.tlsCert, Key: f.tlsKey}
		if _, err := files.Certificate(context.Background()); err != nil {
			return c, usagef("--tls-cert, --tls-key: %w", err)
		}
		c.Certificate = files.Certificate
	}
	held := platform.Held{ID: c.ClientID != "", Secret: c.Secret != "", APIKey: c.APIKey != "", Key: c.Key != nil, Assertion: c.Assertion != nil, Certificate: c.Certificate != nil}
	if _, _, ok := p.Policy.Choose(held, c.Grant, c.Auth); !ok {
		return c, usagef("profile %s requires %s: give %s", p.Name, callers(p), strings.Join(p.Policy.Needs(credentialFlags), "; or "))
	}
	return c, nil
}

// credentialFlags are the flags with which a caller of a platform authenticates.
var credentialFlags = platform.Names{
	ID: []string{"--client"}, Secret: []string{"--secret-file or --secret-env"}, APIKey: []string{"--api-key-file or --api-key-env"},
	Key: []string{"--key", "--kid (or --assertion-file)"}, Certificate: []string{"--tls-cert", "--tls-key"},
}

// The values of --grant and --assertion-type.
const (
	jwtBearer = "jwt-bearer"
	jwtSPIFFE = "jwt-spiffe"
)

// grantType returns the grant that --grant selects, empty for none.
func (f *tokenFlags) grantType() (oauth.GrantType, error) {
	switch f.grant {
	case "", string(oauth.ClientCredentials), string(oauth.JWTBearer):
		return oauth.GrantType(f.grant), nil
	case jwtBearer:
		return oauth.JWTBearer, nil
	}
	return "", usagef("--grant is %s or %s", oauth.ClientCredentials, jwtBearer)
}

// assertionOf reads the assertion that somebody else made.
func (a *app) assertionOf(f *tokenFlags, c *tokensource.Credential) error {
	switch f.assertionType {
	case jwtBearer:
	case jwtSPIFFE:
		c.AssertionType = oauth.AssertionTypeSPIFFE
	default:
		return usagef("--assertion-type is %s or %s", jwtBearer, jwtSPIFFE)
	}
	text, err := a.readSecret(&f.assertion)
	if text != "" {
		c.Assertion = func(context.Context) (string, error) { return text, nil }
	}
	return err
}

// readParams reads name=value pairs. A list is name=a,b or repeated.
func readParams(p *platform.Profile, pairs []string) (url.Values, error) {
	values := url.Values{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usagef("--param is written name=value, such as --param account=a-1")
		}
		if param := p.Wire.Param(name); param != nil && param.Type == platform.TypeStrings {
			values[name] = append(values[name], strings.Split(value, ",")...)
		} else {
			values.Add(name, value)
		}
	}
	return values, nil
}

// requestTracer records whether a request was sent, and logs each one if verbose.
type requestTracer struct {
	base    http.RoundTripper
	app     *app
	verbose bool
	sent    bool
	// Of the last request: its URL, and whether the answer has its correlation id.
	url         string
	correlation string // the header's name, or empty
	echoed      bool
}

// RoundTrip implements http.RoundTripper.
func (w *requestTracer) RoundTrip(req *http.Request) (*http.Response, error) {
	w.sent, w.url, w.echoed = true, req.URL.Redacted(), false
	start := w.app.now()
	resp, err := w.base.RoundTrip(req)
	if err == nil && w.correlation != "" {
		w.echoed = resp.Header.Get(w.correlation) == req.Header.Get(w.correlation)
	}
	if w.verbose {
		answer := "no answer"
		if err == nil {
			answer = resp.Status
		}
		fmt.Fprintf(w.app.err, "%s %s: %s in %s\n", req.Method, req.URL.Redacted(), answer, w.app.now().Sub(start).Round(time.Millisecond))
	}
	return resp, err
}

// without returns the words of asked that were not granted (RFC 6749 section 5.1).
func without(asked, granted oauth.Scope) oauth.Scope {
	return slices.DeleteFunc(slices.Clone(asked), func(word string) bool { return slices.Contains(granted, word) })
}

// describe prints the properties of a token, not the token.
func (a *app) describe(token *tokensource.Token, requested oauth.Scope) {
	fmt.Fprintf(a.err, "token until %s (%s)\n", token.Expiry.UTC().Format(time.RFC3339), inWords(token.Expiry.Sub(a.now())))
	if scope := token.Scope.String(); len(requested) > 0 && (requested.Missing(token.Scope) != "" || token.Scope.Missing(requested) != "") {
		fmt.Fprintf(a.err, "scope requested %s, granted %s\n", requested, cmp.Or(scope, "nothing"))
	} else if scope != "" {
		fmt.Fprintf(a.err, "scope %s\n", scope)
	}
	if token.Correlation != "" {
		fmt.Fprintf(a.err, "correlation %s\n", token.Correlation)
	}
	if token.Skew.Abs() >= 2*time.Second {
		fmt.Fprintf(a.err, "the platform's clock is %s ahead of this machine's (negative: behind)\n", token.Skew)
	}
}

func (a *app) printToken(token *tokensource.Token, header bool) error {
	switch {
	case a.json:
		return a.printJSON(struct {
			AccessToken string    `json:"access_token"`
			TokenType   string    `json:"token_type"`
			ExpiresAt   time.Time `json:"expires_at"`
			Scope       string    `json:"scope,omitempty"`
			Correlation string    `json:"correlation,omitempty"`
		}{token.AccessToken, string(token.Type), token.Expiry.UTC().Truncate(time.Second), token.Scope.String(), token.Correlation})
	case header:
		fmt.Fprintf(a.out, "Authorization: %s %s\n", token.Type, token.AccessToken)
	default:
		fmt.Fprintln(a.out, token.AccessToken)
	}
	return nil
}
