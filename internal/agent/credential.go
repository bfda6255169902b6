package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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

	"moneyer/assertion"
	"moneyer/internal/platform"
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
	check.want(t.Issuer != "" || t.TokenURL != "", key+".issuer",
		"is missing: the platform's issuer URL, to which %s adds %s (or token_url with the whole endpoint)", t.profile.Name(), t.profile.Definition().Wire.Path)
	if t.scope, err = oauth.ParseScope(t.Scope); err != nil {
		check.want(false, key+".scope", "%s", oauth.AsError(err).Description)
	}
	t.params, err = readParams(t.Params)
	check.accept(key+".params", err)
	c.checkCredential(check, key, t)
	t.transport, err = c.transport(t.TLSCert, t.TLSKey, t.CAFile)
	check.accept(key, err)
}

// checkCredential checks that there is exactly one credential, of a kind that the profile accepts.
func (c *Config) checkCredential(check *checker, key string, t *Token) {
	t.credential = &tokensource.Credential{ClientID: t.Client, Kid: t.Kid, Alg: t.Alg, Subject: t.Subject, Audience: t.Audience}
	given := 0
	for _, file := range []string{t.KeyFile, t.SecretFile, t.APIKeyFile} {
		if file != "" {
			given++
		}
	}
	held := platform.Held{ID: t.Client != "", Secret: t.SecretFile != "", APIKey: t.APIKeyFile != "", Key: t.KeyFile != ""}
	fits := slices.ContainsFunc(t.profile.Definition().Policy.Grants, func(g platform.Grant) bool {
		return slices.ContainsFunc(g.ClientAuth, func(set platform.AuthSet) bool { return set.NeedsOnly(held) })
	})
	check.want(given == 1 && fits, key, "profile %s needs %s: set that and no other credential", t.profile.Name(), wanted(t.profile.Definition()))
	check.want(t.KeyFile == "" || t.Kid != "" || t.profile.Definition().Policy.Assertion.Kid != platform.KidRequired, key+".kid",
		"is missing: the kid under which the key is registered at %s", t.profile.Name())
	var err error
	switch {
	case t.KeyFile != "":
		var text string
		if text, err = c.readSecret(t.KeyFile); err == nil {
			t.credential.Key, err = assertion.ParseKey([]byte(text))
		}
		check.accept(key+".key_file", plain(err))
	case t.SecretFile != "":
		t.credential.Secret, err = c.readSecret(t.SecretFile)
		check.accept(key+".secret_file", err)
	case t.APIKeyFile != "":
		t.credential.APIKey, err = c.readSecret(t.APIKeyFile)
		check.accept(key+".api_key_file", err)
	}
}

// wanted lists the settings that a client of the profile needs.
func wanted(p *platform.Profile) string {
	var ways []string
	for _, grant := range p.Policy.Grants {
		for _, set := range grant.ClientAuth {
			way := "client, key_file and kid"
			switch {
			case set.Has(oauth.AuthAPIKey):
				way = "api_key_file"
			case set.Has(oauth.AuthBasic), set.Has(oauth.AuthPost):
				way = "client and secret_file"
			}
			if !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
	}
	return strings.Join(ways, "; or ")
}

// readSecret reads a file that only its owner should be able to read. Errors do not contain its
// name, which may be the secret itself by mistake.
func (c *Config) readSecret(file string) (string, error) {
	data, err := os.ReadFile(c.path(file))
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return "", fmt.Errorf("must name a file that can be read: %w", pathError.Err)
	}
	if info, err := os.Stat(c.path(file)); err == nil && info.Mode()&0o007 != 0 {
		c.warnings = append(c.warnings, fmt.Sprintf("%s can be read by everybody on this machine: chmod 600 %[1]s", c.path(file)))
	}
	secret := string(bytes.TrimRight(data, "\r\n"))
	if secret == "" {
		return "", errors.New("the file is empty")
	}
	return secret, nil
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

// transport returns an HTTP transport with the client certificate and the certificate authorities,
// if they are set. It does not modify requests and responses.
func (c *Config) transport(cert, key, ca string) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(c.path(cmp.Or(cert, key)), c.path(cmp.Or(key, cert)))
		if err != nil {
			return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if ca != "" {
		pem, err := os.ReadFile(c.path(ca))
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca_file holds no certificate in PEM")
		}
	}
	return t, nil
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

// source returns a token source with the settings.
func (t *Token) source(log *slog.Logger, now func() time.Time) *tokensource.Source {
	return &tokensource.Source{
		Profile: t.profile, Issuer: t.Issuer, TokenURL: t.TokenURL, Credential: *t.credential, Scope: t.scope, Params: t.params,
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
	return errors.New(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "assertion: "), "tokensource: "))
}
