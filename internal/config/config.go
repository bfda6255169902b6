// Package config is moneyer.toml: what a server listens on, where it keeps its
// state, and which issuers it plays. Load refuses everything that is unknown or
// contradicts itself, with the line and the fix, so that a server that starts is
// one that somebody meant.
//
// It opens no store and no listener, and holds no secret: those stand in files or
// in the environment, and here only where to find them.
package config

import (
	"time"

	"moneyer/internal/registry"
)

// Config is the whole file. The comments of the fields are the manual;
// docs/configuration.md is made from them.
type Config struct {
	// Where the registry and the ledger are kept: "sqlite:/var/lib/moneyer/moneyer.db" for one
	// process (a path that is not absolute counts from the folder of this file), or for any number of
	// replicas a PostgreSQL URL as libpq reads it, such as "postgres://moneyer@db1,db2,db3/moneyer?sslmode=verify-full",
	// without a password (passfile= names a file that holds it) and with TLS off loopback. Beside libpq's
	// parameters, pool_max_conns bounds the connections that read (8). Required.
	Store string `toml:"store"`
	// Where the master key is found: "file:PATH" (readable by its owner alone) or
	// "env:NAME". It seals signing keys and keys the digests of secrets: keep a copy
	// apart from the backups of the store. Required.
	MasterKey string `toml:"master_key"`
	// The listener for callers.
	Listen Listener `toml:"listen"`
	// The listener for the admin API and the metrics. Keep it from the callers' network.
	Admin Admin `toml:"admin"`
	// Rates and bounds.
	Limits Limits `toml:"limits"`
	// What the ledger keeps.
	Ledger Ledger `toml:"ledger"`
	// The log, on standard error.
	Log Log `toml:"log"`
	// Thumbprints (RFC 7638) of client keys to refuse, beside the published ones:
	// those of another environment's installation, say.
	RefusedKeys []string `toml:"refused_keys"`
	// Networks, such as ["10.8.0.0/16"], in which a client's jwks_uri may be fetched.
	// Without them only public addresses are called.
	JWKSURINetworks []string `toml:"jwks_uri_networks"`
	// The issuers by short name: 1 to 40 of a-z, 0-9 and -. The name outlives a
	// change of URL: what is registered belongs to the name.
	Issuers map[string]Issuer `toml:"issuers"`

	// dir is the folder of the file.
	dir string
}

// Listener is an address with what it speaks.
type Listener struct {
	// Address, such as "0.0.0.0:8443". Without TLS it must be on loopback. Required.
	Address string `toml:"address"`
	// Certificate chain in PEM. Read again on SIGHUP and when it changes.
	TLSCert string `toml:"tls_cert"`
	// Its private key in PEM.
	TLSKey string `toml:"tls_key"`
	// Certificates in PEM of those who may issue client certificates; when set, callers must show one.
	ClientCA string `toml:"client_ca"`
	// Networks whose X-Forwarded-For is believed, such as ["10.0.0.0/8"].
	TrustedProxies []string `toml:"trusted_proxies"`
}

// Admin is the admin listener.
type Admin struct {
	// Address, as in listen. Default "127.0.0.1:8081".
	Address string `toml:"address"`
	// How admin clients reach it; also its issuer URL. Default http(s)://ADDRESS.
	URL string `toml:"url"`
	// Certificate chain in PEM.
	TLSCert string `toml:"tls_cert"`
	// Its private key in PEM.
	TLSKey string `toml:"tls_key"`
	// Certificates in PEM of those who may issue client certificates; when set, callers must show one.
	ClientCA string `toml:"client_ca"`
}

// Limits bound what callers can ask for.
type Limits struct {
	// Requests per second of one client, once it is known who asks, at each replica: N replicas together give a client at most N times as much. Default 500; -1 for no limit.
	ClientRate float64 `toml:"client_rate"`
	// Requests of one client beyond the rate at once, at each replica. Default 1000.
	ClientBurst int `toml:"client_burst"`
	// Refused requests per second of one address (IPv6: one /64), at each replica. Default 50; -1 for no limit.
	AddressRate float64 `toml:"address_rate"`
	// Requests of one address in flight or refused beyond the rate. Default 500.
	AddressBurst int `toml:"address_burst"`
	// Token requests in flight; more get 503. Default 1024.
	InFlight int `toml:"in_flight"`
	// Refusals per second that the ledger and the log tell one by one; more are counted. Default 50.
	RefusalsRecorded float64 `toml:"refusals_recorded"`
	// How long a token request may take before it gets 503. Default "2s".
	RequestTimeout time.Duration `toml:"request_timeout"`
	// How long a stop goes on taking requests after /readyz has fallen, so that a load balancer notices. Default "2s"; "0s" for not at all.
	DrainDelay time.Duration `toml:"drain_delay"`
	// How long a stop then waits for requests in flight. Default "20s".
	DrainTimeout time.Duration `toml:"drain_timeout"`
}

// Ledger settings.
type Ledger struct {
	// How long entries are kept; 0 means for ever. At least "24h". Default 0.
	Retention time.Duration `toml:"retention"`
}

// Log settings.
type Log struct {
	// Lowest level: "debug", "info", "warn" or "error". Default "info".
	Level string `toml:"level"`
	// "json" or "text". Default "json".
	Format string `toml:"format"`
}

// Issuer is one issuer.
type Issuer struct {
	// The issuer identifier: https, or http on loopback; no trailing slash. Required.
	URL string `toml:"url"`
	// A built-in profile's name, or the path of a profile file ending in .toml. Required.
	Profile string `toml:"profile"`
	// Such as "stg" or "prd". A client's key may not serve in two environments.
	Environment string `toml:"environment"`
	// Names for this issuer that an assertion's aud may use, where the profile allows names.
	AudienceNames []string `toml:"audience_names"`
	// The aud of access tokens: the API behind. Required where the profile's tokens have one.
	ResourceAudience string `toml:"resource_audience"`
	// How long an access token is good, up to "24h". Default: the profile's.
	TokenLifetime time.Duration `toml:"token_lifetime"`
	// What a second use of an assertion gets: "once", "until-exp" or "same-token". Default: the profile's.
	Replay string `toml:"replay"`
	// The algorithm that signs access tokens: "ES256", "PS256", "RS256" or "EdDSA". Default: the profile's.
	Alg string `toml:"alg"`
	// How long a signing key signs before its successor takes over; 0 means until somebody says so. Default 0.
	Rotate time.Duration `toml:"rotate"`
	// How long a successor is published before it signs. At least "10m". Default "24h".
	Announce time.Duration `toml:"announce"`
	// A disabled issuer mints nothing; its keys stay published. Default false.
	Disabled bool `toml:"disabled"`

	// What Load made of it.
	made *registry.Issuer
}
