package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"moneyer/internal/platform"
	"moneyer/internal/tlsfiles"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

func (c *Config) checkTokens(check *checker) {
	check.want(len(c.Tokens) > 0, "tokens", "there is none: add a table [tokens.NAME] with profile, issuer and a credential")
	for _, name := range slices.Sorted(maps.Keys(c.Tokens)) {
		t, key := c.Tokens[name], "tokens."+name
		check.name(key, name)
		c.checkToken(check, key, t)
		if check.err == nil {
			check.accept(key, t.tryOut())
		}
	}
}

// checkToken validates the settings of a token and reads the files that they name.
func (c *Config) checkToken(check *checker, key string, t *Token) {
	file := t.Profile
	if strings.HasSuffix(file, ".toml") {
		file = c.path(file)
	}
	var err error
	if t.profile, err = profile.Load(file); err != nil {
		check.accept(key+".profile", err)
		return
	}
	t.fingerprint = c.fingerprint(t) // first, so that a file that changes from now on is noticed by the next reload
	check.want(!t.Discover || t.TokenURL == "", key+".discover", "and token_url exclude each other")
	check.want(t.Issuer != "" || t.TokenURL != "", key+".issuer",
		"is missing: the platform's issuer URL, to which %s adds %s (or token_url with the whole endpoint)", t.profile.Name(), t.profile.Definition().Wire.Path)
	if t.scope, err = oauth.ParseScope(t.Scope); err != nil {
		check.want(false, key+".scope", "%s", oauth.AsError(err).Description)
	}
	t.params, err = readParams(t.Params)
	check.accept(key+".params", err)
	c.checkCredential(check, key, t)
	t.transport, err = c.transport(t.CAFile)
	check.accept(key, err)
	t.files, err = c.certificate(t.TLSCert, t.TLSKey)
	check.accept(key, err)
}

// checkCredential reads the credentials and checks that a grant of the profile uses all of them.
func (c *Config) checkCredential(check *checker, key string, t *Token) {
	t.credential = &tokensource.Credential{ClientID: t.Client, Kid: t.Kid, Alg: t.Alg, Subject: t.Subject, Audience: t.Audience}
	p := t.profile.Definition()
	check.want(t.choose(&p.Policy), key, "profile %s needs %s: set that and no other credential (tls_cert may stand beside)",
		p.Name, strings.Join(p.Policy.Needs(settingNames), "; or "))
	check.want(t.KeyFile == "" || t.Kid != "" || p.Policy.Assertion.Kid != platform.KidRequired, key+".kid",
		"is missing: the kid under which the key is registered at %s", p.Name)
	read := func(setting, name string, files *tokensource.CredentialFiles) {
		err := c.checkPrivate(name)
		if err == nil {
			*t.credential, err = files.Read(*t.credential)
		}
		check.accept(key+"."+setting, plain(err))
	}
	if t.KeyFile != "" {
		t.paths.key = c.path(t.KeyFile)
		read("key_file", t.KeyFile, &tokensource.CredentialFiles{Key: t.paths.key})
	}
	if t.SecretFile != "" {
		t.paths.secret = c.path(t.SecretFile)
		read("secret_file", t.SecretFile, &tokensource.CredentialFiles{Secret: t.paths.secret})
	}
	if t.APIKeyFile != "" {
		t.paths.apiKey = c.path(t.APIKeyFile)
		read("api_key_file", t.APIKeyFile, &tokensource.CredentialFiles{APIKey: t.paths.apiKey})
	}
	if t.AssertionFile != "" {
		check.accept(key+".assertion_file", c.checkPrivate(t.AssertionFile))
		t.credential.Assertion = tokensource.AssertionFile(c.path(t.AssertionFile))
	}
	switch t.AssertionType {
	case "", "jwt-bearer":
	case "jwt-spiffe":
		t.credential.AssertionType = oauth.AssertionTypeSPIFFE
	default:
		check.want(false, key+".assertion_type", `must be "jwt-bearer" or "jwt-spiffe"`)
	}
}

// settingNames are the words of this file for a client's credentials.
var settingNames = platform.Names{
	ID: []string{"client"}, Secret: []string{"secret_file"}, APIKey: []string{"api_key_file"},
	Key: []string{"key_file", "kid (or assertion_file)"}, Certificate: []string{"tls_cert", "tls_key"},
}

// choose sets grant and authentication to the first that use every credential, and reports whether
// there are such.
func (t *Token) choose(p *platform.Policy) bool {
	held := platform.Held{
		ID: t.Client != "", Secret: t.SecretFile != "", APIKey: t.APIKeyFile != "", Key: t.KeyFile != "", Assertion: t.AssertionFile != "",
		Certificate: t.TLSCert != "" || t.TLSKey != "",
	}
	grant := oauth.GrantType(t.Grant)
	if t.Grant == "jwt-bearer" {
		grant = oauth.JWTBearer
	}
	for i := range p.Grants {
		for _, set := range p.Grants[i].ClientAuth {
			if grant != "" && grant != p.Grants[i].Type {
				continue
			}
			chosen, set, ok := p.Choose(held, p.Grants[i].Type, cmp.Or(oauth.ClientAuth(t.Auth), oauth.ClientAuth(set.String())))
			if ok && t.usesAll(chosen.Type, set) {
				t.credential.Grant, t.credential.Auth = chosen.Type, oauth.ClientAuth(set.String())
				return true
			}
		}
	}
	return false
}

// usesAll reports whether a request by a grant and a set shows every credential but a certificate,
// which may stand beside any.
func (t *Token) usesAll(grant oauth.GrantType, set platform.AuthSet) bool {
	assertions := 0
	if grant == oauth.JWTBearer {
		assertions++
	}
	if set.Has(oauth.AuthPrivateKeyJWT) {
		assertions++
	}
	given := 0
	for _, file := range []string{t.KeyFile, t.AssertionFile} {
		if file != "" {
			given++
		}
	}
	return given <= assertions &&
		(t.SecretFile == "" || set.Has(oauth.AuthBasic) || set.Has(oauth.AuthPost)) &&
		(t.APIKeyFile == "" || set.Has(oauth.AuthAPIKey))
}

// checkPrivate checks a file that only its owner should be able to read. Errors do not contain its
// name, which may be the secret itself by mistake.
func (c *Config) checkPrivate(file string) error {
	data, err := os.ReadFile(c.path(file))
	if err != nil {
		return fmt.Errorf("must name a file that can be read: %w", withoutPath(err))
	}
	if info, err := os.Stat(c.path(file)); err == nil && info.Mode()&0o007 != 0 {
		c.warnings = append(c.warnings, fmt.Sprintf("%s can be read by everybody on this machine: chmod 600 %[1]s", c.path(file)))
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("the file is empty")
	}
	return nil
}

// readParams converts strings and lists of strings.
func readParams(params map[string]any) (url.Values, error) {
	values := url.Values{}
	for name, value := range params {
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, item := range list {
			text, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("%s must be a string, or a list of strings", name)
			}
			values.Add(name, text)
		}
	}
	return values, nil
}

// transport returns an HTTP transport with the certificate authorities, if they are set. It does not
// modify requests and responses.
func (c *Config) transport(ca string) (*http.Transport, error) {
	if ca != "" {
		ca = c.path(ca)
	}
	trust, err := tlsfiles.Client(ca, "", "")
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     trust,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}, nil
}

// certificateFiles are the absolute paths of a client certificate and its key.
type certificateFiles struct{ cert, key string }

// certificate checks a client certificate. It returns nil if there is none.
func (c *Config) certificate(cert, key string) (*certificateFiles, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	f := &certificateFiles{c.path(cmp.Or(cert, key)), c.path(cmp.Or(key, cert))}
	if _, err := tlsfiles.LoadKeyPair(f.cert, f.key); err != nil {
		return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	return f, nil
}

// load returns a function that returns the certificate as it is in the files, nil if there is none.
func (f *certificateFiles) load(log *slog.Logger) tokensource.CertificateFunc {
	if f == nil {
		return nil
	}
	return (&tokensource.CertificateFiles{Cert: f.cert, Key: f.key, Logger: log}).Certificate
}

// fingerprint returns a digest of the settings, the profile and the content of the files. A reload
// discards a token whose fingerprint differs.
func (c *Config) fingerprint(t *Token) (sum [sha256.Size]byte) {
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode(t) // neither a hash nor these types return errors
	_ = enc.Encode(t.profile.Definition())
	for _, file := range []string{t.KeyFile, t.SecretFile, t.APIKeyFile, t.TLSCert, t.TLSKey, t.CAFile} {
		if data, err := os.ReadFile(c.path(file)); file != "" && err == nil {
			_ = enc.Encode(data)
		}
	}
	h.Sum(sum[:0])
	return sum
}

// source returns a token source with the settings. It reads the files of a credential again that the
// platform refuses.
func (t *Token) source(log *slog.Logger, now func() time.Time) *tokensource.Source {
	credential := *t.credential
	credential.Certificate = t.files.load(log)
	files := &tokensource.CredentialFiles{Key: t.paths.key, Secret: t.paths.secret, APIKey: t.paths.apiKey, Logger: log, Now: now}
	return &tokensource.Source{
		Rotated: files.Rotated,
		Profile: t.profile, Issuer: t.Issuer, TokenURL: t.TokenURL, Discover: t.Discover, Credential: credential, Scope: t.scope, Params: t.params,
		HTTPClient: &http.Client{Transport: t.transport}, Logger: log, Now: now,
	}
}

// tryOut calls the token source without a network, to find settings that the profile does not
// accept.
func (t *Token) tryOut() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := t.source(nil, nil)
	s.HTTPClient.Transport = noNetwork{}
	if _, err := s.Fetch(ctx); !errors.Is(err, context.Canceled) {
		return plain(err)
	}
	return nil
}

// noNetwork is an http.RoundTripper that sends nothing.
type noNetwork struct{}

// RoundTrip implements http.RoundTripper.
func (noNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	return nil, req.Context().Err()
}

// plain removes package names from an error: they mean nothing to an operator.
func plain(err error) error {
	if err == nil {
		return nil
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "assertion: "), "tokensource: ")
	return errors.New(strings.Replace(text, ": assertion: ", ": ", 1))
}
