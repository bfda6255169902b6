// Package config reads moneyer.toml: the addresses that a server listens on, where it keeps its
// state, and its issuers. Load refuses unknown and contradictory settings; the error names the line
// and the correction.
//
// It opens no store and no listener. It holds no secrets, only the names of the files or
// environment variables that hold them.
package config

import (
	"time"

	"moneyer/internal/registry"
)

// Config is the whole file. The comments of the fields are the manual: docs/configuration.md is
// generated from them.
type Config struct {
	// Where the registry and the ledger are kept: "sqlite:/var/lib/moneyer/moneyer.db" for one
	// process (a relative path is relative to the folder of this file), or for any number of
	// replicas a PostgreSQL URL as for libpq, such as
	// "postgres://moneyer@db1,db2,db3/moneyer?sslmode=verify-full", without a password (passfile=
	// names a file that holds it) and with TLS unless on loopback. Beside libpq's parameters,
	// pool_max_conns limits the connections for reading (8). Required.
	Store string `toml:"store"`
	// Where the master key is kept: "file:PATH" (readable by its owner only) or "env:NAME". It
	// seals the signing keys and keys the digests of secrets: keep a copy apart from the backups of
	// the store. Required.
	MasterKey string `toml:"master_key"`
	// The listener for callers.
	Listen Listener `toml:"listen"`
	// The listener for the admin API and the metrics. Do not expose it to the callers' network.
	Admin Admin `toml:"admin"`
	// Rates and limits.
	Limits Limits `toml:"limits"`
	// Settings of the ledger.
	Ledger Ledger `toml:"ledger"`
	// The library that signs tokens: "any", whichever the binary has (--version says which), or
	// "openssl", with which a binary that would sign with Go, at less than half the speed for RSA, does
	// not start. Default "any".
	Crypto string `toml:"crypto"`
	// The log, on standard error.
	Log Log `toml:"log"`
	// Thumbprints (RFC 7638) of client keys to refuse, in addition to the publicly known ones: for
	// example those of an installation in another environment.
	RefusedKeys []string `toml:"refused_keys"`
	// Networks, such as ["10.8.0.0/16"], in which a client's jwks_uri may be fetched. Otherwise
	// only public addresses are allowed.
	JWKSURINetworks []string `toml:"jwks_uri_networks"`
	// The issuers by short name: 1 to 40 of a-z, 0-9 and -. Clients are registered under the name,
	// so a change of the URL keeps them.
	Issuers map[string]Issuer `toml:"issuers"`

	// dir is the folder of the file.
	dir string
}

// Listener is an address with its TLS files.
type Listener struct {
	// Address, such as "0.0.0.0:8443". Without TLS it must be on loopback. Required.
	Address string `toml:"address"`
	// Certificate chain in PEM. Read again on SIGHUP and when it changes.
	TLSCert string `toml:"tls_cert"`
	// Its private key in PEM.
	TLSKey string `toml:"tls_key"`
	// PEM certificates of the authorities of client certificates; if set, callers must present one.
	ClientCA string `toml:"client_ca"`
	// Networks whose X-Forwarded-For is trusted, and which have no share of the connections, such as ["10.0.0.0/8"].
	TrustedProxies []string `toml:"trusted_proxies"`
	// Whether callers are asked for a client certificate: "none", or "ask", which keeps nobody out: a
	// certificate is judged with each request that needs one. Default "none".
	ClientCert string `toml:"client_cert"`
	// The header in which a proxy forwards its client's certificate, such as "Client-Cert": as in RFC
	// 9440, as percent-encoded PEM (nginx, AWS ALB), or as x-forwarded-client-cert (Envoy). The proxy
	// must set or remove it in every request.
	ClientCertHeader string `toml:"client_cert_header"`
	// The header with the rest of the chain, such as "Client-Cert-Chain" (RFC 9440).
	ClientCertChainHeader string `toml:"client_cert_chain_header"`
	// Networks of the proxies whose client_cert_header counts, such as ["127.0.0.0/8"]; from others it
	// is ignored. A proxy that is not on loopback must show a certificate of client_cert_proxy_ca.
	ClientCertProxies []string `toml:"client_cert_proxies"`
	// PEM certificates of the authorities of those proxies' own client certificates. Read again when it changes.
	ClientCertProxyCA string `toml:"client_cert_proxy_ca"`
}

// Admin is the listener of the admin API.
type Admin struct {
	// Address, as in listen. Default "127.0.0.1:8081".
	Address string `toml:"address"`
	// The URL under which admin clients reach it; also its issuer URL. Default http(s)://ADDRESS.
	URL string `toml:"url"`
	// Certificate chain in PEM.
	TLSCert string `toml:"tls_cert"`
	// Its private key in PEM.
	TLSKey string `toml:"tls_key"`
	// PEM certificates of the authorities of client certificates; if set, callers must present one.
	ClientCA string `toml:"client_ca"`
}

// Limits bound the load that callers can cause.
type Limits struct {
	// Requests per second of one client, counted after authentication, at each replica: N replicas together allow a client at most N times as much. Default 500; -1 for no limit.
	ClientRate float64 `toml:"client_rate"`
	// Requests of one client that may exceed the rate at once, at each replica. Default 1000.
	ClientBurst int `toml:"client_burst"`
	// Refused requests per second of one address (IPv6: one /64), at each replica. Default 50; -1 for no limit.
	AddressRate float64 `toml:"address_rate"`
	// Requests of one address in flight, or refused beyond the rate. Default 500.
	AddressBurst int `toml:"address_burst"`
	// Open connections of the public listener; at the limit those that have waited longest for a request are closed. Default: what the limit of file descriptors leaves beside the store's own, at most 10000.
	Connections int `toml:"connections"`
	// Open connections of one address (IPv6: one /64) that is not a trusted proxy: never more than about a tenth of connections (a /48: a quarter), and less while others have many. Default 500.
	AddressConnections int `toml:"address_connections"`
	// Token requests in flight; more get 503. Default 1024.
	InFlight int `toml:"in_flight"`
	// Refusals per second of one issuer that are recorded one by one in the ledger, and as many in the log, at each replica: of callers that did not prove to be a client, and as many again of clients. More are only counted. Default 1.
	RefusalsRecorded float64 `toml:"refusals_recorded"`
	// Refusals that may be recorded one by one beyond that at once. Half of it is kept for addresses (or clients) that have spent less than a twentieth of it. Default 1000.
	RefusalsBurst int `toml:"refusals_burst"`
	// How long a token request may take before it gets 503. Default "2s".
	RequestTimeout time.Duration `toml:"request_timeout"`
	// How long a server that stops still accepts requests after /readyz fails, so that load balancers notice. Default "2s"; "0s" for not at all.
	DrainDelay time.Duration `toml:"drain_delay"`
	// How long it then waits for requests in flight. Default "20s".
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
	// Such as "stg" or "prd". A client's key, or the URL of its keys, may not be used in two environments.
	Environment string `toml:"environment"`
	// Names for this issuer that an assertion's aud may use, where the profile allows names. Issuers
	// of different environments have no name in common.
	AudienceNames []string `toml:"audience_names"`
	// The aud of access tokens: the API that accepts them. Required if the profile's tokens have
	// one.
	ResourceAudience string `toml:"resource_audience"`
	// How long an access token is valid, up to "24h". Default: the profile's.
	TokenLifetime time.Duration `toml:"token_lifetime"`
	// Who asks again gets the token that is there, while more than this part of its life is left, such as
	// 0.5: for callers that do not keep tokens. Each time is recorded, and an assertion consumed. Not for
	// profiles whose answer states no lifetime. Default 0: every request gets a token of its own.
	Reuse float64 `toml:"reuse"`
	// How a second use of an assertion is handled: "once", "until-exp" or "same-token". Default: the profile's.
	Replay string `toml:"replay"`
	// The algorithm that signs access tokens: "ES256", "PS256", "RS256" or "EdDSA". Default: the profile's.
	Alg string `toml:"alg"`
	// How long a signing key signs before its successor takes over; 0 means that keys are rotated only by command. Default 0.
	Rotate time.Duration `toml:"rotate"`
	// How long a successor is published before it signs. At least "10m". Default "24h".
	Announce time.Duration `toml:"announce"`
	// Who may read the list of revocations: "public", or "authenticated" for clients that may
	// introspect, authenticated as for introspection. A public list says which clients were cut off.
	// Default "public".
	Revocations string `toml:"revocations"`
	// The methods of mutual TLS, "tls_client_auth" or "self_signed_tls_client_auth", one of which a
	// client must show beside whatever else the profile demands.
	ClientCertificate []string `toml:"client_certificate"`
	// PEM certificates of the authorities of tls_client_auth (RFC 8705 section 2.1). Read again when it
	// changes. Required where clients authenticate so.
	TLSClientAuthCA string `toml:"tls_client_auth_ca"`
	// A URL under which the endpoints for clients are served, too: metadata name them as
	// mtls_endpoint_aliases (RFC 8705 section 5). For a host that asks for client certificates, where
	// that of url does not.
	MTLSURL string `toml:"mtls_url"`
	// A disabled issuer issues no tokens; its keys stay published. Default false.
	Disabled bool `toml:"disabled"`
	// Identity providers whose JWTs are accepted as assertions of clients that have an identity there
	// (docs/trusted-issuers.md), by short name: 1 to 40 of a-z, 0-9 and -. Identities of clients are
	// registered under the name.
	Trusted map[string]TrustedIssuer `toml:"trusted"`

	// The issuer that Load built.
	made *registry.Issuer
}

// TrustedIssuer is an identity provider whose JWTs are accepted as assertions.
type TrustedIssuer struct {
	// "jwt" for Keycloak, GitHub Actions and most others, "kubernetes" for service account tokens, or
	// "spiffe" for JWT-SVIDs. Default "jwt".
	Kind string `toml:"kind"`
	// The exact iss of its tokens. Required, except for the kind "spiffe".
	Issuer string `toml:"issuer"`
	// For the kind "spiffe": the trust domain of the SPIFFE IDs in sub, such as "example.org". A token
	// needs no iss.
	TrustDomain string `toml:"trust_domain"`
	// The URL of its JWK set: https, or http on loopback. One of jwks_uri, bundle and jwks must be set.
	JWKSURI string `toml:"jwks_uri"`
	// PEM certificates of the authorities that may have issued the certificate of jwks_uri, instead of
	// the system's. Read again with each fetch.
	CA string `toml:"ca"`
	// A file with its JWK set, for the kind "spiffe" a SPIFFE bundle. Read again when it changes.
	Bundle string `toml:"bundle"`
	// Its JWK set itself, for keys that cannot be fetched, such as those of a private cluster.
	JWKS string `toml:"jwks"`
	// The algorithms that its keys may be for: "ES256", "RS256", "PS256" and "EdDSA". A key that names no
	// algorithm is for the first that fits it. Default ["ES256", "RS256"].
	Algs []string `toml:"algs"`
	// What aud of its tokens may be: exactly one of these. Default: what it may be in an assertion that
	// a client signs itself.
	Audience []string `toml:"audience"`
	// The claims that name a client, whose values are registered as its identity. Default ["sub"].
	Claims []string `toml:"claims"`
	// How far ahead exp may be, "1m" to "1h". Default: "1h" for the kind "kubernetes", else "15m".
	MaxLifetime time.Duration `toml:"max_lifetime"`
	// How a second use of a token is handled: "once" or "until-exp". Default: "once" for the kind "jwt",
	// else "until-exp".
	Replay string `toml:"replay"`
	// Tokens of a disabled trusted issuer are refused. Default false.
	Disabled bool `toml:"disabled"`
}
