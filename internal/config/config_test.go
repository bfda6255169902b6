package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/openssl"
	"moneyer/internal/overload"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
)

// good is a minimal configuration, with one line for each setting that tests replace.
const good = `store = "sqlite:moneyer.db"
master_key = "file:master.key"
[listen]
address = "127.0.0.1:8080"
[issuers.d1]
url = "https://auth.example.com/d1"
profile = "thales-d1"
resource_audience = "https://api.example.com"
`

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("/etc/moneyer/moneyer.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parse(t, good)
	want := config.Limits{
		ClientRate: 500, ClientBurst: 1000, AddressRate: 50, AddressBurst: 500, AddressConnections: 500, InFlight: 1024, RefusalsRecorded: 1, RefusalsBurst: 1000,
		RequestTimeout: 2 * time.Second, DrainDelay: 2 * time.Second, DrainTimeout: 20 * time.Second,
	}
	if c.Limits != want {
		t.Errorf("limits %+v, want %+v", c.Limits, want)
	}
	if c.Limits.Overload() != overload.Default() {
		t.Errorf("limits %+v, want those of a server whose configuration sets none", c.Limits.Overload())
	}
	if c.Log != (config.Log{Level: "info", Format: "json"}) || c.Ledger != (config.Ledger{}) {
		t.Errorf("log %+v, ledger %+v", c.Log, c.Ledger)
	}
	if c.Admin != (config.Admin{Address: "127.0.0.1:8081", URL: "http://127.0.0.1:8081"}) {
		t.Errorf("admin %+v", c.Admin)
	}
	if admin := c.AdminListener(); admin.Address != "127.0.0.1:8081" {
		t.Errorf("admin listener %+v", admin)
	}
	issuer := c.Issuers["d1"]
	if issuer.Announce != 24*time.Hour || issuer.Rotate != 0 {
		t.Errorf("announce %s, rotate %s", issuer.Announce, issuer.Rotate)
	}
	made := issuer.RegistryIssuer()
	if made.Name != "d1" || made.URL != "https://auth.example.com/d1" || made.Profile.Name != "thales-d1" || made.ResourceAudience != "https://api.example.com" ||
		made.TokenLifetime != 15*time.Minute || made.Replay != platform.ReplayOnce || made.Alg != "ES256" || made.Disabled {
		t.Errorf("issuer %+v", made)
	}
}

func TestEverySettingIsTaken(t *testing.T) {
	c := parse(t, `store = "sqlite:/var/lib/moneyer.db"
master_key = "env:KEY"
crypto = "any"
refused_keys = ["VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo"]
jwks_uri_networks = ["10.8.0.0/16"]
[listen]
address = "0.0.0.0:8443"
tls_cert = "cert.pem"
tls_key = "key.pem"
client_ca = "ca.pem"
trusted_proxies = ["10.0.0.0/8", "fd00::/8"]
client_cert_header = "X-Amzn-Mtls-Clientcert"
client_cert_chain_header = "Client-Cert-Chain"
client_cert_proxies = ["10.0.0.0/8", "::1/128"]
client_cert_proxy_ca = "proxies.pem"
[admin]
address = "10.0.0.1:8444"
tls_cert = "cert.pem"
tls_key = "key.pem"
client_ca = "ca.pem"
url = "https://admin.example.com/"
[limits]
client_rate = -1
client_burst = 1
address_rate = 0.01
address_burst = 1000000
connections = 16
address_connections = 1000000
in_flight = 7
refusals_recorded = 1000000
refusals_burst = 12
request_timeout = "100ms"
drain_delay = "0s"
drain_timeout = "10m"
[ledger]
retention = "24h"
[log]
level = "debug"
format = "text"
[issuers.d1]
url = "http://localhost:8443/d1"
profile = "thales-d1"
environment = "stg"
audience_names = ["stg", "prd"]
resource_audience = "https://api.example.com"
token_lifetime = "24h"
reuse = 0.5
replay = "same-token"
alg = "PS256"
rotate = "30m"
announce = "10m"
disabled = true
`)
	listen := config.Listener{Address: "0.0.0.0:8443", TLSCert: "cert.pem", TLSKey: "key.pem", ClientCA: "ca.pem", TrustedProxies: []string{"10.0.0.0/8", "fd00::/8"},
		ClientCert: "none", ClientCertHeader: "X-Amzn-Mtls-Clientcert", ClientCertChainHeader: "Client-Cert-Chain", ClientCertProxies: []string{"10.0.0.0/8", "::1/128"}, ClientCertProxyCA: "proxies.pem"}
	admin := config.Admin{Address: "10.0.0.1:8444", URL: "https://admin.example.com", TLSCert: "cert.pem", TLSKey: "key.pem", ClientCA: "ca.pem"}
	limits := config.Limits{
		ClientRate: -1, ClientBurst: 1, AddressRate: 0.01, AddressBurst: 1_000_000, Connections: 16, AddressConnections: 1_000_000, InFlight: 7, RefusalsRecorded: 1_000_000, RefusalsBurst: 12,
		RequestTimeout: 100 * time.Millisecond, DrainTimeout: 10 * time.Minute,
	}
	for name, pair := range map[string][2]any{
		"store":             {c.Store, "sqlite:/var/lib/moneyer.db"},
		"master_key":        {c.MasterKey, "env:KEY"},
		"refused_keys":      {c.RefusedKeys, []string{"VQuxBeR-8wKbnpwhah3azvW8jmcrRPX_Gk62fS7o9Jo"}},
		"jwks_uri_networks": {c.JWKSURINetworks, []string{"10.8.0.0/16"}},
		"listen":            {c.Listen, listen},
		"admin":             {c.Admin, admin},
		"admin listener":    {c.AdminListener(), config.Listener{Address: admin.Address, TLSCert: "cert.pem", TLSKey: "key.pem", ClientCA: "ca.pem"}},
		"limits":            {c.Limits, limits},
		"ledger":            {c.Ledger, config.Ledger{Retention: 24 * time.Hour}},
		"log":               {c.Log, config.Log{Level: "debug", Format: "text"}},
		"rotate, announce":  {[2]time.Duration{c.Issuers["d1"].Rotate, c.Issuers["d1"].Announce}, [2]time.Duration{30 * time.Minute, 10 * time.Minute}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: %+v, want %+v", name, pair[0], pair[1])
		}
	}
	made := c.Issuers["d1"].RegistryIssuer()
	want := registry.Issuer{
		Name: "d1", URL: "http://localhost:8443/d1", Profile: made.Profile, Environment: "stg", AudienceNames: []string{"stg", "prd"},
		ResourceAudience: "https://api.example.com", TokenLifetime: 24 * time.Hour, Reuse: 0.5, Replay: platform.ReplaySameToken, Alg: "PS256", Disabled: true,
	}
	if !reflect.DeepEqual(*made, want) {
		t.Errorf("issuer %+v, want %+v", *made, want)
	}
}

// TestNegativeDrainDelay: a negative delay means none.
func TestNegativeDrainDelay(t *testing.T) {
	if c := parse(t, good+"[limits]\ndrain_delay = \"-1s\"\n"); c.Limits.DrainDelay != 0 {
		t.Errorf("drain_delay %s", c.Limits.DrainDelay)
	}
}

func TestPaths(t *testing.T) {
	c := parse(t, good)
	for in, want := range map[string]string{"moneyer.db": "/etc/moneyer/moneyer.db", "../x": "/etc/x", "/var/x": "/var/x"} {
		if got := c.Path(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

// asking is a listener that asks for client certificates.
const asking = "address = \"127.0.0.1:8080\"\ntls_cert = \"c\"\ntls_key = \"k\"\nclient_cert = \"ask\"\n"

// refusals each replace one text of the good file by another one; the error names the line and the
// correction.
var refusals = []struct{ name, old, text, want string }{
	{"no store", `store = "sqlite:moneyer.db"`, ``, `moneyer.toml: store: must say where the state is kept, such as "sqlite:moneyer.db" or "postgres://moneyer@db1,db2/moneyer?sslmode=verify-full"`},
	{"unknown store", `sqlite:moneyer.db`, `mysql://x`, `moneyer.toml:1: store: must say where`},
	{"store without a path", `sqlite:moneyer.db`, `sqlite:`, `moneyer.toml:1: store: must say where`},
	{"no master key", `master_key = "file:master.key"`, ``, `moneyer.toml: master_key: must be "file:PATH" or "env:NAME"; 'moneyer init' makes`},
	{"master key in the file", `file:master.key`, `q83vEjRWeJA`, `moneyer.toml:2: master_key: must be "file:PATH"`},
	{"master key without a path", `file:master.key`, `file:`, `moneyer.toml:2: master_key: must be "file:PATH"`},
	{"retention too short", `[listen]`, "[ledger]\nretention = \"23h\"\n[listen]", `moneyer.toml:4: ledger.retention: must be 0 (for ever) or at least "24h"`},
	{"crypto", `[listen]`, "crypto = \"boringssl\"\n[listen]", `moneyer.toml:3: crypto: must be "any" or "openssl"`},
	{"log level", `[listen]`, "[log]\nlevel = \"verbose\"\n[listen]", `moneyer.toml:4: log.level: must be "debug", "info"`},
	{"log level empty", `[listen]`, "[log]\nlevel = \"\"\n[listen]", `moneyer.toml:4: log.level: must be "debug", "info"`},
	{"log format", `[listen]`, "[log]\nformat = \"xml\"\n[listen]", `moneyer.toml:4: log.format: must be "json" or "text"`},
	{"refused key too short", `[listen]`, "refused_keys = [\"abc\"]\n[listen]", `moneyer.toml:3: refused_keys: "abc" is not an RFC 7638 thumbprint: 43 characters of base64url`},
	{"refused key in another alphabet", `[listen]`, "refused_keys = [\"" + strings.Repeat("+", 43) + "\"]\n[listen]", `refused_keys: "+++`},
	{"jwks_uri network", `[listen]`, "jwks_uri_networks = [\"10.0.0.1\"]\n[listen]", `moneyer.toml:3: jwks_uri_networks: "10.0.0.1" is not a network such as "10.0.0.0/8"`},

	{"no address", `address = "127.0.0.1:8080"`, ``, `moneyer.toml:3: listen.address: must say where callers reach the server`},
	{"address without a port", `127.0.0.1:8080`, `127.0.0.1`, `moneyer.toml:4: listen.address: "127.0.0.1" is not an address such as "127.0.0.1:8080"`},
	{"a port that no machine has", `127.0.0.1:8080`, `127.0.0.1:65536`, `moneyer.toml:4: listen.address: "127.0.0.1:65536": the port is a number from 0 to 65535`},
	{"an address that is none", `127.0.0.1:8080`, `127.0.0.300:8080`, `listen.address: "127.0.0.300:8080": the host is neither an IP address nor a name`},
	{"a URL as an address", `127.0.0.1:8080`, `http://127.0.0.1:8080`, `is not an address such as "127.0.0.1:8080"`},
	{"a port by name", `127.0.0.1:8080`, `127.0.0.1:https`, `listen.address: "127.0.0.1:https": the port is a number`},
	{"a negative port", `127.0.0.1:8080`, `127.0.0.1:-1`, `the port is a number`},
	{"no port", `127.0.0.1:8080`, `127.0.0.1:`, `the port is a number`},
	{"a number as a duration", `profile = "thales-d1"`, "profile = \"thales-d1\"\nrotate = 720", `moneyer.toml:8: issuers.d1.rotate: 720 is a number without a unit`},
	{"open address without TLS", `127.0.0.1:8080`, `0.0.0.0:8080`, `moneyer.toml:4: listen.address: "0.0.0.0:8080" is not on loopback: set tls_cert and tls_key, or listen`},
	{"every address without TLS", `127.0.0.1:8080`, `:8080`, `":8080" is not on loopback`},
	{"a name that is not loopback", `127.0.0.1:8080`, `localhost.evil.example:8080`, `is not on loopback`},
	{"certificate without key", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\ntls_cert = \"c\"", `moneyer.toml:5: listen.tls_cert: tls_cert and tls_key belong together`},
	{"key without certificate", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\ntls_key = \"k\"", `moneyer.toml:3: listen.tls_cert: tls_cert and tls_key belong together`},
	{"client certificates without TLS", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_ca = \"c\"", `moneyer.toml:5: listen.client_ca: needs tls_cert and tls_key`},
	{"trusted proxy", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\ntrusted_proxies = [\"proxy\"]", `moneyer.toml:5: listen.trusted_proxies: "proxy" is not a network`},
	{"client certificates maybe", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert = \"maybe\"", `moneyer.toml:5: listen.client_cert: must be "none" or "ask"`},
	{"asking without TLS", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert = \"ask\"", `moneyer.toml:5: listen.client_cert: needs tls_cert and tls_key`},
	{"asking and demanding", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\ntls_cert = \"c\"\ntls_key = \"k\"\nclient_ca = \"a\"\nclient_cert = \"ask\"", `moneyer.toml:8: listen.client_cert: remove this or client_ca`},
	{"no name of a header", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client Cert\"\nclient_cert_proxies = [\"127.0.0.1/32\"]", `moneyer.toml:5: listen.client_cert_header: "Client Cert" is not the name of a header`},
	{"a header that is taken", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"authorization\"\nclient_cert_proxies = [\"127.0.0.1/32\"]", `moneyer.toml:5: listen.client_cert_header: "authorization" is not`},
	{"a header from nobody", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client-Cert\"", `listen.client_cert_proxies: client_cert_header and client_cert_proxies belong together`},
	{"proxies without a header", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_proxies = [\"127.0.0.1/32\"]", `moneyer.toml:5: listen.client_cert_proxies: client_cert_header and client_cert_proxies belong together`},
	{"a chain alone", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_chain_header = \"Client-Cert-Chain\"", `moneyer.toml:5: listen.client_cert_chain_header: needs client_cert_header`},
	{"one header for both", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client-Cert\"\nclient_cert_chain_header = \"client-cert\"\nclient_cert_proxies = [\"127.0.0.1/32\"]", `moneyer.toml:6: listen.client_cert_chain_header: needs client_cert_header, and another name`},
	{"proxies that are no networks", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"proxy\"]", `moneyer.toml:6: listen.client_cert_proxies: "proxy" is not a network`},
	{"remote proxies without a proof", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"127.0.0.0/8\", \"127.0.0.0/7\"]", `moneyer.toml:6: listen.client_cert_proxies: has a network beyond loopback: set client_cert_proxy_ca`},
	{"a proof that is not asked for", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\nclient_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"10.0.0.0/8\"]\nclient_cert_proxy_ca = \"p\"", `moneyer.toml:7: listen.client_cert_proxy_ca: needs client_cert = "ask"`},
	{"a proof of proxies on loopback", `address = "127.0.0.1:8080"`, "address = \"127.0.0.1:8080\"\ntls_cert = \"c\"\ntls_key = \"k\"\nclient_cert = \"ask\"\nclient_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"::1/128\"]\nclient_cert_proxy_ca = \"p\"", `listen.client_cert_proxy_ca: needs client_cert = "ask" or client_ca, and client_cert_proxies beyond loopback`},
	{"admin where callers are", `[listen]`, "[admin]\naddress = \"127.0.0.1:8080\"\n[listen]", `moneyer.toml:4: admin.address: must differ from listen.address`},
	{"admin open without TLS", `[listen]`, "[admin]\naddress = \"10.0.0.1:8081\"\n[listen]", `moneyer.toml:4: admin.address: "10.0.0.1:8081" is not on loopback`},
	{"admin address empty", `[listen]`, "[admin]\naddress = \"\"\n[listen]", `moneyer.toml:4: admin.address: "" is not an address`},
	{"admin URL", `[listen]`, "[admin]\nurl = \"http://admin.example.com\"\n[listen]", `moneyer.toml:4: admin.url: "http://admin.example.com" must be https`},

	{"client_rate zero", `[listen]`, "[limits]\nclient_rate = 0\n[listen]", `moneyer.toml:4: limits.client_rate: must be 0.01 to 1000000, or -1 for no limit`},
	{"client_rate tiny", `[listen]`, "[limits]\nclient_rate = 1e-300\n[listen]", `limits.client_rate: must be 0.01`},
	{"client_rate not a number", `[listen]`, "[limits]\nclient_rate = nan\n[listen]", `limits.client_rate: must be 0.01`},
	{"client_rate infinite", `[listen]`, "[limits]\nclient_rate = inf\n[listen]", `limits.client_rate: must be 0.01`},
	{"client_rate below none", `[listen]`, "[limits]\nclient_rate = -2\n[listen]", `limits.client_rate: must be 0.01`},
	{"address_rate zero", `[listen]`, "[limits]\naddress_rate = 0\n[listen]", `moneyer.toml:4: limits.address_rate: must be 0.01 to 1000000, or -1 for no limit`},
	{"refusals_burst of nothing", `[listen]`, "[limits]\nrefusals_burst = 0\n[listen]", `moneyer.toml:4: limits.refusals_burst: must be 1 to 1000000`},
	{"refusals_recorded without limit", `[listen]`, "[limits]\nrefusals_recorded = -1\n[listen]", `moneyer.toml:4: limits.refusals_recorded: must be 0.01 to 1000000`},
	{"client_burst zero", `[listen]`, "[limits]\nclient_burst = 0\n[listen]", `moneyer.toml:4: limits.client_burst: must be 1 to 1000000`},
	{"address_burst too large", `[listen]`, "[limits]\naddress_burst = 1000001\n[listen]", `moneyer.toml:4: limits.address_burst: must be 1 to 1000000`},
	{"few connections", `[listen]`, "[limits]\nconnections = 0\n[listen]", `moneyer.toml:4: limits.connections: must be 16 to 1000000`},
	{"no connections of an address", `[listen]`, "[limits]\naddress_connections = 0\n[listen]", `moneyer.toml:4: limits.address_connections: must be 1 to 1000000`},
	{"in_flight zero", `[listen]`, "[limits]\nin_flight = 0\n[listen]", `moneyer.toml:4: limits.in_flight: must be 1 to 1000000`},
	{"request_timeout short", `[listen]`, "[limits]\nrequest_timeout = \"99ms\"\n[listen]", `moneyer.toml:4: limits.request_timeout: must be "100ms" to "1m"`},
	{"request_timeout long", `[listen]`, "[limits]\nrequest_timeout = \"61s\"\n[listen]", `limits.request_timeout: must be "100ms" to "1m"`},
	{"drain_delay long", `[listen]`, "[limits]\ndrain_delay = \"61s\"\n[listen]", `moneyer.toml:4: limits.drain_delay: must be at most "1m"`},
	{"drain_timeout short", `[listen]`, "[limits]\ndrain_timeout = \"0s\"\n[listen]", `moneyer.toml:4: limits.drain_timeout: must be "1s" to "10m"`},
	{"drain_timeout long", `[listen]`, "[limits]\ndrain_timeout = \"11m\"\n[listen]", `limits.drain_timeout: must be "1s" to "10m"`},

	{"no issuer", good[strings.Index(good, "[issuers"):], ``, `moneyer.toml: issuers: there is none: add a table [issuers.NAME] with url and profile`},
	{"issuer name empty", `[issuers.d1]`, `[issuers.""]`, `a name is 1 to 40 of a-z, 0-9 and -`},
	{"issuer name in upper case", `[issuers.d1]`, `[issuers.D1]`, `moneyer.toml:5: issuers.D1: a name is 1 to 40 of a-z, 0-9 and -`},
	{"issuer name too long", `[issuers.d1]`, `[issuers.` + strings.Repeat("d", 41) + `]`, `a name is 1 to 40 of`},
	{"the admin API's name", `[issuers.d1]`, `[issuers.admin]`, `moneyer.toml:5: issuers.admin: the name "admin" is taken by the issuer of the admin API`},
	{"no URL", `url = "https://auth.example.com/d1"`, ``, `moneyer.toml:5: issuers.d1.url: must be a URL such as "https://auth.example.com/d1"`},
	{"URL without a host", `https://auth.example.com/d1`, `auth.example.com/d1`, `moneyer.toml:6: issuers.d1.url: must be a URL such as`},
	{"URL broken", `https://auth.example.com/d1`, `https://%zz`, `moneyer.toml:6: issuers.d1.url: must be a URL such as`},
	{"plain http", `https://auth.example.com/d1`, `http://auth.example.com/d1`, `moneyer.toml:6: issuers.d1.url: "http://auth.example.com/d1" must be https (plain http only on loopback)`},
	{"another scheme", `https://auth.example.com/d1`, `ftp://127.0.0.1/d1`, `must be https`},
	{"slash at the end", `https://auth.example.com/d1`, `https://auth.example.com/d1/`, `moneyer.toml:6: issuers.d1.url: "https://auth.example.com/d1/" must not end in a slash`},
	{"query", `https://auth.example.com/d1`, `https://auth.example.com/d1?x`, `must have no query, fragment or user (RFC 8414 section 2)`},
	{"query without text", `https://auth.example.com/d1`, `https://auth.example.com/d1?`, `must have no query`},
	{"fragment", `https://auth.example.com/d1`, `https://auth.example.com/d1#x`, `must have no query, fragment`},
	{"user", `https://auth.example.com/d1`, `https://me@auth.example.com/d1`, `must have no query, fragment or user`},
	{"path with dots", `https://auth.example.com/d1`, `https://auth.example.com/a/../d1`, `must have a plain path`},
	{"path with a pattern", `https://auth.example.com/d1`, `https://auth.example.com/{d1}`, `must have a plain path`},
	{"path that is encoded", `https://auth.example.com/d1`, `https://auth.example.com/d%31`, `must have a plain path`},
	{"the admin API's URL", `https://auth.example.com/d1`, `http://127.0.0.1:8081`, `moneyer.toml:6: issuers.d1.url: issuer admin has this URL already`},
	{"another issuer's URL", `[issuers.d1]`, "[issuers.a]\nurl = \"https://auth.example.com/d1\"\nprofile = \"boltpay\"\n[issuers.d1]", `moneyer.toml:9: issuers.d1.url: issuer a has this URL already`},
	{"no profile", `profile = "thales-d1"`, ``, `moneyer.toml:5: issuers.d1.profile: `},
	{"unknown profile", `"thales-d1"`, `"thales-d2"`, `moneyer.toml:7: issuers.d1.profile: `},
	{"profile file that is not there", `"thales-d1"`, `"own.toml"`, `moneyer.toml:7: issuers.d1.profile: `},
	{"audience names where none are taken", `"thales-d1"`, "\"oauth2\"\naudience_names = [\"stg\"]", `moneyer.toml:8: issuers.d1.audience_names: profile oauth2 takes no audience names`},
	{"audience name empty", `"thales-d1"`, "\"thales-d1\"\naudience_names = [\"\"]", `moneyer.toml:8: issuers.d1.audience_names: a name has 1 to 1024 bytes`},
	{"audience name of another environment", `[issuers.d1]`, "[issuers.a]\nurl = \"https://auth.example.com/a\"\nprofile = \"thales-d1\"\nresource_audience = \"https://a\"\nenvironment = \"stg\"\naudience_names = [\"x\"]\n[issuers.d1]\naudience_names = [\"x\"]\nenvironment = \"prd\"",
		`issuers.d1.audience_names: "x" is also a name in environment "stg"`},
	{"replay where there are no assertions", "\"thales-d1\"\nresource_audience = \"https://api.example.com\"", "\"boltpay\"\nreplay = \"once\"", `moneyer.toml:8: issuers.d1.replay: profile boltpay takes no assertions`},
	{"unknown replay", `"thales-d1"`, "\"thales-d1\"\nreplay = \"twice\"", `moneyer.toml:8: issuers.d1.replay: must be "once", "until-exp" or "same-token"`},
	{"unknown readers of revocations", `"thales-d1"`, "\"thales-d1\"\nrevocations = \"private\"", `moneyer.toml:8: issuers.d1.revocations: must be "public" or "authenticated"`},
	{"unknown alg", `"thales-d1"`, "\"thales-d1\"\nalg = \"HS256\"", `moneyer.toml:8: issuers.d1.alg: must be "ES256"`},
	{"no resource audience", `resource_audience = "https://api.example.com"`, ``, `moneyer.toml:5: issuers.d1.resource_audience: profile thales-d1 puts an aud into its tokens: name the API`},
	{"a resource audience without effect", `"thales-d1"`, `"boltpay"`, `moneyer.toml:8: issuers.d1.resource_audience: profile boltpay puts no resource audience into its tokens: remove this`},
	{"reuse below nothing", `"thales-d1"`, "\"thales-d1\"\nreuse = -0.1", `moneyer.toml:8: issuers.d1.reuse: must be from 0 to 0.95`},
	{"reuse of all", `"thales-d1"`, "\"thales-d1\"\nreuse = 1.0", `moneyer.toml:8: issuers.d1.reuse: must be from 0 to 0.95`},
	{"reuse without a lifetime in the answer", `profile = "thales-d1"`, "profile = \"thales-etp\"\nreuse = 0.5", `issuers.d1.reuse: the answers of profile thales-etp state no lifetime`},
	{"token lifetime zero", `"thales-d1"`, "\"thales-d1\"\ntoken_lifetime = \"0s\"", `moneyer.toml:8: issuers.d1.token_lifetime: must be whole seconds from "1s" to "24h"`},
	{"token lifetime too long", `"thales-d1"`, "\"thales-d1\"\ntoken_lifetime = \"24h1s\"", `issuers.d1.token_lifetime: must be whole seconds`},
	{"token lifetime of half seconds", `"thales-d1"`, "\"thales-d1\"\ntoken_lifetime = \"1500ms\"", `issuers.d1.token_lifetime: must be whole seconds`},
	{"rotation faster than announced", `"thales-d1"`, "\"thales-d1\"\nrotate = \"24h\"", `moneyer.toml:8: issuers.d1.rotate: must be 0, or longer than announce`},
	{"announced too late", `"thales-d1"`, "\"thales-d1\"\nannounce = \"9m\"", `moneyer.toml:8: issuers.d1.announce: must be at least 10m0s`},
	{"announced not at all", `"thales-d1"`, "\"thales-d1\"\nannounce = \"0s\"", `moneyer.toml:8: issuers.d1.announce: must be at least 10m0s`},

	{"a certificate that cannot arrive", `"thales-d1"`, "\"thales-d1\"\nclient_certificate = [\"self_signed_tls_client_auth\"]", `moneyer.toml:8: issuers.d1.client_certificate: no client certificate can arrive: set listen.client_cert`},
	{"no method of certificates", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"oauth2\"\nresource_audience = \"x\"\nclient_certificate = [\"client_secret_basic\"]", `moneyer.toml:12: issuers.x.client_certificate: lists "tls_client_auth"`},
	{"authorities that are missing", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"oauth2\"\nresource_audience = \"x\"\nclient_certificate = [\"tls_client_auth\"]", `moneyer.toml:12: issuers.x.client_certificate: tls_client_auth needs tls_client_auth_ca`},
	{"authorities of nothing", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"boltpay\"\ntls_client_auth_ca = \"ca\"", `moneyer.toml:11: issuers.x.tls_client_auth_ca: profile boltpay has no use for client certificates`},
	{"authorities of another method", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"boltpay\"\nclient_certificate = [\"self_signed_tls_client_auth\"]\ntls_client_auth_ca = \"ca\"", `moneyer.toml:12: issuers.x.tls_client_auth_ca: nothing here takes tls_client_auth`},
	{"an mTLS URL that is plain", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"oauth2\"\nresource_audience = \"x\"\nmtls_url = \"http://m.example\"", `moneyer.toml:12: issuers.x.mtls_url: "http://m.example" must be https`},
	{"an mTLS URL that is the URL", `address = "127.0.0.1:8080"`, asking + "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"oauth2\"\nresource_audience = \"x\"\nmtls_url = \"https://x.example\"", `moneyer.toml:12: issuers.x.mtls_url: is url itself`},

	{"unknown setting", `store =`, `stroe =`, `moneyer.toml:1: stroe: unknown setting; did you mean "store"?`},
	{"unknown table", `[listen]`, `[lisen]`, `moneyer.toml:3: lisen: unknown setting; did you mean "listen"?`},
	{"unknown setting of a table", `address =`, `adress =`, `moneyer.toml:4: listen.adress: unknown setting; did you mean "address"?`},
	{"unknown setting of an issuer", `profile =`, `profil =`, `moneyer.toml:7: issuers.d1.profil: unknown setting; did you mean "profile"?`},
	{"setting in other case", `profile =`, `Profile =`, `moneyer.toml:7: issuers.d1.Profile`},
	{"unknown setting like no other", `[listen]`, "colour = 1\n[listen]", `moneyer.toml:3: colour: unknown setting; known here: admin, crypto, issuers, jwks_uri_networks`},
	{"value of another type", `"127.0.0.1:8080"`, `8080`, `moneyer.toml:4`},
	{"no TOML", `[listen]`, `[listen`, `moneyer.toml:4: expected`},
	{"setting twice", `[listen]`, "store = \"sqlite:x\"\n[listen]", `moneyer.toml:3`},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		if strings.Count(good, c.old) != 1 {
			t.Fatalf("%s: %q occurs %d times in the good file", c.name, c.old, strings.Count(good, c.old))
		}
		cfg, err := config.Parse("moneyer.toml", []byte(strings.Replace(good, c.old, c.text, 1)))
		if err == nil {
			t.Errorf("%s: taken", c.name)
			continue
		}
		if cfg != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n%v, want\n%s", c.name, err, c.want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "moneyer.toml")
	if _, err := config.Load(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want fs.ErrNotExist", err)
	}
	own := strings.Replace(good, `"thales-d1"`, `"own.toml"`, 1)
	builtin, err := os.ReadFile("../../profile/builtin/thales-d1.toml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"moneyer.toml": own, "own.toml": strings.Replace(string(builtin), `"thales-d1"`, `"own"`, 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(file)
	if err != nil || c.Issuers["d1"].RegistryIssuer().Profile.Name != "own" || c.Path("x") != filepath.Join(dir, "x") {
		t.Errorf("%v: paths are not relative to the folder of the file", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	for _, c := range refusals {
		f.Add(strings.Replace(good, c.old, c.text, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, ".toml") {
			t.Skip("a profile file")
		}
		c, err := config.Parse("moneyer.toml", []byte(text))
		if (c == nil) == (err == nil) {
			t.Fatalf("%v beside %v", c, err)
		}
		if err == nil {
			for name, issuer := range c.Issuers {
				if issuer.RegistryIssuer() == nil || issuer.RegistryIssuer().Name != name {
					t.Errorf("issuer %q was not made", name)
				}
			}
		}
	})
}

// TestCertificateMethods: an issuer takes, and its metadata list, a method of mutual TLS only where a
// certificate can arrive and, for tls_client_auth, where authorities are named; and each set together
// with one where the configuration demands it.
func TestCertificateMethods(t *testing.T) {
	const tls = "tls_cert = \"c\"\ntls_key = \"k\"\n"
	for _, test := range []struct{ name, listen, profile, issuer, want string }{
		{"none can arrive", ``, "oauth2", ``, "client_secret_basic, client_secret_post, private_key_jwt"},
		{"no authorities", tls + `client_cert = "ask"`, "oauth2", ``, "client_secret_basic, client_secret_post, private_key_jwt, self_signed_tls_client_auth"},
		{"demanded by the listener", tls + `client_ca = "ca.pem"`, "oauth2", ``, "client_secret_basic, client_secret_post, private_key_jwt, self_signed_tls_client_auth"},
		{"both", tls + `client_cert = "ask"`, "oauth2", `tls_client_auth_ca = "ca.pem"`, "client_secret_basic, client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth"},
		{"from a proxy", "client_cert_header = \"Client-Cert\"\nclient_cert_proxies = [\"127.0.0.0/8\"]", "oauth2", ``, "client_secret_basic, client_secret_post, private_key_jwt, self_signed_tls_client_auth"},
		{"not used", tls + `client_cert = "ask"`, "boltpay", ``, "client_secret_post, client_secret_basic"},
		{"demanded", tls + `client_cert = "ask"`, "boltpay", "client_certificate = [\"tls_client_auth\", \"self_signed_tls_client_auth\"]\ntls_client_auth_ca = \"ca.pem\"",
			"client_secret_post + tls_client_auth, client_secret_post + self_signed_tls_client_auth, client_secret_basic + tls_client_auth, client_secret_basic + self_signed_tls_client_auth"},
	} {
		text := strings.Replace(good, "address = \"127.0.0.1:8080\"\n", "address = \"127.0.0.1:8080\"\n"+test.listen+"\n", 1)
		text += "[issuers.x]\nurl = \"https://x.example\"\nprofile = \"" + test.profile + "\"\n" + test.issuer + "\n"
		if test.profile == "oauth2" {
			text += "resource_audience = \"x\"\n"
		}
		var sets []string
		for _, set := range parse(t, text).Issuers["x"].RegistryIssuer().Profile.Policy.Grants[0].ClientAuth {
			sets = append(sets, set.String())
		}
		if got := strings.Join(sets, ", "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestCryptoOpenSSL: a server that must sign with OpenSSL does not start where Go would sign.
func TestCryptoOpenSSL(t *testing.T) {
	_, err := config.Parse("moneyer.toml", []byte(strings.Replace(good, "[listen]", "crypto = \"openssl\"\n[listen]", 1)))
	if enabled := openssl.Enabled(); enabled != (err == nil) {
		t.Errorf("OpenSSL signs: %t; error: %v", enabled, err)
	}
	if err != nil && !strings.Contains(err.Error(), "crypto: this process would sign with Go 1.") {
		t.Error(err)
	}
}
