package agent

import (
	"crypto/sha256"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

// Config is agent.toml as Load has validated it. It holds secrets, which are not printed.
type Config struct {
	// Where programs reach the agent: "unix:/run/moneyer/agent.sock", or an address on loopback
	// such as "127.0.0.1:7070". Required.
	Listen string `toml:"listen"`
	// Who may use the Unix socket, in octal. Default "0600": its owner only.
	Mode string `toml:"mode"`
	// How long a shutdown waits for requests in flight. Default "20s".
	DrainTimeout time.Duration `toml:"drain_timeout"`
	// The log, on standard error.
	Log Log `toml:"log"`
	// The tokens by name: 1 to 40 of a-z, 0-9 and -.
	Tokens map[string]*Token `toml:"tokens"`
	// The APIs behind the agent.
	Upstreams map[string]*Upstream `toml:"upstreams"`
	// The files that contain a token.
	Files map[string]*File `toml:"files"`

	dir      string // of the file
	mode     fs.FileMode
	warnings []string
}

// Log settings.
type Log struct {
	// Lowest level: "debug", "info", "warn" or "error". Default "info".
	Level string `toml:"level"`
	// "json" or "text". Default "json".
	Format string `toml:"format"`
}

// Token describes how an access token is obtained. Relative paths are relative to the folder of the
// configuration file.
type Token struct {
	// A built-in profile's name, or a profile file ending in .toml. Required.
	Profile string `toml:"profile"`
	// The issuer URL, exactly as the platform writes it.
	Issuer string `toml:"issuer"`
	// The token endpoint. Default: the issuer URL followed by the profile's path.
	TokenURL string `toml:"token_url"`
	// Take the token endpoint from the issuer's metadata (RFC 8414) instead.
	Discover bool `toml:"discover"`
	// The client id that the platform assigned.
	Client string `toml:"client"`
	// The partner's private key, PEM or JWK, ... (This file and the next two are read again when the
	// platform refuses what was in them.)
	KeyFile string `toml:"key_file"`
	// ... the kid under which it is registered at the platform, ...
	Kid string `toml:"kid"`
	// ... and its algorithm. Default: that of the key's type.
	Alg string `toml:"alg"`
	// Or a file that holds a client secret ...
	SecretFile string `toml:"secret_file"`
	// ... or one that holds an API key. Line ends at the end of these files are ignored.
	APIKeyFile string `toml:"api_key_file"`
	// Or a file with the assertion of an identity provider that the platform trusts, such as the
	// token of a Kubernetes service account. It is read for each token.
	AssertionFile string `toml:"assertion_file"`
	// Its client_assertion_type: "jwt-bearer" or "jwt-spiffe". Default "jwt-bearer".
	AssertionType string `toml:"assertion_type"`
	// The grant, "client_credentials" or "jwt-bearer", and the client authentication, such as
	// "client_secret_basic + tls_client_auth". Default: the first that uses all credentials.
	Grant string `toml:"grant"`
	Auth  string `toml:"auth"`
	// The scopes to request, separated by spaces.
	Scope string `toml:"scope"`
	// The aud of the assertion. Default: the issuer URL.
	Audience string `toml:"audience"`
	// The sub of the assertion. Default: the client.
	Subject string `toml:"subject"`
	// The platform's own parameters: strings, or lists of strings.
	Params map[string]any `toml:"params"`
	// Certificate and private key for mutual TLS with the platform, PEM: by themselves or beside
	// another credential. They are read again when they change.
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// The authorities of the platform's certificate, PEM. Default: the system's authorities.
	CAFile string `toml:"ca_file"`

	profile     *profile.Profile
	credential  *tokensource.Credential              // a pointer, because fmt does not print what it points to
	paths       struct{ key, secret, apiKey string } // of KeyFile, SecretFile and APIKeyFile
	scope       oauth.Scope
	params      url.Values
	transport   *http.Transport
	files       *certificateFiles // nil without a client certificate
	fingerprint [sha256.Size]byte // of all settings and the content of all files
}

// Upstream is an API that is called with a token.
type Upstream struct {
	// The prefix of the agent's paths for it, such as "/d1/". Required.
	Path string `toml:"path"`
	// The URL that replaces the prefix: https, or http on loopback. Required.
	URL string `toml:"url"`
	// The name of the token to send. Required.
	Token string `toml:"token"`
	// The only methods that are allowed. Default: all but CONNECT and TRACE.
	Methods []string `toml:"methods"`
	// How long the API may take until it responds. Default "30s".
	AnswerTimeout time.Duration `toml:"answer_timeout"`
	// How long the whole exchange may take. Default "5m", at most "15m".
	TotalTimeout time.Duration `toml:"total_timeout"`
	// The largest request body, in bytes. Default 16777216.
	MaxBody int64 `toml:"max_body"`
	// Certificate and private key for mutual TLS with the API, PEM. They are read again when they
	// change. For a token that is bound to a certificate they are those of the token.
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// The authorities of the API's certificate, PEM. Default: the system's authorities.
	CAFile string `toml:"ca_file"`

	url       *url.URL
	transport *http.Transport
	files     *certificateFiles // nil without a client certificate
}

// File is a file that always contains a valid token.
type File struct {
	// The path of the file. Its folder must exist. Required.
	Path string `toml:"path"`
	// The name of the token. Required.
	Token string `toml:"token"`
	// Who may read it, in octal. Default "0600": its owner only.
	Mode string `toml:"mode"`

	path string
	mode fs.FileMode
}

// Warnings returns a message for each setting that is allowed but insecure.
func (c *Config) Warnings() []string { return c.warnings }
