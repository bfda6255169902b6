package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/openssl"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/internal/stricttoml"
	"moneyer/profile"
)

// AdminIssuer is the name of the issuer for the admin API.
const AdminIssuer = "admin"

// minAnnounce is longer than verifiers may cache a key set.
const minAnnounce = 10 * time.Minute

// Load reads and checks a configuration file.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w: name the file by --config, or make one by 'moneyer init'", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(file, data)
}

// Parse parses and checks the content of the configuration file called name. Relative paths are
// relative to its folder.
func Parse(name string, data []byte) (*Config, error) {
	c := &Config{dir: filepath.Dir(name)}
	doc, err := stricttoml.Decode(name, data, c)
	if err != nil {
		return nil, err
	}
	c.setDefaults(doc)
	check := &checker{doc: doc}
	c.checkState(check)
	c.checkListeners(check)
	c.checkLimits(check)
	c.checkIssuers(check)
	if check.err != nil {
		return nil, check.err
	}
	return c, nil
}

// setDefaults fills in what the file does not set. A zero in the file is kept and validated.
func (c *Config) setDefaults(doc *stricttoml.Document) {
	a, l, usual := &c.Admin, &c.Limits, overload.Default()
	orDefault(doc, "admin.address", &a.Address, "127.0.0.1:8081")
	scheme := "http://"
	if a.TLSCert != "" {
		scheme = "https://"
	}
	orDefault(doc, "admin.url", &a.URL, scheme+a.Address)
	a.URL = strings.TrimSuffix(a.URL, "/")
	orDefault(doc, "limits.client_rate", &l.ClientRate, usual.ClientRate.PerSecond)
	orDefault(doc, "limits.client_burst", &l.ClientBurst, usual.ClientRate.Burst)
	orDefault(doc, "limits.address_rate", &l.AddressRate, usual.AddressRate.PerSecond)
	orDefault(doc, "limits.address_burst", &l.AddressBurst, usual.AddressRate.Burst)
	orDefault(doc, "limits.address_connections", &l.AddressConnections, usual.AddressConnections)
	orDefault(doc, "limits.in_flight", &l.InFlight, usual.AtWork)
	orDefault(doc, "limits.refusals_recorded", &l.RefusalsRecorded, usual.Refusals.PerSecond)
	orDefault(doc, "limits.refusals_burst", &l.RefusalsBurst, usual.Refusals.Burst)
	orDefault(doc, "limits.request_timeout", &l.RequestTimeout, usual.RequestTime)
	orDefault(doc, "limits.drain_delay", &l.DrainDelay, 2*time.Second)
	l.DrainDelay = max(l.DrainDelay, 0)
	orDefault(doc, "limits.drain_timeout", &l.DrainTimeout, 20*time.Second)
	orDefault(doc, "listen.client_cert", &c.Listen.ClientCert, "none")
	orDefault(doc, "crypto", &c.Crypto, "any")
	orDefault(doc, "log.level", &c.Log.Level, "info")
	orDefault(doc, "log.format", &c.Log.Format, "json")
}

func orDefault[T any](doc *stricttoml.Document, key string, field *T, value T) {
	if !doc.Has(key) {
		*field = value
	}
}

// checker keeps the first error.
type checker struct {
	doc *stricttoml.Document
	err error
}

func (c *checker) want(ok bool, key, format string, args ...any) {
	if c.err == nil && !ok {
		c.err = c.doc.Errorf(key, format, args...)
	}
}

func (c *Config) checkState(check *checker) {
	kind, rest, _ := strings.Cut(c.Store, ":")
	check.want((kind == "sqlite" || kind == "postgres" || kind == "postgresql") && rest != "", "store",
		`must say where the state is kept, such as "sqlite:moneyer.db" or "postgres://moneyer@db1,db2/moneyer?sslmode=verify-full"`)
	kind, rest, _ = strings.Cut(c.MasterKey, ":")
	check.want((kind == "file" || kind == "env") && rest != "", "master_key",
		`must be "file:PATH" or "env:NAME"; 'moneyer init' makes a master key`)
	check.want(c.Ledger.Retention == 0 || c.Ledger.Retention >= 24*time.Hour, "ledger.retention", `must be 0 (for ever) or at least "24h"`)
	check.want(c.Crypto == "any" || c.Crypto == "openssl", "crypto", `must be "any" or "openssl"`)
	check.want(c.Crypto != "openssl" || openssl.Enabled(), "crypto", "this process would sign with %s: run the build with OpenSSL ('make build' makes it where OpenSSL's headers are), without GODEBUG=fips140", openssl.Library())
	check.want(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level", `must be "debug", "info", "warn" or "error"`)
	check.want(c.Log.Format == "json" || c.Log.Format == "text", "log.format", `must be "json" or "text"`)
	for _, thumbprint := range c.RefusedKeys {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(thumbprint)
		check.want(err == nil && len(raw) == sha256.Size, "refused_keys", "%q is not an RFC 7638 thumbprint: 43 characters of base64url", thumbprint)
	}
}

func (c *Config) checkListeners(check *checker) {
	check.want(c.Listen.Address != "", "listen.address", `must say where callers reach the server, such as "127.0.0.1:8080"`)
	checkListener(check, "listen", c.Listen)
	checkListener(check, "admin", c.Admin.listener())
	check.want(c.Listen.Address != c.Admin.Address, "admin.address", "must differ from listen.address: the admin API has a listener of its own")
	checkURL(check, "admin.url", c.Admin.URL)
	checkNetworks(check, "listen.trusted_proxies", c.Listen.TrustedProxies)
	c.Listen.checkClientCert(check)
	checkNetworks(check, "jwks_uri_networks", c.JWKSURINetworks)
}

func checkNetworks(check *checker, key string, networks []string) {
	for _, network := range networks {
		_, err := netip.ParsePrefix(network)
		check.want(err == nil, key, `%q is not a network such as "10.0.0.0/8"`, network)
	}
}

func (a Admin) listener() Listener {
	return Listener{Address: a.Address, TLSCert: a.TLSCert, TLSKey: a.TLSKey, ClientCA: a.ClientCA}
}

func checkListener(check *checker, key string, l Listener) {
	host, port, err := net.SplitHostPort(l.Address)
	check.want(err == nil, key+".address", `%q is not an address such as "127.0.0.1:8080"`, l.Address)
	_, ipErr := netip.ParseAddr(host)
	check.want(ipErr == nil || strings.Trim(host, "0123456789.") != "" && !strings.ContainsAny(host, " :/@") || host == "", key+".address",
		"%q: the host is neither an IP address nor a name", l.Address)
	_, err = strconv.ParseUint(port, 10, 16)
	check.want(err == nil, key+".address", "%q: the port is a number from 0 to 65535", l.Address)
	check.want((l.TLSCert == "") == (l.TLSKey == ""), key+".tls_cert", "tls_cert and tls_key belong together")
	check.want(l.TLSCert != "" || l.ClientCA == "", key+".client_ca", "needs tls_cert and tls_key: client certificates are shown within TLS")
	check.want(l.TLSCert != "" || isLoopback(host), key+".address",
		"%q is not on loopback: set tls_cert and tls_key, or listen on 127.0.0.1 behind a proxy on the same machine", l.Address)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// checkURL requires of an issuer URL, by RFC 8414 section 2: https (or http on loopback), no query,
// no fragment, no trailing slash, a plain path.
func checkURL(check *checker, key, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		check.want(false, key, `must be a URL such as "https://auth.example.com/d1"`)
		return
	}
	check.want(u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()), key, "%q must be https (plain http only on loopback)", text)
	check.want(u.RawQuery == "" && !u.ForceQuery && u.Fragment == "" && u.User == nil, key, "%q must have no query, fragment or user (RFC 8414 section 2)", text)
	check.want(!strings.HasSuffix(text, "/"), key, "%q must not end in a slash", text)
	check.want(u.EscapedPath() == u.Path && !strings.ContainsAny(u.Path, "{} ") && (u.Path == "" || path.Clean(u.Path) == u.Path), key, "%q must have a plain path", text)
}

// The bounds within which no computation with rates and counts overflows.
const (
	minRate  = 0.01
	maxRate  = 1_000_000
	maxCount = 1_000_000
)

func isRate(perSecond float64) bool { return perSecond >= minRate && perSecond <= maxRate }
func isCount(n int) bool            { return n >= 1 && n <= maxCount }

func (c *Config) checkLimits(check *checker) {
	l := &c.Limits
	check.want(l.ClientRate == -1 || isRate(l.ClientRate), "limits.client_rate", "must be %v to %d, or -1 for no limit", minRate, maxRate)
	check.want(l.AddressRate == -1 || isRate(l.AddressRate), "limits.address_rate", "must be %v to %d, or -1 for no limit", minRate, maxRate)
	check.want(isRate(l.RefusalsRecorded), "limits.refusals_recorded", "must be %v to %d", minRate, maxRate)
	check.want(isCount(l.ClientBurst), "limits.client_burst", "must be 1 to %d", maxCount)
	check.want(isCount(l.AddressBurst), "limits.address_burst", "must be 1 to %d", maxCount)
	check.want(isCount(l.RefusalsBurst), "limits.refusals_burst", "must be 1 to %d", maxCount)
	check.want(isCount(l.Connections) && l.Connections >= overload.MinConnections || !check.doc.Has("limits.connections"), "limits.connections", "must be %d to %d", overload.MinConnections, maxCount)
	check.want(isCount(l.AddressConnections), "limits.address_connections", "must be 1 to %d", maxCount)
	check.want(isCount(l.InFlight), "limits.in_flight", "must be 1 to %d", maxCount)
	check.want(l.RequestTimeout >= 100*time.Millisecond && l.RequestTimeout <= time.Minute, "limits.request_timeout", `must be "100ms" to "1m"`)
	check.want(l.DrainDelay <= time.Minute, "limits.drain_delay", `must be at most "1m"`)
	check.want(l.DrainTimeout >= time.Second && l.DrainTimeout <= 10*time.Minute, "limits.drain_timeout", `must be "1s" to "10m"`)
}

func (c *Config) checkIssuers(check *checker) {
	check.want(len(c.Issuers) > 0, "issuers", "there is none: add a table [issuers.NAME] with url and profile")
	byURL := map[string]string{c.Admin.URL: AdminIssuer}
	environments := map[string]string{} // by audience name
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		issuer := c.Issuers[name]
		key := "issuers." + name
		check.want(isName(name), key, "a name is 1 to 40 of a-z, 0-9 and -")
		check.want(name != AdminIssuer, key, "the name %q is taken by the issuer of the admin API", AdminIssuer)
		checkURL(check, key+".url", issuer.URL)
		check.want(byURL[issuer.URL] == "", key+".url", "issuer %s has this URL already", byURL[issuer.URL])
		byURL[issuer.URL] = name
		audiences := issuer.audiences()
		for _, setting := range slices.Sorted(maps.Keys(audiences)) {
			for _, audience := range audiences[setting] {
				other, known := environments[audience]
				check.want(!known || other == issuer.Environment, key+"."+setting,
					"%q is also a name in environment %q: an assertion for one environment would be good in the other", audience, other)
				environments[audience] = issuer.Environment
			}
		}
		made, err := c.makeIssuer(check, name, &issuer)
		check.want(err == nil, key+".profile", "%v", err)
		issuer.made = made
		c.Issuers[name] = issuer
	}
}

// makeIssuer builds an issuer from its settings and its profile.
func (c *Config) makeIssuer(check *checker, name string, i *Issuer) (*registry.Issuer, error) {
	file := i.Profile
	if strings.HasSuffix(file, ".toml") {
		file = c.Path(file)
	}
	found, err := profile.Load(file)
	p := found.Definition()
	if err != nil {
		return nil, err
	}
	key := "issuers." + name + "."
	made := &registry.Issuer{
		Name: name, URL: i.URL, Profile: p, Environment: i.Environment, AudienceNames: i.AudienceNames, ResourceAudience: i.ResourceAudience,
		TokenLifetime: i.TokenLifetime, Reuse: i.Reuse, Replay: cmp.Or(platform.Replay(i.Replay), p.Policy.Assertion.Replay),
		Alg: string(jose.AlgOf(cmp.Or(i.Alg, p.Policy.Token.Alg))), Disabled: i.Disabled,
		PrivateRevocations: i.Revocations == "authenticated",
	}
	orDefault(check.doc, key+"token_lifetime", &made.TokenLifetime, p.Policy.Token.Lifetime)
	orDefault(check.doc, key+"announce", &i.Announce, 24*time.Hour)
	orDefault(check.doc, key+"revocations", &i.Revocations, "public")
	c.checkCertificates(check, key, i, made)
	assertions := len(p.Policy.Assertion.Algs) > 0
	names := assertions && p.Policy.Assertion.Accepts(platform.AudienceName)
	check.want(names || len(i.AudienceNames) == 0, key+"audience_names", "profile %s takes no audience names", p.Name)
	for _, name := range i.AudienceNames {
		check.want(name != "" && len(name) <= 1024, key+"audience_names", "a name has 1 to 1024 bytes")
	}
	check.want(assertions || i.Replay == "", key+"replay", "profile %s takes no assertions, so nothing can be replayed", p.Name)
	check.want(slices.Contains([]platform.Replay{platform.ReplayOnce, platform.ReplayUntilExp, platform.ReplaySameToken}, made.Replay), key+"replay", `must be "once", "until-exp" or "same-token"`)
	check.want(slices.Contains([]string{"ES256", "PS256", "RS256", "EdDSA"}, made.Alg), key+"alg", `must be "ES256", "PS256", "RS256" or "EdDSA"`)
	check.want(slices.Contains([]string{"public", "authenticated"}, i.Revocations), key+"revocations", `must be "public" or "authenticated"`)
	usesAudience := slices.ContainsFunc(p.Policy.Token.Claims, func(c platform.Claim) bool { return c.From == platform.SourceAudience })
	check.want(usesAudience == (i.ResourceAudience != ""), key+"resource_audience", audienceAdvice(usesAudience), p.Name)
	check.want(made.TokenLifetime >= time.Second && made.TokenLifetime <= 24*time.Hour && made.TokenLifetime%time.Second == 0, key+"token_lifetime", `must be whole seconds from "1s" to "24h"`)
	check.want(i.Reuse >= 0 && i.Reuse <= 0.95, key+"reuse", "must be from 0 to 0.95: the part of its life that a token has left at least when it is handed out again")
	check.want(i.Reuse == 0 || p.Wire.StatesLifetime(), key+"reuse", "the answers of profile %s state no lifetime: a caller would take a token that is handed out again for a new one", p.Name)
	check.want(i.Rotate == 0 || i.Rotate > i.Announce, key+"rotate", "must be 0, or longer than announce")
	made.Trusted = c.makeTrusted(check, key+"trusted", i, assertions)
	check.want(i.Announce >= minAnnounce, key+"announce", "must be at least %s: verifiers may keep an old key set for some minutes", minAnnounce)
	return made, nil
}

func audienceAdvice(used bool) string {
	if used {
		return "profile %s puts an aud into its tokens: name the API that they are for"
	}
	return "profile %s puts no resource audience into its tokens: remove this"
}

// Path returns p, or p joined to the folder of the file if it is relative.
func (c *Config) Path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// RegistryIssuer returns the issuer that Load built from the settings.
func (i Issuer) RegistryIssuer() *registry.Issuer { return i.made }

// AdminListener returns the admin listener as a Listener.
func (c *Config) AdminListener() Listener { return c.Admin.listener() }

// StoreURL returns the URL of the store, with an absolute path.
func (c *Config) StoreURL() string {
	if path, file := c.StoreFile(); file {
		return "sqlite:" + path
	}
	return c.Store
}

// StoreFile returns the path of a SQLite store and reports whether the store is one.
func (c *Config) StoreFile() (path string, file bool) {
	path, file = strings.CutPrefix(c.Store, "sqlite:")
	return c.Path(path), file
}

// Served returns the issuers, sorted by name.
func (c *Config) Served() []*registry.Issuer {
	var issuers []*registry.Issuer
	for _, name := range slices.Sorted(maps.Keys(c.Issuers)) {
		issuers = append(issuers, c.Issuers[name].RegistryIssuer())
	}
	return issuers
}
