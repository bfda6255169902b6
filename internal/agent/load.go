package agent

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"moneyer/internal/fetch"
	"moneyer/internal/stricttoml"
)

const (
	maxTotal      = 15 * time.Minute // of one request
	maxSocketPath = 90               // bytes; systems allow 103 or 107, and the socket is created in a folder beside the path
	unixPrefix    = "unix:"
	nameChars     = "abcdefghijklmnopqrstuvwxyz0123456789-"
	methodChars   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
)

// Load reads and validates a configuration file and the keys and secrets that it names. Errors name
// the line and the correction.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c := &Config{dir: filepath.Dir(file)}
	doc, err := stricttoml.Decode(file, data, c)
	if err != nil {
		return nil, err
	}
	check := &checker{doc: doc}
	c.checkListen(check)
	c.checkTokens(check)
	c.checkUpstreams(check)
	c.checkFiles(check)
	c.checkUse(check)
	if check.err != nil {
		return nil, check.err
	}
	return c, nil
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

// accept requires err to be nil.
func (c *checker) accept(key string, err error) {
	c.want(err == nil, key, "%v", err)
}

// name validates the name of a table.
func (c *checker) name(key, name string) {
	c.want(name != "" && len(name) <= 40 && strings.Trim(name, nameChars) == "", key, "a name is 1 to 40 of a-z, 0-9 and -")
}

// mode parses the mode of a file, which may give access to the owner and the group only.
func (c *checker) mode(key, text string) fs.FileMode {
	bits, err := strconv.ParseUint(text, 8, 32)
	c.want(err == nil && bits <= 0o770 && bits&0o007 == 0 && bits&0o600 == 0o600, key,
		`must be octal, such as "0600" or "0660": for the owner and perhaps the group, never for others`)
	return fs.FileMode(bits)
}

// network returns "unix" or "tcp".
func (c *Config) network() string {
	if strings.HasPrefix(c.Listen, unixPrefix) {
		return "unix"
	}
	return "tcp"
}

func (c *Config) socketPath() string { return c.path(strings.TrimPrefix(c.Listen, unixPrefix)) }

func (c *Config) checkListen(check *checker) {
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 20*time.Second)
	c.Log.Level, c.Log.Format = cmp.Or(c.Log.Level, "info"), cmp.Or(c.Log.Format, "json")
	check.want(c.DrainTimeout > 0 && c.DrainTimeout <= maxTotal, "drain_timeout", `must be over 0 and at most "15m"`)
	check.want(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level", `must be "debug", "info", "warn" or "error"`)
	check.want(c.Log.Format == "json" || c.Log.Format == "text", "log.format", `must be "json" or "text"`)
	check.want(c.Listen != "", "listen", `must say where programs reach the agent: "unix:/run/moneyer/agent.sock", or "127.0.0.1:7070"`)
	if c.network() == "unix" {
		check.want(c.Listen != unixPrefix, "listen", `must name a path, such as "unix:/run/moneyer/agent.sock"`)
		check.want(len(c.socketPath()) <= maxSocketPath, "listen", "the path of a socket has at most %d bytes", maxSocketPath)
		c.mode = check.mode("mode", cmp.Or(c.Mode, "0600"))
		return
	}
	host, _, err := net.SplitHostPort(c.Listen)
	check.want(err == nil, "listen", `%q is neither "unix:PATH" nor an address such as "127.0.0.1:7070"`, c.Listen)
	check.want(fetch.Loopback(host), "listen", "%q is not on loopback: everybody who can reach the agent can use its tokens", c.Listen)
	check.want(c.Mode == "", "mode", "is for a Unix socket: remove it, or listen on one")
}

func (c *Config) checkUpstreams(check *checker) {
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u, key := c.Upstreams[name], "upstreams."+name
		check.name(key, name)
		check.want(plainPath(u.Path), key+".path", `must begin and end with a slash and be plain, such as "/d1/"`)
		check.want(!reserved(u.Path), key+".path", "%s is the agent's own", ownPrefix)
		check.want(taken[u.Path] == "", key+".path", "upstream %s has this path already", taken[u.Path])
		taken[u.Path] = name
		c.checkName(check, key, u.Token)
		u.url = checkURL(check, key+".url", u.URL)
		for _, method := range u.Methods {
			check.want(method != "" && strings.Trim(method, methodChars) == "", key+".methods", `%q is not a method such as "GET"`, method)
			check.want(!barred(method), key+".methods", "%s never passes", method)
		}
		u.checkBounds(check, key)
		var err error
		u.transport, err = c.transport(u.CAFile)
		check.accept(key, err)
		if err == nil {
			u.transport.ResponseHeaderTimeout = u.AnswerTimeout
		}
		u.files, err = c.certificate(u.TLSCert, u.TLSKey)
		check.accept(key, err)
	}
}

func (u *Upstream) checkBounds(check *checker, key string) {
	u.AnswerTimeout, u.TotalTimeout = cmp.Or(u.AnswerTimeout, 30*time.Second), cmp.Or(u.TotalTimeout, 5*time.Minute)
	u.MaxBody = cmp.Or(u.MaxBody, 16<<20)
	check.want(u.AnswerTimeout > 0 && u.AnswerTimeout <= maxTotal, key+".answer_timeout", `must be over 0 and at most "15m"`)
	check.want(u.TotalTimeout > 0 && u.TotalTimeout <= maxTotal, key+".total_timeout", `must be over 0 and at most "15m"`)
	check.want(u.MaxBody > 0, key+".max_body", "must be over 0")
}

// checkName checks that there is a token with this name.
func (c *Config) checkName(check *checker, key, token string) {
	check.want(c.Tokens[token] != nil, key+".token", "must be one of: %s", strings.Join(slices.Sorted(maps.Keys(c.Tokens)), ", "))
}

// plainPath reports whether p is a path prefix that has no other encoding.
func plainPath(p string) bool {
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	return strings.HasPrefix(p, "/") && strings.HasSuffix(p, "/") && strings.Trim(p, chars) == "" &&
		(p == "/" || path.Clean(p)+"/" == p)
}

// barred reports whether a method is never forwarded: CONNECT would make the agent a forward proxy,
// and the response to TRACE contains the request's header (RFC 9110 section 9.3.8), including the
// token.
func barred(method string) bool { return method == http.MethodConnect || method == http.MethodTrace }

// checkURL validates the base URL of an upstream, to which a token is sent.
func checkURL(check *checker, key, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		check.want(false, key, `must be a URL such as "https://api.example.com/v1"`)
		return nil
	}
	check.want(u.User != nil || fetch.Secure(u), key,
		"%q must be https (plain http only on loopback): a token goes there", u.Redacted())
	check.want(u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == "", key, "%q must have no user, query or fragment", u.Redacted())
	check.want(!dotted(u.Path), key, "%q must have no . or .. in its path", u.Redacted())
	return u
}

func (c *Config) checkFiles(check *checker) {
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		f, key := c.Files[name], "files."+name
		check.name(key, name)
		check.want(f.Path != "", key+".path", "must say where the token is to be written")
		c.checkName(check, key, f.Token)
		f.path = c.path(f.Path)
		f.mode = check.mode(key+".mode", cmp.Or(f.Mode, "0600"))
		info, err := os.Stat(filepath.Dir(f.path))
		check.want(err == nil && info.IsDir(), key+".path", "there is no folder %s", filepath.Dir(f.path))
		info, err = os.Lstat(f.path)
		check.want(err != nil || info.Mode().IsRegular(), key+".path", "%s exists and is not a regular file", f.path)
		check.want(taken[f.path] == "", key+".path", "file %s has this path already", taken[f.path])
		taken[f.path] = name
		if check.err == nil {
			if err := checkReplaceable(f.path); err != nil {
				check.accept(key+".path", fmt.Errorf("%s cannot be written: %w", f.path, err))
			}
		}
	}
}

// checkUse refuses tokens that nothing uses.
func (c *Config) checkUse(check *checker) {
	used := map[string]bool{}
	for _, u := range c.Upstreams {
		used[u.Token] = true
	}
	for _, f := range c.Files {
		used[f.Token] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tokens)) {
		check.want(used[name], "tokens."+name, "no upstream and no file uses it")
	}
}

// path returns p, or p joined to the folder of the file if it is relative.
func (c *Config) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}
